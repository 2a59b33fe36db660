"""The starter model generates what its card says, without a download."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from plugins.diffusion.models.loader import STARTER
from plugins.diffusion.tools.image_to_image import ImageToImage
from plugins.diffusion.tools.text_to_image import TextToImage
from studio import api, testing
from studio.core import paths

FOLDER = paths.resources_folder() / "starters" / STARTER


def generate(tool: type[api.Tool] = TextToImage, seed: int = 1, **values: object) -> np.ndarray:
    (made,) = testing.results(testing.run(tool, testing.FakeContext(seed=seed), **values))
    assert isinstance(made, api.Image)
    return np.asarray(made.picture).astype(int)


@pytest.fixture(scope="module")
def apple() -> np.ndarray:
    return generate(prompt="a red apple, 3d")


def test_red_apple_is_red_on_white(apple: np.ndarray) -> None:
    assert apple.shape == (128, 128, 3)
    middle, corner = apple[40:88, 40:88].mean((0, 1)), apple[:8, :8].mean((0, 1))
    assert middle[0] > 150
    assert middle[0] > 1.8 * middle[1:].max()
    assert corner.min() > 200


def test_prompt_and_seed_change_the_image(apple: np.ndarray) -> None:
    leaf = generate(prompt="a green apple, 3d")[40:88, 40:88].mean((0, 1))
    assert leaf[1] > leaf[0]
    assert np.abs(generate(prompt="a red apple, 3d", seed=2) - apple).mean() > 2
    assert (generate(prompt="a red apple, 3d") == apple).all()


def test_prompt_sets_the_ground() -> None:
    made = generate(prompt="a yellow sun on a blue ground, flat")
    corner = made[:10, :10].mean((0, 1))
    assert corner[2] > corner[0] + 60


def test_image_to_image_keeps_the_colours(apple: np.ndarray, tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(apple.astype(np.uint8)).save(tmp_path / "apple.png")
    kept = generate(ImageToImage, prompt="a red apple, 3d", image=tmp_path / "apple.png", strength=0.2)
    assert np.abs(kept - apple).mean() < np.abs(generate(prompt="a blue bus, flat") - apple).mean() / 2


def test_card_and_size() -> None:
    about = json.loads((FOLDER / "studio.json").read_text("utf-8"))
    assert about["kind"] == "diffusion"
    assert about["licence"] == "MIT"
    assert "starter" in about["summary"]
    card = (FOLDER / "README.md").read_text("utf-8")
    assert "It is a starter" in card
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) < 11_000_000
