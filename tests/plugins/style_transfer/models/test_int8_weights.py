"""Weights in eight bits: half as large, and hardly another painting."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from plugins.style_transfer.models import generators, int8_weights
from studio import api

CONFIG = {"network": "resnet", "blocks": 2, "width": 8, "upsampling": "resize"}


def test_each_weight_comes_back_within_half_a_step() -> None:
    value = (
        torch.randn(6, 3, 5, 5, generator=torch.Generator().manual_seed(1))
        * torch.logspace(-4, 2, 6)[:, None, None, None]
    )
    value[5] = 0
    packed = int8_weights.packed({"conv.weight": value, "conv.bias": torch.ones(6), "count": torch.tensor(3)})
    assert packed["conv.weight"].dtype == torch.int8
    back = int8_weights.unpacked(packed)
    assert back.keys() == {"conv.weight", "conv.bias", "count"}
    step = value.abs().amax(dim=(1, 2, 3), keepdim=True) / 127
    assert bool(((back["conv.weight"] - value).abs() <= 0.6 * step + 1e-6).all())
    assert int(back["count"]) == 3


def test_a_network_is_half_as_large_and_paints_the_same(tmp_path: Path) -> None:
    torch.manual_seed(2)
    network = generators.build(CONFIG).eval()
    generators.save(network, tmp_path / "small", CONFIG)
    generators.save(network, tmp_path / "whole", CONFIG, small=False)
    sizes = [(tmp_path / name / generators.WEIGHTS).stat().st_size for name in ("small", "whole")]
    assert sizes[0] < sizes[1] / 2
    photo = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        wanted, small, whole = (
            one(photo) for one in (network, *(generators.load(tmp_path / n)[0] for n in ("small", "whole")))
        )
    assert torch.equal(whole, wanted)
    assert 0 < float((small - wanted).abs().mean()) * 127.5 < 1


def test_without_its_scales_it_is_damaged(tmp_path: Path) -> None:
    generators.save(generators.build(CONFIG), tmp_path, CONFIG)
    weights = {
        name: value for name, value in load_file(tmp_path / generators.WEIGHTS).items() if not name.endswith(".scale")
    }
    save_file(weights, tmp_path / generators.WEIGHTS)
    with pytest.raises(api.BadInput, match="damaged"):
        generators.load(tmp_path)
