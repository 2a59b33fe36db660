"""`gan.import` as the studio runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from plugins.gan_art.models import thumbnail
from plugins.gan_art.models.gan_model import GanModel, open_gan
from plugins.gan_art.tools.dream import Dream
from plugins.gan_art.tools.import_gan import ImportGan
from studio import api, testing
from studio.library.models import licences, model_kind
from tests.plugins.gan_art.fixtures.foreign_pickles import write_persistent
from tests.plugins.gan_art.fixtures.original_networks import Dcgan, make_discriminator, make_stylegan2, randomise


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    weights = make_stylegan2(classes=2).state_dict()
    return write_persistent(tmp_path / "stylegan2-0123456789.pkl", weights, make_discriminator().state_dict())


def run_import(path: Path, **values: Any) -> tuple[api.Trained, list[str]]:
    """Return the model, and the sentences that the artist sees."""
    events = testing.run(ImportGan, file=path, **values)
    (model,) = (event for event in events if isinstance(event, api.Trained))
    return model, [event.text for event in events if isinstance(event, api.Notice)]


def generate(model: GanModel, latents: Tensor) -> Tensor:
    return model.synthesize(model.map_latents(latents, [1] * len(latents)))


def test_the_tool_conforms(snapshot: Path) -> None:
    testing.check_tool(ImportGan, {"file": snapshot})


def test_an_imported_model_makes_the_same_images(snapshot: Path) -> None:
    model, sentences = run_import(snapshot, title="Portraits", licence="CC0-1.0")
    assert (model.title, model.kind) == ("Portraits", "gan")
    assert "StyleGAN2-ADA: 16 × 16 px, 2 classes" in sentences[0]
    assert "Licence: CC0-1.0" in sentences[0]
    torch.manual_seed(0)
    original = make_stylegan2(classes=2)
    opened = open_gan(model.folder)
    latents = torch.randn(3, 6)
    with torch.inference_mode():
        styles = original.map_latents(latents, torch.tensor([[0.0, 1.0]] * 3))
        expected = original.synthesize(styles).clamp(-1, 1)
    assert torch.allclose(generate(opened, latents), expected, atol=1e-5)
    assert opened.discriminator is not None
    assert not (snapshot.parent / "MARK").exists()


def test_card_and_notes_say_what_the_file_would_have_run(snapshot: Path) -> None:
    model, sentences = run_import(snapshot)
    assert model.title == "stylegan2"
    card = (model.folder / "README.md").read_text()
    assert "Python source" in card
    assert any("Python source" in sentence for sentence in sentences)
    assert "Python source" in model.notes["report"]
    about = json.loads((model.folder / "studio.json").read_text())
    assert "Nvidia Source Code License-NC" in about["licence"]
    assert licences.licence_of(model.folder) == about["licence"]
    assert model_kind.kind_of(model.folder) in ("", "gan")
    assert (model.folder / thumbnail.FILE).is_file()


def test_an_imported_model_dreams(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(randomise(Dcgan(channels=1)).state_dict(), tmp_path / "netG_epoch_24.pth")
    model, sentences = run_import(tmp_path / "netG_epoch_24.pth")
    assert "Licence: unknown" in sentences[0]
    assert "ReLU" in sentences[1]
    images = [event for event in testing.run(Dream, model=str(model.folder)) if isinstance(event, api.Image)]
    assert images


def test_another_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    torch.save({"epoch": 1}, tmp_path / "optimizer.pt")
    with pytest.raises(api.BadInput, match=r"optimizer.pt holds no weights. Choose the file of a generator."):
        run_import(tmp_path / "optimizer.pt")
