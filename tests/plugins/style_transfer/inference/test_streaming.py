"""A picture that is painted in bands, with what is between on the disk, looks as if it had been painted at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from plugins.style_transfer.inference import streaming
from plugins.style_transfer.inference.feature_map_store import Store
from plugins.style_transfer.models import generators
from plugins.style_transfer.models.style import Style
from studio import api
from tests.plugins.style_transfer.conftest import photograph

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


def made(name: str, *, width: int = 0) -> Style:
    torch.manual_seed(5)
    network = generators.build({**CONFIGS[name], **({"width": width} if width else {})}).eval()
    for value in network.parameters():
        value.data *= 1.5
    if CONFIGS[name].get("values") == "bytes":
        network.deconv3.conv2d.weight.data *= 50
        network.deconv3.conv2d.bias.data += 128
    return Style(network, name, CONFIGS[name], CONFIGS[name].get("values", "signed"), "cpu")


def at_once(style: Style, rgb: np.ndarray) -> np.ndarray:
    x = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 127.5 - 1
    return (((style(x)[0] + 1) * 127.5).permute(1, 2, 0)).numpy()


@pytest.mark.parametrize("memory", [2**30, 0], ids=["in memory", "on the disk"])
@pytest.mark.parametrize("name", CONFIGS)
def test_bands_and_whole_agree(name: str, memory: int, tmp_path: Path) -> None:
    style, rgb = made(name), photograph(128, 192)
    store = Store(tmp_path, "cpu", memory, band=30_000)
    told: list[float] = []
    bands = streaming.painted(style, rgb, tmp_path, told.append, store=store) / 257
    whole = at_once(style, rgb)
    assert whole.std() > 10
    assert np.abs(bands - whole).max() < (0.7 if memory == 0 else 0.01)
    assert store.left == memory
    assert not list(tmp_path.iterdir())
    assert told == sorted(told)
    assert told[-1] == 1


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 64), (97, 61), (20_000, 10)])
@pytest.mark.parametrize("name", ["cyclegan", "unet"])
def test_any_sides_will_do(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    if name == "unet" and size[0] > 1000:
        size = (2000, 1)
    painting = streaming.painted(made(name), photograph(*size), tmp_path, lambda share: None)
    assert painting.shape == (size[1], size[0], 3)


def test_sides_that_do_not_fit_are_mirrored(tmp_path: Path) -> None:
    style, rgb = made("cyclegan"), photograph(61, 38)
    mirrored = np.pad(rgb, ((0, 2), (0, 3), (0, 0)), mode="reflect")
    painting = streaming.painted(style, rgb, tmp_path, lambda share: None) / 257
    assert np.abs(painting - at_once(style, mirrored)[:38, :61]).max() < 0.01


def test_16_bits_are_not_painted_as_8(tmp_path: Path) -> None:
    style, rgb = made("ours"), photograph(64, 64).astype(np.uint16) * 257
    finer = rgb + np.random.default_rng(1).integers(0, 128, rgb.shape).astype(np.uint16) * (rgb < 65_000)
    one, other = (streaming.painted(style, pixels, tmp_path, lambda share: None) for pixels in (rgb, finer))
    assert 0 < np.abs(one.astype(int) - other).max() < 8 * 257


def test_a_full_disk_is_said_in_a_sentence(tmp_path: Path) -> None:
    class Full(Store):
        def kept(self, shape: tuple[int, int, int]) -> Any:
            return super().kept((shape[0], 10**9, 10**6))

    with pytest.raises(api.BadInput, match="disk is too full"):
        streaming.painted(
            made("cyclegan"), photograph(64, 64), tmp_path, lambda share: None, store=Full(tmp_path, "cpu", 0, 30_000)
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", CONFIGS)
def test_little_is_computed_twice(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = 0

    def counted(function: Callable[..., torch.Tensor], side: int) -> Callable[..., torch.Tensor]:
        def inner(x: torch.Tensor, weight: torch.Tensor, *more: Any, **options: Any) -> torch.Tensor:
            nonlocal done
            made = function(x, weight, *more, **options)
            done += (made if side == 0 else x).numel() * weight[0].numel()
            return made

        return inner

    monkeypatch.setattr(functional, "conv2d", counted(functional.conv2d, 0))
    monkeypatch.setattr(functional, "conv_transpose2d", counted(functional.conv_transpose2d, 1))
    style, rgb = made(name, width=24), photograph(192, 256)
    style(torch.zeros(1, 3, 256, 192))
    whole, done = done, 0
    streaming.painted(style, rgb, tmp_path, lambda share: None, store=Store(tmp_path, "cpu", 2**30, band=400_000))
    assert done < 2 * whole
