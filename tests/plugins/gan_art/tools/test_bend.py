"""Bent features and blended models."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image

from plugins.gan_art.editing import features
from plugins.gan_art.models.gan_model import load_gan, open_gan
from plugins.gan_art.tools.bend import Bend
from plugins.gan_art.tools.blend_models import BlendModels, blend_weights
from studio import api, testing
from tests.plugins.gan_art.fixtures.tiny_gan import make_context, save_tiny_gan

OPERATIONS: tuple[features.Operation, ...] = get_args(features.Operation)


def run(tool: type[api.Tool], folder: Path, **values: Any) -> Any:
    (result,) = testing.results(testing.run(tool, make_context(folder, seed=7), **{"model": "tiny", **values}))
    return result


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_changes_features_with_its_amount(operation: features.Operation) -> None:
    values = torch.randn(2, 3, 8, 12)
    assert torch.equal(features.bend(values, operation, 0.0), values)
    bent = features.bend(values, operation, 1.0)
    assert bent.shape == values.shape
    assert not torch.allclose(bent, values)
    assert not torch.allclose(bent, features.bend(values, operation, 0.3))


def test_operations_do_what_they_say() -> None:
    values = torch.randn(1, 2, 8, 8)
    assert torch.allclose(features.bend(values, "rotate", 1.0), values.rot90(-1, (2, 3)), atol=1e-4) or torch.allclose(
        features.bend(values, "rotate", 1.0), values.rot90(1, (2, 3)), atol=1e-4
    )
    assert torch.equal(features.bend(values, "mirror", 1.0), values.flip(3))
    assert bool((features.bend(values, "dilate", 0.5) >= values - 1e-6).all())
    assert bool((features.bend(values, "erode", 0.5) <= values + 1e-6).all())
    mean = values.mean(dim=(2, 3))
    assert torch.allclose(features.bend(values, "invert", 1.0).mean(dim=(2, 3)), mean, atol=1e-5)
    assert torch.allclose(features.bend(features.bend(values, "invert", 1.0), "invert", 1.0), values, atol=1e-5)
    half, other = features.bend(values, "invert", 0.5), features.bend(values, "invert", -0.5)
    whole = features.bend(values, "invert", 1.0)
    assert torch.allclose(half + other, values + whole, atol=1e-5), "the one inverts what the other leaves"
    assert half.std(dim=(2, 3)).allclose(values.std(dim=(2, 3)), atol=1e-5), "no channel is emptied"


def test_bending_changes_the_image_in_the_region_only(tmp_path: Path) -> None:
    plain = run(Bend, tmp_path, amount=0.0, layer=16).picture
    bent = run(Bend, tmp_path, amount=1.0, layer=16).picture
    mask = np.zeros((16, 16), np.uint8)
    mask[:, 8:] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    right = run(Bend, tmp_path, amount=1.0, layer=16, mask=tmp_path / "mask.png").picture
    assert not np.array_equal(plain, bent)
    assert np.array_equal(right[:, :8], plain[:, :8])
    assert np.array_equal(right[:, 8:], bent[:, 8:])


def test_a_model_stays_unbent_afterwards(tmp_path: Path) -> None:
    ctx = make_context(tmp_path, seed=7)
    model = load_gan(ctx, "tiny")
    styles = model.map_latents(torch.zeros(1, 8), [0])
    before = model.synthesize(styles)
    with features.change_features(model, 8, lambda values: values * 3):
        assert not torch.equal(model.synthesize(styles), before)
    assert torch.equal(model.synthesize(styles), before)


def test_layers_and_masks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(api.BadInput, match="no layer of 256 px"):
        run(Bend, tmp_path, layer=256)
    Image.new("L", (16, 16)).save(tmp_path / "black.png")
    with pytest.raises(api.BadInput, match="mask is empty"):
        run(Bend, tmp_path, mask=tmp_path / "black.png")


def test_a_blend_takes_fine_layers_from_the_other(tmp_path: Path) -> None:
    first, second = open_gan(save_tiny_gan(tmp_path / "a")), open_gan(save_tiny_gan(tmp_path / "b", seed=1))
    blended = blend_weights(first, second, 8, 1.0)
    own, other = (model.generator.state_dict() for model in (first, second))  # type: ignore[attr-defined]
    for name, value in blended.items():
        expected = other if name.startswith(("synthesis.b8.", "synthesis.b16.")) else own
        assert torch.equal(value, expected[name]), name
    average = blend_weights(first, second, 8, 0.0)
    middle = (own["synthesis.b4.const"] + other["synthesis.b4.const"]) / 2
    assert torch.allclose(average["synthesis.b4.const"], middle)


def test_a_blend_is_a_model(tmp_path: Path) -> None:
    other = save_tiny_gan(tmp_path / "other", seed=1)
    trained = run(BlendModels, tmp_path / "home", other=str(other), swap_at=8)
    assert trained.kind == "gan"
    assert open_gan(trained.folder).class_names == ["apple", "pear", "plum"]
    assert (trained.folder / "preview.webp").exists()


def test_models_of_different_layers_are_not_blended(tmp_path: Path) -> None:
    other = save_tiny_gan(tmp_path / "other", widths=(8, 8))
    with pytest.raises(api.BadInput, match="different layers"):
        run(BlendModels, tmp_path / "home", other=str(other), swap_at=8)
    with pytest.raises(api.BadInput, match="no layer of 64 px"):
        run(BlendModels, tmp_path / "home", other="tiny", swap_at=64)
