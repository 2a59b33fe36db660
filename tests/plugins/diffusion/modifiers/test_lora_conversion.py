"""LoRAs whose names diffusers converts: layers that find no place are counted and named, and the others work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from plugins.diffusion.models import loader
from plugins.diffusion.models.model import Model
from plugins.diffusion.modifiers import lora
from studio import api, testing

Tensors = dict[str, Tensor]
TARGET = "transformer_blocks.0.attn.to_q"


@pytest.fixture
def model(tiny_model: Callable[[str], Path]) -> Model:
    return loader.load(testing.FakeContext(), str(tiny_model("flux")))


@contextmanager
def apply(ctx: testing.FakeContext, model: Model, path: Path) -> Iterator[None]:
    params: Any = SimpleNamespace(prompt="", loras=[str(path)], lora_weights=[])
    with lora.apply(ctx, model, model.base, params):
        yield


def compute(model: Model, width: int) -> Tensor:
    torch.manual_seed(1)
    with torch.inference_mode():
        output: Tensor = model.base.transformer.get_submodule(TARGET)(torch.randn(1, 2, width))
    return output.clone()


def pair(stem: str, halves: tuple[str, str], out: int, into: int) -> Tensors:
    return {f"{stem}{halves[0]}.weight": torch.randn(2, into), f"{stem}{halves[1]}.weight": torch.randn(out, 2)}


KOHYA, PEFT = (".lora_down", ".lora_up"), (".lora_A", ".lora_B")


def kohya(width: int) -> Tensors:
    stem = "lora_unet_double_blocks_0_img_attn_qkv"
    return pair(stem, KOHYA, 3 * width, width) | {f"{stem}.alpha": torch.tensor(2.0)}


def diffusers(width: int) -> Tensors:
    return pair(f"transformer.{TARGET}", PEFT, width, width)


LAYOUTS: dict[str, tuple[Callable[[int], Tensors], str, tuple[str, str]]] = {
    "kohya, a block that is not there": (kohya, "lora_unet_double_blocks_7_img_attn_qkv", KOHYA),
    "kohya, a name that no converter knows": (kohya, "lora_unet_nowhere_at_all", KOHYA),
    "diffusers, a block that is not there": (diffusers, "transformer.transformer_blocks.7.attn.to_q", PEFT),
    "diffusers, a name that is not there": (diffusers, "transformer.nowhere.at_all", PEFT),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layer_without_a_place_is_told_and_the_others_work(model: Model, tmp_path: Path, layout: str) -> None:
    build, homeless, halves = LAYOUTS[layout]
    width = model.base.transformer.get_submodule(TARGET).in_features
    tensors = build(width)
    out = 3 * width if "qkv" in homeless else width
    save_file(tensors | pair(homeless, halves, out, width), tmp_path / "ink.safetensors")
    ctx = testing.FakeContext()
    plain = compute(model, width)
    with apply(ctx, model, tmp_path / "ink.safetensors"):
        assert not torch.equal(compute(model, width), plain)
    assert torch.equal(compute(model, width), plain)
    (notice,) = [event for event in ctx.events if isinstance(event, api.Notice)]
    assert notice.text.startswith("1 of the 2 layers of ink.safetensors found no place in ")
    assert homeless in notice.text
    assert notice.level == "warning"


@pytest.mark.parametrize("build", [kohya, diffusers])
def test_a_file_whose_layers_all_have_a_place_says_nothing(
    model: Model, tmp_path: Path, build: Callable[[int], Tensors]
) -> None:
    width = model.base.transformer.get_submodule(TARGET).in_features
    save_file(build(width), tmp_path / "ink.safetensors")
    ctx = testing.FakeContext()
    plain = compute(model, width)
    with apply(ctx, model, tmp_path / "ink.safetensors"):
        assert not torch.equal(compute(model, width), plain)
    assert not ctx.events


def test_a_bundled_word_and_an_unknown_tensor_do_not_stop_a_conversion(model: Model, tmp_path: Path) -> None:
    width = model.base.transformer.get_submodule(TARGET).in_features
    more = {"bundle_emb.mychar.clip_l": torch.randn(1, 32), "something.else": torch.randn(3)}
    save_file(kohya(width) | more, tmp_path / "ink.safetensors")
    ctx = testing.FakeContext()
    plain = compute(model, width)
    with apply(ctx, model, tmp_path / "ink.safetensors"):
        assert not torch.equal(compute(model, width), plain)
    (text,) = [event.text for event in ctx.events if isinstance(event, api.Notice)]
    assert text.startswith("1 of the 2 layers of ink.safetensors found no place")
    assert "something.else" in text


def test_a_file_of_which_no_layer_has_a_place_is_refused(model: Model, tmp_path: Path) -> None:
    for name in ("transformer.transformer_blocks.7.attn.to_q", "lora_unet_double_blocks_7_img_attn_qkv"):
        save_file(pair(name, PEFT if "." in name else KOHYA, 96, 32), tmp_path / "ink.safetensors")
        with (
            pytest.raises(api.BadInput, match=r"its only layer has no place in "),
            apply(testing.FakeContext(), model, tmp_path / "ink.safetensors"),
        ):
            pass
