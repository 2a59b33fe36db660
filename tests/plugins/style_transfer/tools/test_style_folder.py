"""`style.folder` as the studio runs it."""

from __future__ import annotations

import errno
import io
import json
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
from tests.plugins.style_transfer.conftest import photograph
from tests.plugins.style_transfer.fixtures.colour_profiles import ADOBE, display_profile


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures of several kinds, two files that are broken, and one that is none."""
    folder = tmp_path / "holiday"
    (folder / "more").mkdir(parents=True)
    image = Image.fromarray(photograph(48, 32))
    image.save(folder / "a.jpg")
    image.convert("RGBA").save(folder / "b.png")
    image.save(folder / "c.gif")
    cv2.imwrite(str(folder / "d.tif"), photograph(48, 32).astype(np.uint16) * 200)
    image.save(folder / "more" / "e.webp")
    (folder / "f.png").write_bytes((folder / "b.png").read_bytes()[:200])
    (folder / "g.jpg").touch()
    (folder / "notes.txt").write_text("no picture")
    return folder


def run(folder: Path, style: Path, ctx: testing.FakeContext | None = None, **values: Any) -> list[api.Event]:
    return testing.run(StyleFolder, ctx, folder=folder, style=str(style), **values)


def previews(events: list[api.Event]) -> list[str]:
    return [event.label for event in events if isinstance(event, api.Preview)]


def test_all_are_painted_under_their_names_and_broken_ones_are_told(folder: Path, style: Path, tmp_path: Path) -> None:
    events = run(folder, style, subfolders=True, target=tmp_path / "out")
    made = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*"))
    assert made == [manifest.NAME, "a.jpg", "b.png", "c.gif.png", "d.tif", "more", "more/e.webp"]
    kinds = {}
    for path in (tmp_path / "out").rglob("*.*"):
        if path.name != manifest.NAME:
            with Image.open(path) as image:
                kinds[path.name] = (image.format, image.size)
    assert kinds["a.jpg"] == ("JPEG", (48, 32))
    assert kinds["e.webp"] == ("WEBP", (48, 32))
    assert cv2.imread(str(tmp_path / "out" / "d.tif"), cv2.IMREAD_UNCHANGED).dtype == np.uint16
    (report,) = testing.results(events)
    assert "5 painted" in report.text
    assert "f.png" in report.text
    assert "g.jpg: g.jpg is empty" in report.text


def test_a_second_run_paints_only_what_is_new_or_other(folder: Path, style: Path, other_style: Path) -> None:
    assert len(previews(run(folder, style))) == 4
    assert previews(run(folder, style)) == []
    Image.fromarray(photograph(32, 32)).save(folder / "a.jpg")
    Image.fromarray(photograph(32, 32)).save(folder / "new.png")
    assert previews(run(folder, style)) == ["a.jpg", "new.png"]
    target = folder.parent / "holiday in Ink"
    (target / "b.png").unlink()
    assert previews(run(folder, style)) == ["b.png"]
    assert len(previews(run(folder, other_style, target=target))) == 5


class Stopped(testing.FakeContext):
    """Cancelled in the middle of the third picture."""

    def emit(self, event: api.Event) -> None:
        if isinstance(event, api.Progress) and event.text == "Painting c.gif" and event.step > 2.4:
            raise api.Cancelled
        super().emit(event)


def test_it_goes_on_after_a_stop(folder: Path, style: Path) -> None:
    ctx = Stopped()
    with pytest.raises(api.Cancelled):
        run(folder, style, ctx)
    done = previews(ctx.events)
    assert done == ["a.jpg", "b.png"]
    assert previews(run(folder, style)) == ["c.gif", "d.tif"]
    assert not list((folder.parent / "holiday in Ink").glob(".part*"))


def test_a_pause_is_kept(folder: Path, style: Path) -> None:
    with pytest.raises(api.Paused):
        run(folder, style, testing.FakeContext(pause_requested=True))


def test_files_of_the_artist_stay(folder: Path, style: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "a.jpg").write_bytes(b"mine")
    events = run(folder, style, target=target)
    assert (target / "a.jpg").read_bytes() == b"mine"
    assert any("a.jpg is in the target folder already" in one.text for one in events if isinstance(one, api.Notice))
    for inside in (folder, folder / "more"):
        with pytest.raises(api.BadInput, match="among the pictures"):
            run(folder, style, target=inside)


def test_a_full_disk_costs_one_picture(folder: Path, style: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = Image.Image.save

    def full(image: Image.Image, path: Any, *more: Any, **options: Any) -> None:
        if image.mode == "RGBA":
            raise OSError(errno.ENOSPC, "No space left on device")
        save(image, path, *more, **options)

    monkeypatch.setattr(Image.Image, "save", full)
    events = run(folder, style)
    assert any("The disk is full" in event.text for event in events if isinstance(event, api.Notice))
    assert previews(events) == ["a.jpg", "c.gif", "d.tif"]


def test_there_must_be_pictures(style: Path, tmp_path: Path) -> None:
    folder = tmp_path / "few"
    with pytest.raises(api.BadInput, match="cannot be read"):
        run(folder, style)
    folder.mkdir()
    with pytest.raises(api.BadInput, match="no pictures"):
        run(folder, style)
    (folder / "broken.png").write_bytes(b"\x89PNG")
    with pytest.raises(api.BadInput, match="None of the 1 pictures"):
        run(folder, style)


def test_a_profile_comes_back_with_its_colours(tmp_path: Path, style: Path) -> None:
    profile = display_profile(ADOBE, 2.19921875)
    folder = tmp_path / "wide"
    folder.mkdir()
    own = photograph(48, 32) // 2 + 60
    Image.fromarray(own).save(folder / "a.png", icc_profile=profile)
    run(folder, style, target=tmp_path / "out", strength=0)
    with Image.open(tmp_path / "out" / "a.png") as image:
        assert image.info["icc_profile"] == profile
        assert np.abs(np.asarray(image, int) - own).max() <= 3


def test_what_had_no_profile_says_that_it_is_srgb(tmp_path: Path, folder: Path, style: Path) -> None:
    run(folder, style, target=tmp_path / "out")
    with Image.open(tmp_path / "out" / "a.jpg") as image:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        assert "sRGB" in ImageCms.getProfileDescription(profile)


def test_a_line_that_was_cut_short_does_not_count(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"1")
    book = manifest.opened(tmp_path / "out", "x")
    book.add(Path("a.png"), picture, picture)
    path = tmp_path / "out" / manifest.NAME
    path.write_text(path.read_text() + path.read_text().replace("a.png", "b.png")[:20])
    again = manifest.opened(tmp_path / "out", "x")
    assert again.is_done(Path("a.png"), picture, picture)
    assert not again.is_done(Path("b.png"), picture, picture)
    assert not manifest.opened(tmp_path / "out", "other settings").is_done(Path("a.png"), picture, picture)
    again.add(Path("c.png"), picture, picture)
    assert manifest.opened(tmp_path / "out", "x").is_done(Path("c.png"), picture, picture)


@pytest.mark.parametrize("named", [True, False])
def test_a_kill_while_a_painting_gets_its_name_costs_nothing_more(
    named: bool, folder: Path, style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(folder, style)
    finish = files.commit_file

    def killed(part: Path, path: Path) -> None:
        if named:
            finish(part, path)
        raise KeyboardInterrupt

    for resolution in (16, 24):
        with monkeypatch.context() as patched:
            patched.setattr(files, "finish", killed)
            with pytest.raises(KeyboardInterrupt):
                run(folder, style, resolution=resolution)
        events = run(folder, style, resolution=resolution)
        assert previews(events) == ["a.jpg", "b.png", "c.gif", "d.tif"][named:]
        assert not [event.text for event in events if isinstance(event, api.Notice) and "already" in event.text]


def test_a_style_may_be_called_anything(folder: Path, style: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd"
    shutil.copytree(style, odd)
    (odd / "studio.json").write_text(json.dumps({"title": "../../Ink / wash\x00", "kind": "style"}))
    run(folder, odd)
    (made,) = (path for path in folder.parent.iterdir() if path.name.startswith("holiday in"))
    assert (made / "a.jpg").is_file()


def test_a_picture_that_vanishes_costs_itself_alone(folder: Path, style: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = api.images.open_picture

    def vanishing(path: Path) -> Any:
        image = opened(path)
        if path.name == "b.png":
            path.unlink()
        return image

    monkeypatch.setattr(api, "open_picture", vanishing)
    events = run(folder, style)
    assert previews(events) == ["a.jpg", "c.gif", "d.tif"]
    assert any("b.png" in event.text for event in events if isinstance(event, api.Notice))
