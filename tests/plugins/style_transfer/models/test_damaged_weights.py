"""Styles with weights that are damaged are refused with a sentence, and never paint noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from plugins.style_transfer.models import generators
from plugins.style_transfer.models.style import open_style
from studio import api
from tests.plugins.style_transfer.fixtures import original_networks

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "cyclegan": lambda: original_networks.build_cyclegan(2),
    "batch norm": lambda: original_networks.build_cyclegan(2, norm=nn.BatchNorm2d),
    "animegan2": original_networks.AnimeGan2,
}


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("network", NETWORKS)
def test_numbers_that_are_not_finite(tmp_path: Path, network: str, value: float, suffix: str) -> None:
    weights = {name: tensor.contiguous() for name, tensor in NETWORKS[network]().state_dict().items()}
    name = next((name for name in weights if name.endswith("running_var")), sorted(weights)[0])
    weights[name].view(-1)[0] = value
    path = tmp_path / f"ink{suffix}"
    save_file(weights, path) if suffix == ".safetensors" else torch.save(weights, path)
    with pytest.raises(api.BadInput, match=r"is damaged: .* not finite"):
        open_style(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_whole_numbers_without_a_scale(tmp_path: Path, suffix: str) -> None:
    weights = {name: (99 * value).to(torch.int8) for name, value in NETWORKS["cyclegan"]().state_dict().items()}
    path = tmp_path / f"ink{suffix}"
    save_file(weights, path) if suffix == ".safetensors" else torch.save(weights, path)
    with pytest.raises(api.BadInput, match="has whole numbers"):
        open_style(path)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_pointer_in_a_folder(tmp_path: Path, file: str) -> None:
    config = {"network": "resnet", "blocks": 1, "width": 4}
    generators.save_network(generators.build_network(config), tmp_path / "ink", config)
    open_style(tmp_path / "ink")
    (tmp_path / "ink" / file).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(api.BadInput, match=f"{file} of ink is a Git LFS pointer"):
        open_style(tmp_path / "ink")
