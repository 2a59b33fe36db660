"""LoRAs with random weights for tiny models, and what the tools make of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from plugins.diffusion.tools.text_to_image import TextToImage
from studio import api, testing

Tensors = dict[str, torch.Tensor]
BLOCK = "down_blocks_1_attentions_0_transformer_blocks_0"
KEYS = f"lora_unet_{BLOCK}_attn2_to_k"
QUERIES = f"lora_unet_{BLOCK}_attn1_to_q"
CONVOLUTION = "lora_unet_down_blocks_1_resnets_0_conv1"
NORM = "lora_unet_down_blocks_1_resnets_0_norm1"
TEXT = "lora_te_text_model_encoder_layers_1_self_attn_q_proj"


def noise(*shape: int, size: float = 0.2) -> torch.Tensor:
    return size * torch.randn(shape)


def lora(stem: str, out: int, into: int, rank: int = 3, *kernel: int) -> Tensors:
    """Build a layer in kohya's names, with an alpha of 2."""
    return {
        f"{stem}.lora_down.weight": noise(rank, into, *kernel),
        f"{stem}.lora_up.weight": noise(out, rank, *[1] * len(kernel)),
        f"{stem}.alpha": torch.tensor(2.0),
    }


def mixed_lora(width: int = 32) -> Tensors:
    """Build a file for the tiny Stable Diffusion with a layer of every kind."""
    dora = lora(QUERIES, 16, 16)
    dora[f"{QUERIES}.dora_scale"] = torch.rand(16, 1) + 0.5
    loha = {f"{QUERIES.replace('to_q', 'to_v')}.hada_{part}_a": noise(16, 2) for part in ("w1", "w2")}
    loha |= {f"{QUERIES.replace('to_q', 'to_v')}.hada_{part}_b": noise(2, 16) for part in ("w1", "w2")}
    lokr = {
        f"{KEYS.replace('to_k', 'to_v')}.lokr_w1": noise(2, 4),
        f"{KEYS.replace('to_k', 'to_v')}.lokr_w2": noise(8, 8),
    }
    return {
        **lora(KEYS, 16, width),
        **dora,
        **loha,
        **lokr,
        **lora(CONVOLUTION, 16, 8, 3, 3, 3),
        f"{CONVOLUTION}.diff_b": noise(16),
        f"{NORM}.diff": noise(8),
        **lora(TEXT, width, width),
    }


def save(tensors: Tensors, path: Path, **metadata: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata=metadata)
    return path


def read(made: api.Trained) -> tuple[Tensors, dict[str, str]]:
    """Read the file of a LoRA that a tool made."""
    (path,) = made.folder.glob("*.safetensors")
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


def make(tool: type[api.Tool], ctx: testing.FakeContext, **values: Any) -> api.Trained:
    """Run a tool and return the model that it makes."""
    ctx.events.clear()
    (made,) = testing.results(testing.run(tool, ctx, **values))
    assert isinstance(made, api.Trained)
    return made


def paint(model: Path, *loras: Path, weights: tuple[float, ...] = ()) -> np.ndarray:
    """Paint an image with LoRAs that are applied while it runs."""
    choices = [str(path) for path in loras]
    values: dict[str, Any] = {"width": 32, "height": 32, "steps": 2, "prompt": "a fox"}
    events = testing.run(
        TextToImage, testing.FakeContext(3), model=str(model), loras=choices, lora_weights=[*weights], **values
    )
    (image,) = testing.results(events)
    assert isinstance(image, api.Image)
    return np.asarray(image.picture).astype(int)


def notices(ctx: testing.FakeContext) -> str:
    return " ".join(event.text for event in ctx.events if isinstance(event, api.Notice))
