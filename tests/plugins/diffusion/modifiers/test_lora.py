"""LoRAs change an image by their weight, and leave the model unchanged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from plugins.diffusion.modifiers import lora as lora_module
from plugins.diffusion.tools.text_to_image import TextToImage
from studio import api, testing


class ModelFolderContext(testing.FakeContext):
    """A context that finds models by name in a folder, as the studio does in its models folder."""

    model_folder: Path

    def model(self, choice: str) -> Path | str:
        return self.model_folder / choice if (self.model_folder / choice).exists() else super().model(choice)


@pytest.fixture(scope="session")
def lora(sd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a LoRA for the attention of the tiny model's UNet, in the layout of diffusers."""
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


def test_weights_change_the_image_and_the_model_is_unchanged(sd: Path, lora: Path) -> None:
    ctx = ModelFolderContext(seed=1)
    ctx.model_folder = lora.parent
    model = str(sd)
    plain = paint(ctx, prompt="fox", model=model)
    full = paint(ctx, prompt="fox", model=model, loras=[str(lora)])
    assert (full != plain).any()
    assert (paint(ctx, prompt="fox", model=model, loras=[str(lora)], lora_weights=[0.3]) != full).any()
    assert (paint(ctx, prompt="fox<lora:ink:1>", model=model) == full).all()
    assert (paint(ctx, prompt="fox", model=model, loras=[str(lora)], lora_weights=[0.0]) == plain).all()
    assert (paint(ctx, prompt="fox", model=model) == plain).all()
    assert len(ctx.models.loaded) == 1


def test_a_tag_that_finds_nothing_is_said(sd: Path, lora: Path) -> None:
    ctx = ModelFolderContext()
    ctx.model_folder = lora.parent
    prompt = "fox <lora:missing:0,8> <lora:ink.safetensors:much>"
    testing.run(TextToImage, ctx, model=str(sd), prompt=prompt, steps=1)
    texts = [event.text for event in ctx.events if isinstance(event, api.Notice)]
    assert "There is no LoRA named missing, so its tag in the prompt has no effect." in texts
    assert "<lora:ink.safetensors>: much is no weight, so 1 is used." in texts


@pytest.mark.parametrize(
    ("tag", "name", "weight", "text_encoder_weight"),
    [
        ("<lora:ink>", "ink", 1.0, None),
        ("<lora:ink:0.8>", "ink", 0.8, None),
        ("<lora:ink:0,8>", "ink", 0.8, None),
        ("<lora:ink: -.5 >", "ink", -0.5, None),
        ("<lora:styles/ink:0.8>", "styles/ink", 0.8, None),
        ("<lora:ink:0.5:0.8>", "ink", 0.8, 0.5),
        ("<lora:ink:0,5:0,8>", "ink", 0.8, 0.5),
        ("<lora:ink:te=0.5:unet=0.8>", "ink", 0.8, 0.5),
        ("<lora:ink:unet=0.8>", "ink", 0.8, 1.0),
        ("<lora:ink:>", "ink", 1.0, None),
    ],
)
def test_tags_are_read_as_other_programs_do(
    tag: str, name: str, weight: float, text_encoder_weight: float | None
) -> None:
    assert lora_module.find_tags(f"a fox {tag}, ink") == [lora_module.LoraTag(name, weight, text_encoder_weight)]
    assert lora_module.strip_tags(f"a fox {tag}, ink") == "a fox , ink"


def test_a_tag_may_name_a_subfolder(lora: Path) -> None:
    ctx = testing.FakeContext()
    folder = ctx.downloads / "styles" / "drawn"
    folder.mkdir(parents=True)
    (folder / "brush.safetensors").write_bytes(lora.read_bytes())
    for name in ("brush", "drawn/brush", "styles/drawn/brush", "Styles\\Drawn\\Brush"):
        found = lora_module.collect_loras(ctx, f"<lora:{name}:0.5:0.8>", [], [])
        assert [(one.weight, one.text_encoder_weight) for one in found] == [(0.8, 0.5)], name
    assert not lora_module.collect_loras(ctx, "<lora:other/brush>", [], [])


def test_a_file_that_is_no_lora_or_does_not_fit_is_refused(
    sd: Path, lora: Path, tiny_model: Callable[[str], Path]
) -> None:
    other = str(tiny_model("flux"))
    with pytest.raises(api.BadInput, match="a LoRA, and none of its 16 layers has a place in flux"):
        paint(testing.FakeContext(), model=other, loras=[str(lora)], width=32, height=32)
    with pytest.raises(api.BadInput, match="and no LoRA"):
        paint(testing.FakeContext(), model=str(sd), loras=[str(sd / "unet/diffusion_pytorch_model.safetensors")])
    ctx = testing.FakeContext()
    plain = paint(ctx, model=str(sd), prompt="a fox ")
    assert (paint(ctx, model=str(sd), prompt="a fox <lora:missing:0.8>") == plain).all()
    with pytest.raises(api.BadInput, match="2 weights for 1 LoRAs"):
        paint(testing.FakeContext(), model=str(sd), loras=[str(lora)], lora_weights=[1, 2])
