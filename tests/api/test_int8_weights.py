"""int8 weights take half the space and change the output little."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from plugins.style_transfer.models import generators
from studio import api
from studio.api import int8_weights

CONFIG = {"network": "resnet", "blocks": 2, "width": 8, "upsampling": "resize"}


def test_each_weight_is_restored_within_half_a_step() -> None:
    value = (
        torch.randn(6, 3, 5, 5, generator=torch.Generator().manual_seed(1))
        * torch.logspace(-4, 2, 6)[:, None, None, None]
    )
    value[5] = 0
    quantized = int8_weights.quantize({"conv.weight": value, "conv.bias": torch.ones(6), "count": torch.tensor(3)})
    assert quantized["conv.weight"].dtype == torch.int8
    restored = int8_weights.dequantize(quantized)
    assert restored.keys() == {"conv.weight", "conv.bias", "count"}
    step = value.abs().amax(dim=(1, 2, 3), keepdim=True) / 127
    assert bool(((restored["conv.weight"] - value).abs() <= 0.6 * step + 1e-6).all())
    assert int(restored["count"]) == 3


def test_a_network_takes_half_the_space_with_the_same_output(tmp_path: Path) -> None:
    torch.manual_seed(2)
    network = generators.build_network(CONFIG).eval()
    generators.save_network(network, tmp_path / "small", CONFIG)
    generators.save_network(network, tmp_path / "whole", CONFIG, int8=False)
    sizes = [(tmp_path / name / generators.WEIGHTS).stat().st_size for name in ("small", "whole")]
    assert sizes[0] < sizes[1] / 2
    photo = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        expected, small, whole = (
            module(photo)
            for module in (network, *(generators.load_network(tmp_path / n)[0] for n in ("small", "whole")))
        )
    assert torch.equal(whole, expected)
    assert 0 < float((small - expected).abs().mean()) * 127.5 < 1


def test_weights_without_scales_are_damaged(tmp_path: Path) -> None:
    generators.save_network(generators.build_network(CONFIG), tmp_path, CONFIG)
    weights = {
        name: value for name, value in load_file(tmp_path / generators.WEIGHTS).items() if not name.endswith(".scale")
    }
    save_file(weights, tmp_path / generators.WEIGHTS)
    with pytest.raises(api.BadInput, match="damaged"):
        generators.load_network(tmp_path)
