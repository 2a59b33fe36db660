"""`style.folder` as the studio runs it."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from plugins.style_transfer.image_io import manifest
from plugins.style_transfer.tools.style_folder import StyleFolder
from studio import api, testing
from studio.core import files
from tests.plugins.style_transfer.conftest import make_photo
from tests.plugins.style_transfer.fixtures.colour_profiles import ADOBE, build_display_profile
from tests.plugins.style_transfer.fixtures.results import get_notices, get_result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of several formats, two damaged files, and one that is no image."""
    folder = tmp_path / "holiday"
    (folder / "more").mkdir(parents=True)
    image = Image.fromarray(make_photo(48, 32))
    image.save(folder / "a.jpg")
    image.convert("RGBA").save(folder / "b.png")
    image.save(folder / "c.gif")
    cv2.imwrite(str(folder / "d.tif"), make_photo(48, 32).astype(np.uint16) * 200)
    image.save(folder / "more" / "e.webp")
    (folder / "f.png").write_bytes((folder / "b.png").read_bytes()[:200])
    (folder / "g.jpg").touch()
    (folder / "notes.txt").write_text("no image")
    return folder


def run(folder: Path, style: Path, ctx: testing.FakeContext | None = None, **values: Any) -> list[api.Event]:
    return testing.run(StyleFolder, ctx, folder=folder, style=str(style), **values)


def get_previews(events: list[api.Event]) -> list[str]:
    return [event.label for event in events if isinstance(event, api.Preview)]


def test_all_are_stylized_under_their_names_and_damaged_ones_reported(
    folder: Path, style: Path, tmp_path: Path
) -> None:
    events = run(folder, style, subfolders=True, target=tmp_path / "out")
    outputs = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*"))
    assert outputs == [manifest.NAME, "a.jpg", "b.png", "c.gif.png", "d.tif", "more", "more/e.webp"]
    formats: dict[str, tuple[str | None, tuple[int, int]]] = {}
    for path in (tmp_path / "out").rglob("*.*"):
        if path.name != manifest.NAME:
            with Image.open(path) as image:
                formats[path.name] = (image.format, image.size)
    assert formats["a.jpg"] == ("JPEG", (48, 32))
    assert formats["e.webp"] == ("WEBP", (48, 32))
    deep = cv2.imread(str(tmp_path / "out" / "d.tif"), cv2.IMREAD_UNCHANGED)
    assert deep is not None
    assert deep.dtype == np.uint16
    report = get_result(events, api.Text)
    assert "5 restyled" in report.text
    assert "f.png" in report.text
    assert "g.jpg: g.jpg is empty" in report.text


def test_every_format_is_read_and_the_others_are_named(style: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    image = Image.fromarray(make_photo(48, 32))
    names = ["a.PNG", "b.jfif", "c.jpe", "d.bmp", "e.avif", "f.jp2", "g.qoi", "h.ppm", "i.apng", "j.ico", "k.TIFF"]
    for name in names:
        format = {"PNG": "PNG", "apng": "PNG"}.get(name[2:])
        image.save(folder / name, format, **({"sizes": [(32, 32)]} if name == "j.ico" else {}))
    image.save(folder / "without ending", "JPEG")
    image.save(folder / "film.webp", save_all=True, append_images=[image.rotate(180)], duration=100)
    (folder / "notes.txt").write_text("no image")
    (folder / "raw.cr2").write_bytes(b"II*\0\x10\0\0\0CR\2\0")
    (folder / "a.PNG.studio.json").write_text("{}")
    (folder / ".hidden").write_text("no image")
    os.mkfifo(folder / "pipe.png")
    events = run(folder, style, target=tmp_path / "out")
    assert sorted(get_previews(events)) == sorted([*names, "film.webp", "without ending"])
    report = get_result(events, api.Text).text
    assert "13 restyled" in report
    assert "3 files were skipped, since the studio does not open them as images:" in report
    assert [line for line in report.splitlines() if line.startswith("- ")] == ["- notes.txt", "- pipe.png", "- raw.cr2"]
    assert [text for text in get_notices(events) if "animated" in text] == [
        "film.webp is animated: only its first frame is restyled."
    ]


def test_a_second_run_stylizes_only_new_and_changed_images(folder: Path, style: Path, other_style: Path) -> None:
    assert len(get_previews(run(folder, style))) == 4
    assert get_previews(run(folder, style)) == []
    Image.fromarray(make_photo(32, 32)).save(folder / "a.jpg")
    Image.fromarray(make_photo(32, 32)).save(folder / "new.png")
    assert get_previews(run(folder, style)) == ["a.jpg", "new.png"]
    target = folder.parent / "holiday in Ink"
    (target / "b.png").unlink()
    assert get_previews(run(folder, style)) == ["b.png"]
    assert len(get_previews(run(folder, other_style, target=target))) == 5


class StoppedContext(testing.FakeContext):
    """Cancelled in the middle of the third image."""

    def emit(self, event: api.Event) -> None:
        if isinstance(event, api.Progress) and event.text == "Restyling c.gif" and event.step > 2.4:
            raise api.Cancelled
        super().emit(event)


def test_it_resumes_after_a_stop(folder: Path, style: Path) -> None:
    ctx = StoppedContext()
    with pytest.raises(api.Cancelled):
        run(folder, style, ctx)
    done = get_previews(ctx.events)
    assert done == ["a.jpg", "b.png"]
    assert get_previews(run(folder, style)) == ["c.gif", "d.tif"]
    assert not list((folder.parent / "holiday in Ink").glob(".part*"))


def test_a_pause_ends_the_run(folder: Path, style: Path) -> None:
    with pytest.raises(api.Paused):
        run(folder, style, testing.FakeContext(pause_requested=True))


def test_files_of_the_artist_are_not_overwritten(folder: Path, style: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "a.jpg").write_bytes(b"mine")
    events = run(folder, style, target=target)
    assert (target / "a.jpg").read_bytes() == b"mine"
    assert any("a.jpg is in the output folder already" in text for text in get_notices(events))
    for inside in (folder, folder / "more"):
        with pytest.raises(api.BadInput, match="inside the folder"):
            run(folder, style, target=inside)


def test_a_full_disk_affects_one_image(folder: Path, style: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = Image.Image.save

    def fail(image: Image.Image, path: Any, *arguments: Any, **options: Any) -> None:
        if image.mode == "RGBA":
            raise OSError(errno.ENOSPC, "No space left on device")
        save(image, path, *arguments, **options)

    monkeypatch.setattr(Image.Image, "save", fail)
    events = run(folder, style)
    assert any("The disk is full" in text for text in get_notices(events))
    assert get_previews(events) == ["a.jpg", "c.gif", "d.tif"]


def test_a_folder_without_images_raises_bad_input(style: Path, tmp_path: Path) -> None:
    folder = tmp_path / "few"
    with pytest.raises(api.BadInput, match="cannot be read"):
        run(folder, style)
    folder.mkdir()
    with pytest.raises(api.BadInput, match="no images"):
        run(folder, style)
    (folder / "broken.png").write_bytes(b"\x89PNG")
    with pytest.raises(api.BadInput, match="None of the 1 images"):
        run(folder, style)


def test_the_icc_profile_is_preserved(tmp_path: Path, style: Path) -> None:
    profile = build_display_profile(ADOBE, 2.19921875)
    folder = tmp_path / "wide"
    folder.mkdir()
    pixels = make_photo(48, 32) // 2 + 60
    Image.fromarray(pixels).save(folder / "a.png", icc_profile=profile)
    run(folder, style, target=tmp_path / "out", strength=0)
    with Image.open(tmp_path / "out" / "a.png") as image:
        assert image.info["icc_profile"] == profile
        assert np.abs(np.asarray(image, int) - pixels).max() <= 3


def test_an_image_without_profile_is_tagged_as_srgb(tmp_path: Path, folder: Path, style: Path) -> None:
    run(folder, style, target=tmp_path / "out")
    with Image.open(tmp_path / "out" / "a.jpg") as image:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        assert "sRGB" in ImageCms.getProfileDescription(profile)


def test_a_truncated_line_of_the_manifest_is_ignored(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    source.write_bytes(b"1")
    first = manifest.open_manifest(tmp_path / "out", "x")
    first.add(Path("a.png"), source, source)
    path = tmp_path / "out" / manifest.NAME
    path.write_text(path.read_text() + path.read_text().replace("a.png", "b.png")[:20])
    second = manifest.open_manifest(tmp_path / "out", "x")
    assert second.is_done(Path("a.png"), source, source)
    assert not second.is_done(Path("b.png"), source, source)
    assert not manifest.open_manifest(tmp_path / "out", "other settings").is_done(Path("a.png"), source, source)
    second.add(Path("c.png"), source, source)
    assert manifest.open_manifest(tmp_path / "out", "x").is_done(Path("c.png"), source, source)


@pytest.mark.parametrize("committed", [True, False])
def test_a_kill_during_the_commit_of_an_image_affects_no_other(
    committed: bool, folder: Path, style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(folder, style)
    commit_file = files.commit_file

    def kill(part: Path, path: Path) -> None:
        if committed:
            commit_file(part, path)
        raise KeyboardInterrupt

    for resolution in (16, 24):
        with monkeypatch.context() as patched:
            patched.setattr(files, "commit_file", kill)
            with pytest.raises(KeyboardInterrupt):
                run(folder, style, resolution=resolution)
        events = run(folder, style, resolution=resolution)
        assert get_previews(events) == ["a.jpg", "b.png", "c.gif", "d.tif"][committed:]
        assert not [text for text in get_notices(events) if "already" in text]


def test_a_style_may_have_any_title(folder: Path, style: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd"
    shutil.copytree(style, odd)
    (odd / "studio.json").write_text(json.dumps({"title": "../../Ink / wash\x00", "kind": "style"}))
    run(folder, odd)
    (output,) = (path for path in folder.parent.iterdir() if path.name.startswith("holiday in"))
    assert (output / "a.jpg").is_file()


def test_a_deleted_image_affects_no_other(folder: Path, style: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_picture = api.images.open_picture

    def open_and_delete(path: Path) -> Image.Image:
        image = open_picture(path)
        if path.name == "b.png":
            path.unlink()
        return image

    monkeypatch.setattr(api.images, "open_picture", open_and_delete)
    events = run(folder, style)
    assert get_previews(events) == ["a.jpg", "c.gif", "d.tif"]
    assert any("b.png" in text for text in get_notices(events))
