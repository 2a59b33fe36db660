"""The starter dreams fruits of eight classes, has a discriminator and named directions, and its card is complete."""

from __future__ import annotations

import json

import numpy as np
import torch

from plugins.gan_art.editing import direction_file, directions
from plugins.gan_art.models import gan_model
from studio.core import paths

FOLDER = paths.resources_folder() / "starters" / gan_model.STARTER
MAX_BYTES = 2_200_000


def test_classes_differ_and_images_are_varied() -> None:
    model = gan_model.open_gan(FOLDER)
    assert model.class_names[0] == "apples"
    latents = torch.randn(8, model.generator.latent_size, generator=torch.Generator().manual_seed(5))
    apples, plums = (
        model.synthesize(model.map_latents(latents, [model.find_class(name)] * 8, truncation=0.8))
        for name in ("apples", "plums")
    )
    assert apples.shape == (8, 3, 64, 64)
    assert float(apples[:, :, :8].mean()) > 0.7  # cream paper at the top
    assert float((apples - plums).abs().mean()) > 0.03
    assert float(apples.std(dim=0).mean()) > 0.05


def test_each_named_direction_changes_the_image() -> None:
    model = gan_model.open_gan(FOLDER)
    found, fits = direction_file.read_directions(FOLDER / direction_file.FILE, model)
    assert fits
    assert {"paper", "ripeness", "cut", "stone", "slenderness"} <= {one.name for one in found}
    styles = model.map_latents(torch.zeros(1, model.generator.latent_size), [0])[0].cpu()
    for direction in found:
        low, high = (directions.apply_directions(styles, [(direction, amount)]) for amount in (-1.0, 1.0))
        images = model.synthesize(torch.stack([low, high])).numpy()
        assert float(np.abs(images[0] - images[1]).mean()) > 0.02, direction.name


def test_the_card_is_complete_and_the_starter_small() -> None:
    about = json.loads((FOLDER / "studio.json").read_bytes())
    assert (about["kind"], about["licence"]) == (gan_model.MODEL_KIND, "MIT")
    card = (FOLDER / "README.md").read_text("utf-8")
    for words in ("It is a starter", "KID", "memorisation", "gan.train", "Public domain"):
        assert words in card
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < MAX_BYTES
