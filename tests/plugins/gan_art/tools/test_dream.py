"""Images from seeds, the map, sheets, and the latents in their notes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plugins.gan_art.models.gan_model import load_gan
from plugins.gan_art.sampling import latents
from plugins.gan_art.sampling.estimates import describe_classes
from plugins.gan_art.tools.dream import Dream
from studio import api, testing
from tests.plugins.gan_art.fixtures.tiny_gan import make_context, save_creation, save_tiny_gan


def dream(folder: Path, *, seed: int = 7, draft: bool = False, **values: Any) -> list[Any]:
    """Return the results of the tool with a random model."""
    ctx = make_context(folder, seed=seed, draft=draft)
    return testing.results(testing.run(Dream, ctx, **{"model": "tiny", **values}))


def test_the_tool_can_be_cancelled_and_repeated(tmp_path: Path) -> None:
    folder = save_tiny_gan(tmp_path / "model")
    testing.check_tool(Dream, {"model": str(folder), "rows": 2, "columns": 3, "noise": "random"})


def test_another_seed_class_or_noise_gives_another_image(tmp_path: Path) -> None:
    variants = [
        dream(tmp_path),
        dream(tmp_path, seed=8),
        dream(tmp_path, class_name="pear"),
        dream(tmp_path, class_name="2"),
        dream(tmp_path, noise="none"),
        dream(tmp_path, noise="random"),
        dream(tmp_path, truncation=0.2),
        dream(tmp_path, truncation=0.2, cutoff=2),
        dream(tmp_path, map_x=0.3),
        dream(tmp_path, map_y=0.3),
    ]
    assert len({image.picture.tobytes() for (image,) in variants}) == len(variants)


def test_a_class_that_does_not_exist_is_refused_with_the_names(tmp_path: Path) -> None:
    with pytest.raises(api.BadInput, match=r"no class “kiwi”.*apple, pear, plum"):
        dream(tmp_path, class_name="kiwi")


def test_the_tiles_of_a_sheet_are_the_images_of_the_seeds_in_its_notes(tmp_path: Path) -> None:
    (sheet,) = dream(tmp_path, rows=2, columns=3)
    assert sheet.picture.shape == (2 * 16 + 2, 3 * 16 + 4, 3)
    assert sheet.notes["seeds"] == [[7, 8, 9], [10, 11, 12]]
    (single,) = dream(tmp_path, seed=11)
    tile = sheet.picture[18:, 18:34]
    assert np.abs(tile.astype(int) - single.picture).max() <= 1


def test_a_sheet_saves_its_images_when_asked(tmp_path: Path) -> None:
    sheet, *singles = dream(tmp_path, rows=1, columns=2, singles=True)
    assert [result.name for result in (sheet, *singles)] == ["sheet", "image-001", "image-002"]
    assert all(latents.NOTE in single.notes for single in singles)


def test_the_seeds_after_the_last_one_begin_at_0() -> None:
    assert latents.list_seeds(2**32 - 1, 3) == [2**32 - 1, 0, 1]


def test_transparent_images_stay_transparent_when_they_are_enlarged(tmp_path: Path) -> None:
    folder = save_tiny_gan(tmp_path / "models" / "rgba", channels=4, classes=0)
    (image,) = dream(tmp_path, model=str(folder), enlarge=4)
    assert image.picture.shape == (64, 64, 4)


def test_a_large_image_is_painted_block_by_block_in_a_draft(tmp_path: Path) -> None:
    folder = save_tiny_gan(tmp_path / "large", widths=(4,) * 8, classes=0)
    ctx = make_context(tmp_path, draft=True)
    events = testing.run(Dream, ctx, model=str(folder))
    previews = [event for event in events if isinstance(event, api.Preview)]
    assert [preview.label for preview in previews] == [f"Preview at {side} px" for side in (64, 128, 256)]
    (whole,) = testing.results(events)
    (expected,) = dream(tmp_path, seed=0, model=str(folder))
    assert isinstance(whole, api.Image)
    assert np.array_equal(np.asarray(whole.picture), expected.picture)


def test_the_map_keeps_the_length_and_leaves_the_latent_at_a_distance_of_1() -> None:
    latent = torch.randn(1, 32, generator=torch.Generator().manual_seed(3))
    assert torch.equal(latents.move_on_map(latent, [3], 0, 0), latent)
    for x, y in ((1, 0), (0, -1), (0.6, 0.8)):
        moved = latents.move_on_map(latent, [3], x, y)
        assert float(moved.norm()) == pytest.approx(float(latent.norm()), rel=1e-5)
        assert float((moved * latent).sum()) == pytest.approx(0, abs=1e-3)
    across, up = (latents.move_on_map(latent, [3], x, y) for x, y in ((1, 0), (0, 1)))
    assert float((across * up).sum()) == pytest.approx(0, abs=1e-3)


def test_the_latent_of_a_creation_gives_its_image_again(tmp_path: Path) -> None:
    (image,) = dream(tmp_path, class_name="plum", map_x=0.4)
    ctx = make_context(tmp_path)
    model = load_gan(ctx, "tiny")
    latent = latents.read_latent(ctx, save_creation(tmp_path, image), model)
    assert latent.class_number == 2
    again = api.images.to_uint8(model.synthesize(latent.styles[None]))[0]
    assert np.array_equal(again, image.picture)
    assert not ctx.events


def test_a_latent_with_different_layers_is_kept_whole(tmp_path: Path) -> None:
    ctx = make_context(tmp_path)
    model = load_gan(ctx, "tiny")
    styles = latents.round_styles(torch.randn(6, 8))
    note = latents.build_note(model, latents.Latent(styles, 1))
    path = save_creation(tmp_path, api.Image(np.zeros((16, 16, 3), np.uint8), notes=note))
    assert torch.equal(latents.read_latent(ctx, path, model).styles, styles)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shape": [6, 9]}, "damaged"),
        ({"shape": [2**40, 2**40]}, "damaged"),
        ({"shape": [-1, 8]}, "damaged"),
        ({"shape": "1 8"}, "damaged"),
        ({"styles": "not base64"}, "damaged"),
        ({"styles": "AHwAfAB8AHwAfAB8AHwAfA=="}, "damaged"),
        ({"styles": None}, "damaged"),
        ({"shape": [1, 4], "styles": "AAAAAAAAAAA="}, "do not fit"),
        ({"layers": 12}, "do not fit"),
    ],
)
def test_a_damaged_latent_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    (image,) = dream(tmp_path)
    note = {latents.NOTE: {**image.notes[latents.NOTE], **changes}}
    ctx = make_context(tmp_path)
    path = save_creation(tmp_path, api.Image(image.picture, notes=note))
    with pytest.raises(api.BadInput, match=words):
        latents.read_latent(ctx, path, load_gan(ctx, "tiny"))


def test_images_without_a_latent_are_refused(tmp_path: Path) -> None:
    ctx = make_context(tmp_path)
    model = load_gan(ctx, "tiny")
    plain = save_creation(tmp_path, api.Image(np.zeros((16, 16, 3), np.uint8)))
    with pytest.raises(api.BadInput, match=r"no latent.*Invert"):
        latents.read_latent(ctx, plain, model)
    (sheet,) = dream(tmp_path, rows=2)
    with pytest.raises(api.BadInput, match="sheet of several images"):
        latents.read_latent(ctx, save_creation(tmp_path, sheet), model)


def test_the_latent_of_another_model_is_used_with_a_notice(tmp_path: Path) -> None:
    (image,) = dream(tmp_path)
    path = save_creation(tmp_path, image)
    ctx = make_context(tmp_path)
    latents.read_latent(ctx, path, load_gan(ctx, str(save_tiny_gan(tmp_path / "other", seed=1))))
    (notice,) = ctx.events
    assert isinstance(notice, api.Notice)
    assert "was made with tiny; in other" in notice.text


def test_the_estimate_names_the_classes(tmp_path: Path) -> None:
    expected = testing.estimate(Dream, make_context(tmp_path), model="tiny", rows=2, columns=3)
    assert expected is not None
    assert expected.work == 6
    assert expected.notes == {"class_name": "apple, pear, plum"}
    assert describe_classes(tuple(f"class {number}" for number in range(1000))) == "class 0, class 1, class 2 … (1000)"
    assert testing.estimate(Dream, make_context(tmp_path), model="no-model") is None
