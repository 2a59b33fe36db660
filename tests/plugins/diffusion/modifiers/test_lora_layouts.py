"""LoRAs as every program writes them change the weights by what they say, and those that cannot are named truly."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from plugins.diffusion.checkpoints import lora_names
from plugins.diffusion.models import loader
from plugins.diffusion.models.model import Model
from plugins.diffusion.modifiers import lora
from studio import api, testing

Tensors: TypeAlias = dict[str, Tensor]
ATTENTION = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
OUT_PROJECTION = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_out.0"
CONVOLUTION = "down_blocks.1.resnets.0.conv1"
NORM = "down_blocks.1.resnets.0.norm1"
TEXT = "encoder.layers.1.self_attn.q_proj"
TEXT_IN_FILES = f"text_model.{TEXT}"
PEFT = (".lora_A", ".lora_B")
PROCESSOR = ("_lora.down", "_lora.up")


def flat(name: str) -> str:
    return name.replace(".", "_")


def pair(out: int, into: int, rank: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Return (down, up, ΔW)."""
    down, up = torch.randn(rank, into), torch.randn(out, rank)
    return down, up, up @ down


def kohya(stem: str, out: int, into: int) -> tuple[Tensors, Tensor]:
    down, up, change = pair(out, into)
    alpha = torch.tensor(1.0)
    return {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up, f"{stem}.alpha": alpha}, change / 2


def named(name: str, halves: tuple[str, str], out: int, into: int) -> tuple[Tensors, Tensor]:
    down, up, change = pair(out, into)
    return {f"{name}{halves[0]}.weight": down, f"{name}{halves[1]}.weight": up}, change


def locon_with_core(stem: str) -> tuple[Tensors, Tensor]:
    down, core, up = torch.randn(3, 8, 1, 1), torch.randn(3, 3, 3, 3), torch.randn(16, 3, 1, 1)
    tensors = {f"{stem}.lora_down.weight": down, f"{stem}.lora_mid.weight": core, f"{stem}.lora_up.weight": up}
    change = torch.einsum("or,rmkl,mi->oikl", up[..., 0, 0], core, down[..., 0, 0])
    return {**tensors, f"{stem}.alpha": torch.tensor(6.0)}, change * 2


def loha(stem: str, out: int, into: int, rank: int) -> tuple[Tensors, Tensor]:
    parts = {name: torch.randn(out, rank) for name in ("w1_a", "w2_a")}
    parts |= {name: torch.randn(rank, into) for name in ("w1_b", "w2_b")}
    change = (parts["w1_a"] @ parts["w1_b"]) * (parts["w2_a"] @ parts["w2_b"]) / rank
    return {**{f"{stem}.hada_{name}": part for name, part in parts.items()}, f"{stem}.alpha": torch.ones(1)}, change


def lokr(stem: str, *, is_decomposed: bool = False) -> tuple[Tensors, Tensor]:
    outer, inner = torch.randn(2, 4), torch.randn(8, 8)
    tensors = {f"{stem}.lokr_w1": outer, f"{stem}.lokr_w2": inner, f"{stem}.alpha": torch.tensor(5.0)}
    if not is_decomposed:
        return tensors, torch.kron(outer, inner)  # whole parts are not scaled
    up, down = torch.randn(8, 2), torch.randn(2, 8)
    del tensors[f"{stem}.lokr_w2"]
    return {**tensors, f"{stem}.lokr_w2_a": up, f"{stem}.lokr_w2_b": down}, torch.kron(outer, up @ down) * 2.5


def full_difference(name: str, *shape: int) -> tuple[Tensors, Tensor]:
    change = torch.randn(shape)
    return {name: change}, change


Builder: TypeAlias = Callable[[], tuple[Tensors, Tensor]]
LAYOUTS: dict[str, tuple[str, Builder]] = {
    "kohya": (ATTENTION, lambda: kohya(f"lora_unet_{flat(ATTENTION)}", 16, 32)),
    "kohya, old names": (
        ATTENTION,
        lambda: kohya("lora_unet_input_blocks_3_1_transformer_blocks_0_attn2_to_k", 16, 32),
    ),
    "kohya, old names of a resnet": (
        "mid_block.resnets.1.time_emb_proj",
        lambda: kohya("lora_unet_middle_block_2_emb_layers_1", 16, 32),
    ),
    "kohya, old names of an upsampler": (
        "up_blocks.0.upsamplers.0.conv",
        lambda: full_difference("lora_unet_output_blocks_1_2_conv.diff", 16, 16, 3, 3),
    ),
    "kohya, text": (TEXT, lambda: kohya(f"lora_te_{flat(TEXT_IN_FILES)}", 32, 32)),
    "kohya, text of newer scripts": (TEXT, lambda: kohya(f"lora_te1_{flat(TEXT_IN_FILES)}", 32, 32)),
    "diffusers": (ATTENTION, lambda: named(f"unet.{ATTENTION}", PEFT, 16, 32)),
    "diffusers, dots": (ATTENTION, lambda: named(f"unet.{ATTENTION}", (".lora.down", ".lora.up"), 16, 32)),
    "diffusers, processors": (
        ATTENTION,
        lambda: named(f"unet.{ATTENTION.replace('to_k', 'processor.to_k')}", PROCESSOR, 16, 32),
    ),
    "diffusers, processors without prefix": (
        OUT_PROJECTION,
        lambda: named(OUT_PROJECTION.replace("to_out.0", "processor.to_out"), PROCESSOR, 16, 16),
    ),
    "diffusers, text": (
        TEXT,
        lambda: named(f"text_encoder.{TEXT_IN_FILES}", (".lora_linear_layer.down", ".lora_linear_layer.up"), 32, 32),
    ),
    "diffusers, text of old": (
        TEXT,
        lambda: named(f"text_encoder.{TEXT_IN_FILES.replace('q_proj', 'to_q')}", PROCESSOR, 32, 32),
    ),
    "diffusers, text by peft": (TEXT, lambda: named(f"text_encoder.{TEXT_IN_FILES}", PEFT, 32, 32)),
    "unprefixed": (ATTENTION, lambda: named(ATTENTION, PEFT, 16, 32)),
    "peft": (ATTENTION, lambda: named(f"base_model.model.{ATTENTION}", PEFT, 16, 32)),
    "peft with the adapter's name": (
        ATTENTION,
        lambda: named(f"unet.{ATTENTION}", (".lora_A.default", ".lora_B.default"), 16, 32),
    ),
    "LoCon with a core": (CONVOLUTION, lambda: locon_with_core(f"lora_unet_{flat(CONVOLUTION)}")),
    "LoHa": (ATTENTION, lambda: loha(f"lora_unet_{flat(ATTENTION)}", 16, 32, 2)),
    "LoHa of high rank": (ATTENTION, lambda: loha(f"lora_unet_{flat(ATTENTION)}", 16, 32, 4)),
    "LoKr": (ATTENTION, lambda: lokr(f"lora_unet_{flat(ATTENTION)}")),
    "LoKr with decomposed parts": (ATTENTION, lambda: lokr(f"lycoris_{flat(ATTENTION)}", is_decomposed=True)),
    "full difference": (ATTENTION, lambda: full_difference(f"lora_unet_{flat(ATTENTION)}.diff", 16, 32)),
    "full difference of a convolution": (
        CONVOLUTION,
        lambda: full_difference(f"diffusion_model.{CONVOLUTION}.diff", 16, 8, 3, 3),
    ),
    "full difference of a norm": (NORM, lambda: full_difference(f"lora_unet_{flat(NORM)}.w_norm", 8)),
}


@pytest.fixture(scope="module")
def model(sd: Path) -> Model:
    return loader.load(testing.FakeContext(), str(sd))


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(1)


def module_of(model: Model, name: str) -> nn.Module:
    part: nn.Module = model.base.text_encoder if name.startswith("encoder.") else model.base.unet
    return part.get_submodule(name)


def weight_of(model: Model, name: str) -> Tensor:
    weight = module_of(model, name).weight
    assert isinstance(weight, Tensor)
    return weight


@contextmanager
def merged(weight: Tensor, value: Tensor) -> Iterator[None]:
    """Give a weight another value until the block ends."""
    own = weight.detach().clone()
    with torch.no_grad():
        weight.copy_(value)
    yield
    with torch.no_grad():
        weight.copy_(own)


def compute(model: Model, name: str) -> Tensor:
    module = module_of(model, name)
    torch.manual_seed(2)
    channels = weight_of(model, name).shape[1 if isinstance(module, nn.Linear | nn.Conv2d) else 0]
    size = (2, 5, channels) if isinstance(module, nn.Linear) else (2, channels, 4, 4)
    with torch.inference_mode():
        result: Tensor = module(torch.randn(size))
    return result


def apply(ctx: testing.FakeContext, model: Model, weight: float, *paths: Path) -> Any:
    params = SimpleNamespace(prompt="", loras=[str(path) for path in paths], lora_weights=[weight] * len(paths))
    return lora.apply(ctx, model, model.base, params)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_changes_the_weights_by_what_it_says(model: Model, tmp_path: Path, layout: str) -> None:
    name, build = LAYOUTS[layout]
    tensors, change = build()
    save_file(tensors, tmp_path / "ink.safetensors")
    plain, ctx = compute(model, name), testing.FakeContext()
    weight = weight_of(model, name)
    with merged(weight, weight + 0.5 * change):
        expected = compute(model, name)
    with apply(ctx, model, 0.5, tmp_path / "ink.safetensors"):
        assert torch.allclose(compute(model, name), expected, atol=1e-4)
    assert torch.equal(compute(model, name), plain)
    assert not ctx.events


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", [ATTENTION, OUT_PROJECTION, CONVOLUTION])
def test_a_dora_gives_rows_or_columns_their_learnt_lengths(model: Model, tmp_path: Path, axis: int, name: str) -> None:
    own = weight_of(model, name).detach().clone()
    down, up, change = pair(own.shape[0], math.prod(own.shape[1:]))
    changed = own + change.reshape(own.shape)
    others = tuple(dimension for dimension in range(own.ndim) if dimension != axis)
    norm = torch.linalg.vector_norm(changed, dim=others, keepdim=True)
    lengths = torch.rand_like(norm) + 0.5
    stem = f"lora_unet_{flat(name)}"
    tensors = {f"{stem}.lora_down.weight": down.reshape(-1, *own.shape[1:]), f"{stem}.dora_scale": lengths}
    save_file({**tensors, f"{stem}.lora_up.weight": up}, tmp_path / "a.safetensors")
    value = own + 0.5 * (changed * lengths / norm - own)
    with merged(weight_of(model, name), value):
        expected = compute(model, name)
    with apply(testing.FakeContext(), model, 0.5, tmp_path / "a.safetensors"):
        assert torch.allclose(compute(model, name), expected, atol=1e-4)


def test_the_settings_of_peft_scale_a_lora(model: Model, tmp_path: Path) -> None:
    tensors, change = named(f"unet.{ATTENTION}", PEFT, 16, 32)
    settings = {"unet.lora_alpha": 8, "unet.r": 2, "unet.use_rslora": False}
    notes = {"lora_adapter_metadata": json.dumps(settings)}
    save_file(tensors, tmp_path / "a.safetensors", metadata=notes)
    plain = compute(model, ATTENTION)
    with apply(testing.FakeContext(), model, 1.0, tmp_path / "a.safetensors"):
        difference = compute(model, ATTENTION) - plain
    torch.manual_seed(2)
    values = torch.randn(2, 5, 32)
    assert torch.allclose(difference, values @ (4 * change).T, atol=1e-3)


def test_several_loras_add_up(model: Model, tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.safetensors" for name in "ab"]
    for path in paths:
        save_file(kohya(f"lora_unet_{flat(ATTENTION)}", 16, 32)[0], path)
    plain = compute(model, ATTENTION)
    changes = []
    for path in paths:
        with apply(testing.FakeContext(), model, 1.0, path):
            changes.append(compute(model, ATTENTION) - plain)
    with apply(testing.FakeContext(), model, 1.0, *paths):
        assert torch.allclose(compute(model, ATTENTION) - plain, sum(changes, torch.zeros(())), atol=1e-4)


def test_layers_without_a_place_are_told(model: Model, tmp_path: Path) -> None:
    tensors = kohya(f"lora_unet_{flat(ATTENTION)}", 16, 32)[0] | kohya("lora_unet_attn9_to_q", 16, 32)[0]
    save_file(tensors, tmp_path / "ink.safetensors")
    ctx = testing.FakeContext()
    plain = compute(model, ATTENTION)
    with apply(ctx, model, 1.0, tmp_path / "ink.safetensors"):
        assert not torch.equal(compute(model, ATTENTION), plain)
    texts = [event.text for event in ctx.events if isinstance(event, api.Notice)]
    assert texts[0].startswith("1 of the 2 layers of ink.safetensors found no place")
    assert "lora_unet_attn9_to_q" in texts[0]
    assert len(texts) == 1


REFUSED: dict[str, tuple[Tensors, str]] = {
    "another size": (
        kohya(f"lora_unet_{flat(ATTENTION)}", 640, 2048)[0],
        "Stable Diffusion XL.* 640 × 2048, .*16 × 32",
    ),
    "another family": (
        kohya("lora_unet_double_blocks_0_img_attn_qkv", 16, 32)[0],
        "a LoRA for FLUX, and its only layer has no place",
    ),
    "an OFT": ({f"lora_unet_{flat(ATTENTION)}.oft_blocks": torch.zeros(2, 8, 8)}, "an OFT"),
    "half a LoRA": ({f"lora_unet_{flat(ATTENTION)}.lora_down.weight": torch.zeros(2, 32)}, "lacks its second half"),
    "ranks that differ": (
        {
            f"lora_unet_{flat(ATTENTION)}.lora_down.weight": torch.zeros(2, 32),
            f"lora_unet_{flat(ATTENTION)}.lora_up.weight": torch.zeros(16, 3),
        },
        "halves of rank 3 and 2",
    ),
    "half a LoHa": ({f"lora_unet_{flat(ATTENTION)}.hada_w1_a": torch.zeros(16, 2)}, "a LoHa.* lacks its hada_w1_b"),
    "not a number": (
        {name: value * math.nan for name, value in kohya(f"lora_unet_{flat(ATTENTION)}", 16, 32)[0].items()},
        "3 of its 3 tensors hold numbers that are not finite",
    ),
    "infinite": ({f"lora_unet_{flat(ATTENTION)}.diff": torch.full((16, 32), math.inf)}, "not finite"),
    "whole numbers": (
        {f"lora_unet_{flat(ATTENTION)}.diff": torch.ones(16, 32, dtype=torch.int8)},
        r"whole numbers \(int8\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_applied_is_named_by_its_kind_and_sizes(model: Model, tmp_path: Path, case: str) -> None:
    tensors, sentence = REFUSED[case]
    save_file(tensors, tmp_path / "ink.safetensors")
    plain = compute(model, ATTENTION)
    with (
        pytest.raises(api.BadInput, match=sentence) as raised,
        apply(testing.FakeContext(), model, 1.0, tmp_path / "ink.safetensors"),
    ):
        pass
    assert "another model" not in str(raised.value)
    assert torch.equal(compute(model, ATTENTION), plain)


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        ((f"unet.{ATTENTION}.lora_A.weight", f"unet.{TEXT}.dora_scale"), "a DoRA"),
        ((f"{ATTENTION}.hada_w1_a",), "a LoHa"),
        ((f"{ATTENTION}.lokr_w1",), "a LoKr"),
        ((f"{ATTENTION}.diff",), "a full difference"),
        (("transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight",), "a LoRA for FLUX"),
        (("lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight",), "a LoRA for the text encoder alone"),
    ],
)
def test_kinds_are_told_apart_by_names(names: tuple[str, ...], kind: str) -> None:
    assert lora_names.describe(dict.fromkeys(names, (2, 2))).startswith(kind)
    assert api.model_files.kind_of_names(names) == "lora"
