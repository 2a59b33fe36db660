"""The tools as the studio runs them, with real models at their smallest."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from plugins import vae_interpolation
from plugins.vae_interpolation.tools.blend import Blend
from plugins.vae_interpolation.tools.dream import Dream
from plugins.vae_interpolation.tools.grid import Grid
from plugins.vae_interpolation.tools.latent_arithmetic import LatentArithmetic
from plugins.vae_interpolation.tools.morph import Morph
from plugins.vae_interpolation.tools.reconstruct import Reconstruct
from studio import api, testing

Frame = NDArray[np.uint8]


def read_frames(events: list[api.Event]) -> list[Frame]:
    (one,) = (event for event in testing.results(events) if isinstance(event, api.Animation))
    return [np.asarray(frame) for frame in one.frames]


def pictures(events: list[api.Event]) -> list[Frame]:
    return [np.asarray(event.picture) for event in events if isinstance(event, api.Image)]


def notices(events: list[api.Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, api.Notice)]


def resize(path: Path, side: int = 64) -> Frame:
    return np.asarray(api.images.open_picture(path).convert("RGB").resize((side, side), Image.Resampling.LANCZOS))


@pytest.fixture
def tiny(kl_folder: Path) -> dict[str, Any]:
    return {"size": 64, "model": str(kl_folder)}


def test_all_tools_follow_the_rules() -> None:
    tools = vae_interpolation.studio_tools()
    testing.check_plugin(tools)
    names = {"morph", "blend", "grid", "arithmetic", "dream", "inspect", "train"}
    assert {f"vae.{name}" for name in names} <= {tool.id for tool in tools}


def test_the_plugin_is_light() -> None:
    testing.check_light_import("plugins.vae_interpolation", [Path(vae_interpolation.__file__).parents[2]])


def test_every_tool_can_be_cancelled_and_repeated(disks: list[Path], tiny: dict[str, Any], global_folder: Path) -> None:
    plain = {**tiny, "align": "none"}
    testing.check_tool(Morph, {"images": disks[:2], "frames": 3, **plain})
    testing.check_tool(Blend, {"images": disks[:2], **tiny})
    testing.check_tool(Grid, {"images": disks, "columns": 2, "rows": 2, **plain})
    testing.check_tool(LatentArithmetic, {"image": disks[0], "plus": disks[1:2], "minus": disks[2:3], **tiny})
    testing.check_tool(Reconstruct, {"image": disks[0], **tiny})
    testing.check_tool(Dream, {"pictures": 3, "size": 96, "model": str(global_folder)})
    walk = {"kind": "walk", "pictures": 2, "frames": 4, "size": 64, "model": str(global_folder)}
    testing.check_tool(Dream, walk)


def test_a_morph_begins_and_ends_on_the_pictures_themselves(disks: list[Path], tiny: dict[str, Any]) -> None:
    ctx = testing.FakeContext()
    frames = read_frames(testing.run(Morph, ctx, images=disks[:2], frames=5, strength=1.0, **tiny))
    assert len(frames) == 5
    assert {frame.shape for frame in frames} == {(64, 64, 3)}
    assert np.array_equal(frames[0], resize(disks[0]))
    cropped = np.asarray(
        api.images.open_picture(disks[1]).crop((20, 0, 100, 80)).resize((64, 64), Image.Resampling.LANCZOS)
    )
    assert np.abs(frames[-1].astype(int) - cropped).max() <= 2
    assert ctx.notes["ghosting"]["plain"] > ctx.notes["ghosting"]["aligned"]
    assert ctx.notes["ghosting"]["pairs"][0]["used"] == "flow"
    assert "Ghosting half-way" in notices(ctx.events)[0]


def test_a_morph_reports_its_progress(disks: list[Path], tiny: dict[str, Any]) -> None:
    events = testing.run(Morph, images=disks[:2], frames=4, align="none", **tiny)
    drawn = [event for event in events if isinstance(event, api.Progress) and event.text == "Rendering frames"]
    assert [(event.step, event.total) for event in drawn] == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("path", ["linear", "spherical", "catmull-rom"])
@pytest.mark.parametrize("motion", ["loop", "ping-pong"])
def test_a_morph_of_several_in_every_way(path: str, motion: str, disks: list[Path], tiny: dict[str, Any]) -> None:
    values: dict[str, Any] = {"images": disks[:3], "frames": 6, "path": path, "motion": motion, **tiny}
    align = "flow" if (path, motion) == ("catmull-rom", "loop") else "none"
    frames = read_frames(testing.run(Morph, align=align, **values))
    assert len(frames) == 6
    assert np.abs(frames[0].astype(int) - resize(disks[0])).max() <= 1
    if motion == "ping-pong":
        assert np.array_equal(frames[1], frames[5])


def test_stills_are_frames(disks: list[Path], tiny: dict[str, Any]) -> None:
    events = testing.run(Morph, images=disks[:2], frames=5, stills=3, align="none", **tiny)
    frames, stills = read_frames(events), pictures(events)
    assert [event.name for event in events if isinstance(event, api.Image)] == [
        "frame-0000",
        "frame-0002",
        "frame-0004",
    ]
    assert all(np.array_equal(still, frames[number]) for still, number in zip(stills, (0, 2, 4), strict=True))


def test_a_morph_can_be_cancelled_between_frames(disks: list[Path], tiny: dict[str, Any]) -> None:
    ctx = testing.FakeContext(cancel_after=6)
    with pytest.raises(api.Cancelled):
        testing.run(Morph, ctx, images=disks[:2], frames=50, align="none", **tiny)
    assert len(ctx.events) == 6


def test_the_work_of_a_morph_follows_from_its_frames(disks: list[Path]) -> None:
    few, many = (testing.estimate(Morph, images=disks[:2], frames=frames) for frames in (24, 48))
    assert few is not None
    assert many is not None
    assert (many.work, many.rate) == (2 * few.work, few.rate)


def test_few_frames_give_a_warning(disks: list[Path], tiny: dict[str, Any]) -> None:
    texts = notices(testing.run(Morph, images=disks, frames=3, align="none", **tiny))
    assert texts == ["3 frames are few for 4 images."]


@pytest.mark.parametrize("model", ["tiny_folder", "global_folder"])
def test_a_morph_with_other_kinds_of_model(model: str, disks: list[Path], request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(model)
    frames = read_frames(testing.run(Morph, images=disks[:2], frames=3, size=64, model=str(folder)))
    assert np.array_equal(frames[0], resize(disks[0]))


def test_a_grid_has_the_pictures_at_its_corners(disks: list[Path], tiny: dict[str, Any]) -> None:
    events = testing.run(Grid, images=disks, columns=3, rows=2, gap=4, align="none", background="#00ff00", **tiny)
    (sheet,) = pictures(events)
    assert sheet.shape == (2 * 64 + 4, 3 * 64 + 2 * 4, 3)
    assert np.array_equal(sheet[:64, :64], resize(disks[0]))
    assert sheet[64:68, 0].tolist() == [[0, 255, 0]] * 4


def test_two_pictures_make_one_row_and_tiles_on_request(disks: list[Path], tiny: dict[str, Any]) -> None:
    events = testing.run(Grid, images=disks[:2], columns=3, rows=9, gap=0, tiles=True, align="none", **tiny)
    sheet, *tiles = pictures(events)
    assert sheet.shape == (64, 3 * 64, 3)
    assert np.array_equal(np.concatenate(tiles, axis=1), sheet)


def test_a_blend_at_a_corner_is_the_picture(disks: list[Path], tiny: dict[str, Any]) -> None:
    (picture,) = pictures(testing.run(Blend, images=disks, across=0.0, down=0.0, align="none", **tiny))
    assert np.array_equal(picture, resize(disks[0]))


def test_moving_a_slider_does_not_encode_again(disks: list[Path], tiny: dict[str, Any]) -> None:
    models = testing.FakeModels()
    for across in (0.2, 0.8):
        ctx = testing.FakeContext(draft=True, models=models)
        testing.run(Blend, ctx, images=disks[:2], across=across, **tiny)
        encoded = [event for event in ctx.events if isinstance(event, api.Progress) and "Encoding" in event.text]
        assert len(encoded) == (2 if across == 0.2 else 0)
        assert not notices(ctx.events)
    testing.run(Blend, ctx, images=disks[1:3], **tiny)
    assert len(models.loaded) == 2, "only the model and the latest images are kept"


def test_equal_sets_change_nothing(disks: list[Path], tiny: dict[str, Any]) -> None:
    values: dict[str, Any] = {"image": disks[0], "plus": disks[1:3], "minus": disks[1:3], **tiny}
    (picture,) = pictures(testing.run(LatentArithmetic, **values))
    assert np.abs(picture.astype(int) - resize(disks[0])).max() <= 1


@pytest.mark.parametrize("spread", ["place", "overall"])
def test_a_difference_is_added_with_its_weight(spread: str, disks: list[Path], tiny: dict[str, Any]) -> None:
    values: dict[str, Any] = {"image": disks[0], "plus": [disks[1]], "minus": [disks[2]], "spread": spread, **tiny}
    ctx = testing.FakeContext()
    (unchanged,) = pictures(testing.run(LatentArithmetic, strength=0.0, **values))
    (changed,) = pictures(testing.run(LatentArithmetic, ctx, strength=3.0, **values))
    assert np.array_equal(unchanged, resize(disks[0]))
    assert not np.array_equal(changed, unchanged)
    assert ctx.notes["difference"] > 0.0


def test_a_contact_sheet_of_dreams(global_folder: Path) -> None:
    values: dict[str, Any] = {"pictures": 5, "size": 128, "singles": True, "model": str(global_folder)}
    sheet, *singles = pictures(testing.run(Dream, **values))
    assert sheet.shape[1] <= 128
    assert [single.shape for single in singles] == [(128, 128, 3)] * 5
    assert not np.array_equal(singles[0], singles[1])


def test_a_walk_ends_where_it_began(global_folder: Path) -> None:
    values: dict[str, Any] = {"kind": "walk", "pictures": 3, "frames": 30, "size": 64, "model": str(global_folder)}
    frames = [frame.astype(int) for frame in read_frames(testing.run(Dream, **values))]
    steps = [np.abs(after - before).mean() for before, after in zip(frames, [*frames[1:], frames[0]], strict=True)]
    assert steps[-1] <= max(steps[:-1])


def test_a_spatial_model_cannot_generate_pictures(kl_folder: Path) -> None:
    with pytest.raises(api.BadInput, match="cannot generate images"):
        testing.run(Dream, model=str(kl_folder))


def test_the_error_of_a_reconstruction_is_shown_and_noted(disks: list[Path], tiny: dict[str, Any]) -> None:
    ctx = testing.FakeContext()
    (picture,) = pictures(testing.run(Reconstruct, ctx, image=disks[0], **tiny))
    assert picture.shape == (64, 3 * 64 + 2 * 8, 3)
    original, rebuilt = picture[:, :64].astype(float), picture[:, 72:136].astype(float)
    psnr = 10.0 * np.log10(255.0**2 / np.square(original - rebuilt).mean())
    assert ctx.notes["reconstruction"]["psnr"] == pytest.approx(psnr, abs=0.01)
    assert f"PSNR {psnr:.1f} dB" in notices(ctx.events)[0]
    assert ctx.notes["reconstruction"]["latent"] == [3, 16, 16]


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n cut short"])
def test_a_damaged_picture_is_reported_by_name(
    content: bytes, disks: list[Path], tiny: dict[str, Any], tmp_path: Path
) -> None:
    bad = tmp_path / "broken.png"
    bad.write_bytes(content)
    with pytest.raises(api.BadInput, match=r"broken\.png"):
        testing.run(Morph, images=[disks[0], bad], **tiny)


def test_one_picture_is_too_few_and_seventeen_too_many(disks: list[Path], tiny: dict[str, Any]) -> None:
    for images in (disks[:1], disks * 5):
        with pytest.raises(api.BadInput, match="Images"):
            testing.run(Morph, images=images, **tiny)
