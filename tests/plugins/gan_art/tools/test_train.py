"""`gan.train` as the studio runs it, from a folder of images to a GAN that is loaded and trained further."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from plugins.gan_art.models import gan_model, thumbnail
from plugins.gan_art.tools import train
from plugins.gan_art.tools.train import TrainGan
from plugins.gan_art.training import evaluation
from studio import api, testing

TINY: dict[str, Any] = {"size": 32, "width": "tiny", "batch": 4, "steps": 4, "preview_every": 4}


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "MEASURED", 16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for number in range(20):
        path = tmp_path / "images" / ("warm" if number % 2 else "cold") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        colours = random.integers(0, 256, (4, 4, 3)).astype(np.uint8)
        Image.fromarray(colours).resize((40, 36), Image.Resampling.BICUBIC).save(path)
    (tmp_path / "images" / "torn.png").write_bytes(b"no image")
    return tmp_path / "images"


def train_gan(ctx: testing.FakeContext, **values: Any) -> tuple[api.Trained, list[api.Event]]:
    events = testing.run(TrainGan, ctx, **{**TINY, **values})
    (trained,) = [event for event in events if isinstance(event, api.Trained)]
    return trained, events


def test_the_tool_conforms() -> None:
    testing.check_plugin([TrainGan])
    testing.check_light_import("plugins.gan_art.tools.train", [Path(train.__file__).parents[3]])


def test_a_gan_is_trained_loaded_and_trained_further(folder: Path, tmp_path: Path) -> None:
    ctx = testing.FakeContext(7, tmp_path / "job")
    trained, events = train_gan(ctx, folder=folder, label_by="folder", title="Mine")
    assert (trained.title, trained.kind) == ("Mine", "gan")
    model = gan_model.open_gan(trained.folder)
    assert model.class_names == ["cold", "warm"]
    assert model.discriminator is not None
    images = model.synthesize(model.map_latents(torch.randn(2, model.generator.latent_size), [0, 1]))
    assert images.shape == (2, 3, 32, 32)
    card = (trained.folder / "README.md").read_text("utf-8")
    assert "| cold |" in card
    assert "KID" in card
    assert (trained.folder / thumbnail.FILE).exists()
    previews = [event for event in events if isinstance(event, api.Preview)]
    assert "nearest training image" in previews[-1].label
    further, _ = train_gan(
        testing.FakeContext(8, tmp_path / "further"),
        folder=folder,
        start_from=str(trained.folder),
        frozen_layers=1,
        transparent=False,
        steps=2,
    )
    assert gan_model.open_gan(further.folder).class_names == []


def test_a_fastgan_is_trained_on_few_images(folder: Path, tmp_path: Path) -> None:
    trained, _ = train_gan(testing.FakeContext(7, tmp_path / "job"), folder=folder, architecture="fastgan", size=64)
    model = gan_model.open_gan(trained.folder)
    assert model.config.architecture == "fastgan"
    assert model.synthesize(model.map_latents(torch.randn(2, model.generator.latent_size))).shape == (2, 3, 64, 64)
    assert "FastGAN" in (trained.folder / "README.md").read_text("utf-8")
    with pytest.raises(api.BadInput, match="square and has no classes"):
        train_gan(testing.FakeContext(8, tmp_path / "next"), folder=folder, architecture="fastgan", label_by="folder")


def test_transparent_portraits_are_learnt(folder: Path, tmp_path: Path) -> None:
    trained, _ = train_gan(testing.FakeContext(7, tmp_path / "job"), folder=folder, aspect="2:3", transparent=True)
    generator = gan_model.open_gan(trained.folder).generator
    assert (generator.image_size, generator.channels) == ((48, 32), 4)


def test_a_base_model_of_another_size_is_refused(folder: Path, tmp_path: Path) -> None:
    trained, _ = train_gan(testing.FakeContext(7, tmp_path / "job"), folder=folder, steps=1)
    with pytest.raises(api.BadInput, match="32 × 32 px"):
        train_gan(testing.FakeContext(8, tmp_path / "next"), folder=folder, start_from=str(trained.folder), size=64)


def test_too_few_images_are_refused(folder: Path, tmp_path: Path) -> None:
    for path in sorted(folder.rglob("*.png"))[5:]:
        path.unlink()
    with pytest.raises(api.BadInput, match="needs 16"):
        train_gan(testing.FakeContext(7, tmp_path / "job"), folder=folder)
