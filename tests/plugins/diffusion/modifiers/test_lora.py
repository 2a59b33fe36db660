"""LoRAs change a picture by their weight, and leave the model as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from plugins.diffusion.tools.text_to_image import TextToImage
from studio import api, testing


class Shelf(testing.FakeContext):
    """Finds models by their names in a folder, as the studio does in its models folder."""

    shelf: Path

    def model(self, choice: str) -> Path | str:
        return self.shelf / choice if (self.shelf / choice).exists() else super().model(choice)


@pytest.fixture(scope="session")
def lora(sd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For the attention of the tiny model's denoiser, in the layout of diffusers."""
    torch.manual_seed(0)
    weights = load_file(sd / "unet/diffusion_pytorch_model.safetensors")
    pairs = {}
    for name, value in weights.items():
        if name.endswith(("to_q.weight", "to_v.weight")):
            stem = f"unet.{name.removesuffix('.weight')}"
            pairs[f"{stem}.lora_A.weight"] = torch.randn(2, value.shape[1])
            pairs[f"{stem}.lora_B.weight"] = torch.randn(value.shape[0], 2)
    folder = tmp_path_factory.mktemp("loras")
    save_file(pairs, folder / "ink.safetensors")
    return folder / "ink.safetensors"


def paint(ctx: testing.FakeContext, **values: Any) -> np.ndarray:
    (made,) = testing.results(testing.run(TextToImage, ctx, steps=2, **values))
    ctx.events.clear()
    assert isinstance(made, api.Image)
    return np.asarray(made.picture)


def test_weights_matter_and_the_model_is_left_as_it_was(sd: Path, lora: Path) -> None:
    ctx = Shelf(seed=1)
    ctx.shelf = lora.parent
    model = str(sd)
    plain = paint(ctx, prompt="fox", model=model)
    full = paint(ctx, prompt="fox", model=model, loras=[str(lora)])
    assert (full != plain).any()
    assert (paint(ctx, prompt="fox", model=model, loras=[str(lora)], lora_weights=[0.3]) != full).any()
    assert (paint(ctx, prompt="fox<lora:ink:1>", model=model) == full).all()
    assert (paint(ctx, prompt="fox", model=model, loras=[str(lora)], lora_weights=[0.0]) == plain).all()
    assert (paint(ctx, prompt="fox", model=model) == plain).all()
    assert len(ctx.models.loaded) == 1


def test_what_is_no_lora_or_for_another_model_is_a_sentence(
    sd: Path, lora: Path, tiny_model: Callable[[str], Path]
) -> None:
    other = str(tiny_model("flux"))
    with pytest.raises(api.BadInput, match="made for another model"):
        paint(testing.FakeContext(), model=other, loras=[str(lora)], width=32, height=32)
    with pytest.raises(api.BadInput, match="and no LoRA"):
        paint(testing.FakeContext(), model=str(sd), loras=[str(sd / "unet/diffusion_pytorch_model.safetensors")])
    with pytest.raises(api.BadInput, match="no starter model named"):
        paint(testing.FakeContext(), model=str(sd), prompt="a fox <lora:missing:0.8>")
    with pytest.raises(api.BadInput, match="2 weights for 1 LoRAs"):
        paint(testing.FakeContext(), model=str(sd), loras=[str(lora)], lora_weights=[1, 2])
