"""An image that is stylized in bands, with feature maps on the disk, equals one that is stylized whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from plugins.style_transfer.inference import streaming
from plugins.style_transfer.inference.feature_map_store import FeatureMapStore, RowBuffer
from plugins.style_transfer.models import generators
from plugins.style_transfer.models.style import Style
from studio import api
from tests.plugins.style_transfer.conftest import make_photo

CONFIGS: dict[str, dict[str, Any]] = {
    "cyclegan": {"network": "resnet", "width": 8},
    "cut": {"network": "resnet", "width": 8, "blocks": 2, "upsampling": "antialiased", "norm": "instance-affine"},
    "ours": {"network": "resnet", "width": 8, "upsampling": "resize", "separable": True},
    "unet": {"network": "unet", "downs": 6, "width": 4},
    "unet with batch norm": {"network": "unet", "downs": 5, "width": 4, "norm": "batch"},
    "animegan2": {"network": "animegan2", "width": 8},
    "fast neural style": {"network": "fast_neural_style", "width": 8, "blocks": 2, "values": "bytes"},
    "pattern": {"network": "pattern", "width": 8, "blocks": 2},
}


def build_style(name: str, *, width: int = 0) -> Style:
    torch.manual_seed(5)
    network = generators.build_network({**CONFIGS[name], **({"width": width} if width else {})}).eval()
    for value in network.parameters():
        value.data *= 1.5
    if CONFIGS[name].get("values") == "bytes":
        last = network.get_submodule("deconv3.conv2d")
        last.get_parameter("weight").data *= 50
        last.get_parameter("bias").data += 128
    return Style(network, name, CONFIGS[name], CONFIGS[name].get("values", "signed"), "cpu")


def stylize_whole(style: Style, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    x = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 127.5 - 1
    values: NDArray[np.float32] = ((style(x)[0] + 1) * 127.5).permute(1, 2, 0).numpy()
    return values


@pytest.mark.parametrize("memory", [2**30, 0], ids=["in memory", "on the disk"])
@pytest.mark.parametrize("name", CONFIGS)
def test_bands_equal_the_whole(name: str, memory: int, tmp_path: Path) -> None:
    style, rgb = build_style(name), make_photo(128, 192)
    store = FeatureMapStore(tmp_path, "cpu", memory, band_bytes=30_000)
    fractions: list[float] = []
    bands = streaming.stylize(style, rgb, tmp_path, fractions.append, store=store) / 257
    whole = stylize_whole(style, rgb)
    assert whole.std() > 10
    assert np.abs(bands - whole).max() < (0.7 if memory == 0 else 0.01)
    assert store.free_memory == memory
    assert not list(tmp_path.iterdir())
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 64), (97, 61), (20_000, 10)])
@pytest.mark.parametrize("name", ["cyclegan", "unet"])
def test_any_size_is_accepted(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    if name == "unet" and size[0] > 1000:
        size = (2000, 1)
    result = streaming.stylize(build_style(name), make_photo(*size), tmp_path, lambda _: None)
    assert result.shape == (size[1], size[0], 3)


def test_sides_are_padded_by_reflection(tmp_path: Path) -> None:
    style, rgb = build_style("cyclegan"), make_photo(61, 38)
    mirrored = np.pad(rgb, ((0, 2), (0, 3), (0, 0)), mode="reflect")
    result = streaming.stylize(style, rgb, tmp_path, lambda _: None) / 257
    assert np.abs(result - stylize_whole(style, mirrored)[:38, :61]).max() < 0.01


def test_16_bits_are_not_reduced_to_8(tmp_path: Path) -> None:
    style, rgb = build_style("ours"), make_photo(64, 64).astype(np.uint16) * 257
    finer = rgb + np.random.default_rng(1).integers(0, 128, rgb.shape).astype(np.uint16) * (rgb < 65_000)
    coarse, fine = (streaming.stylize(style, pixels, tmp_path, lambda _: None) for pixels in (rgb, finer))
    assert 0 < np.abs(coarse.astype(int) - fine).max() < 8 * 257


def test_a_full_disk_raises_bad_input(tmp_path: Path) -> None:
    class FullStore(FeatureMapStore):
        def allocate(self, shape: tuple[int, int, int]) -> RowBuffer:
            return super().allocate((shape[0], 10**9, 10**6))

    with pytest.raises(api.BadInput, match="disk is too full"):
        streaming.stylize(
            build_style("cyclegan"),
            make_photo(64, 64),
            tmp_path,
            lambda _: None,
            store=FullStore(tmp_path, "cpu", 0, 30_000),
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", CONFIGS)
def test_at_most_half_is_computed_twice(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    multiplications = 0

    def count(function: Callable[..., torch.Tensor], side: int) -> Callable[..., torch.Tensor]:
        def inner(x: torch.Tensor, weight: torch.Tensor, *arguments: Any, **options: Any) -> torch.Tensor:
            nonlocal multiplications
            output = function(x, weight, *arguments, **options)
            multiplications += (output if side == 0 else x).numel() * weight[0].numel()
            return output

        return inner

    monkeypatch.setattr(functional, "conv2d", count(functional.conv2d, 0))
    monkeypatch.setattr(functional, "conv_transpose2d", count(functional.conv_transpose2d, 1))
    style, rgb = build_style(name, width=24), make_photo(192, 256)
    style(torch.zeros(1, 3, 256, 192))
    whole, multiplications = multiplications, 0
    streaming.stylize(
        style, rgb, tmp_path, lambda _: None, store=FeatureMapStore(tmp_path, "cpu", 2**30, band_bytes=400_000)
    )
    assert multiplications < 2 * whole
