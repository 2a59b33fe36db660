"""Frozen weights in less memory: the same results as before, as far as their form allows."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from plugins.diffusion.models import placement
from plugins.diffusion.training import frozen_weights
from plugins.diffusion.training.frozen_weights import Storage
from studio import api
from tests.plugins.diffusion.training.test_lora_options import TINY, notices, photos, run, run_paused, weights

__all__ = ["photos"]


class Network(nn.Module):
    """A network with blocks whose second layer is trained, and a last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.ModuleList([nn.Linear(16, 16), nn.Linear(16, 16)]) for _ in range(2))
        self.last = nn.Linear(16, 4)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            assert isinstance(block, nn.ModuleList)
            first, second = block
            values = second(first(values)).relu()
        output: torch.Tensor = self.last(values)
        return output


def build() -> Network:
    torch.manual_seed(0)
    network = Network()
    for name, value in network.named_parameters():
        value.requires_grad_(".1.weight" in name)
    return network


def compute(network: nn.Module) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return the output for some values, and the gradient of the trained weights."""
    output = network(torch.randn(8, 16, generator=torch.Generator().manual_seed(1)))
    trained = [value for value in network.parameters() if value.requires_grad]
    return output.detach(), list(torch.autograd.grad(output.square().sum(), trained))


@pytest.mark.parametrize(("storage", "tolerance"), [("offload", 1e-6), ("8bit", 0.02), ("4bit", 0.3)])
def test_output_and_gradient_stay(storage: Storage, tolerance: float) -> None:
    if storage == "4bit":
        pytest.importorskip("bitsandbytes")
    network = build()
    output, gradients = compute(network)
    assert frozen_weights.store_weights([network], storage, "cpu") == 2
    assert frozen_weights.is_stored(network)
    new_output, new_gradients = compute(network)
    for before, after in zip([output, *gradients], [new_output, *new_gradients], strict=True):
        assert (after - before).norm() <= tolerance * before.norm()


def test_8_bits_are_nearest_values_of_each_row() -> None:
    network = build()
    layer: Any = network.blocks[0]
    before = layer[0].weight.detach().clone()
    frozen_weights.store_weights([network], "8bit", "cpu")
    after = layer[0].weight
    assert ((after - before).abs() <= before.abs().amax(1, keepdim=True) / 254 + 1e-7).all()


def test_copies_share_the_stored_weights_and_keep_their_own_trained_ones() -> None:
    network = build()
    average = copy.deepcopy(network)
    frozen_weights.store_weights([network, average], "8bit", "cpu")
    first: Any = network.blocks[0]
    second: Any = average.blocks[0]
    assert first[0] is second[0]
    assert first[1] is not second[1]
    third: Any = copy.deepcopy(network).blocks[0]
    assert third[0] is first[0]
    assert "blocks.0.0.weight" not in network.state_dict()


def test_storage_follows_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Linear(1000, 1000, bias=False)
    assert [
        frozen_weights.choose_storage(requested, [network], "cpu")
        for requested in ("auto", "full", "8bit", "4bit", "offload")
    ] == ["full", "full", "8bit", "4bit", "full"]
    for free, expected in ((5_000_000, "full"), (3_000_000, "8bit"), (1_000, "offload")):
        monkeypatch.setattr(placement, "free_memory", lambda device, free=free: ((3 << 30) + free, 0))
        assert frozen_weights.choose_storage("auto", [network], "cuda") == expected
    assert frozen_weights.choose_storage("full", [network], "cuda") == "full"


def test_lora_on_8_bits_resumes_with_the_same_weights(
    photos: Path, tmp_path: Path, tiny_model: Callable[[str], Path]
) -> None:
    values = {**TINY, "folder": photos, "model": str(tiny_model("stable-diffusion")), "text_encoder": "on"}
    plain, _ = run(tmp_path / "plain", **values)
    values["base_precision"] = "8bit"
    straight, events = run(tmp_path / "a", **values)
    run_paused(tmp_path / "b", 2, **values)
    resumed, _ = run(tmp_path / "b", **values)
    assert weights(resumed) == weights(straight)
    assert weights(plain) != weights(straight)
    assert "The base model's weights are kept in 8 bits, which changes its results a little." in notices(events)
    assert "| Base model | 8 bits |" in (straight.folder / "README.md").read_text("utf-8")


def test_missing_package_is_named(
    photos: Path, tmp_path: Path, tiny_model: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bitsandbytes", "bitsandbytes.functional"):
        monkeypatch.setitem(sys.modules, name, None)
    values = {**TINY, "folder": photos, "model": str(tiny_model("stable-diffusion")), "base_precision": "4bit"}
    with pytest.raises(api.StudioError, match="needs the package bitsandbytes"):
        run(tmp_path, **values)
