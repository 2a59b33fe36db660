"""The cache of loaded models: what it keeps, what it drops, and how it measures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from studio.worker.models import ModelCache, size

MIB = 2**20


class Machine:
    """A device of 100 MiB, of which every model in `models` takes its share."""

    def __init__(self) -> None:
        self.given_back = 0
        self.cache = ModelCache(self.memory, self.give_back)

    def memory(self) -> tuple[int, int]:
        return 100 * MIB, 100 * MIB - sum(self.cache.sizes.values())

    def give_back(self) -> None:
        self.given_back += 1

    def load(self, key: str, mib: int) -> torch.Tensor:
        return self.cache.load(key, lambda: torch.empty(mib * MIB, dtype=torch.uint8))


def test_a_model_is_loaded_once() -> None:
    machine = Machine()
    assert machine.load("a", 10) is machine.load("a", 10)
    assert machine.cache.sizes == {"a": 10 * MIB}


def test_the_least_recently_used_makes_room() -> None:
    machine = Machine()
    for key in "abc":
        machine.load(key, 25)
    machine.load("a", 25)
    machine.load("d", 20)
    assert list(machine.cache.sizes) == ["c", "a", "d"]
    assert machine.given_back


def test_a_model_that_fills_the_device_stays_while_it_is_the_latest() -> None:
    machine = Machine()
    machine.load("a", 10)
    machine.load("huge", 95)
    assert list(machine.cache.sizes) == ["huge"]


def test_out_of_memory_while_loading_drops_all_others_and_tries_again(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine()
    machine.load("a", 10)
    machine.load("b", 10)

    def loader() -> str:
        if machine.cache.sizes:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")
        return "loaded"

    assert machine.cache.load("c", loader) == "loaded"
    assert list(machine.cache.sizes) == ["c"]


@pytest.mark.parametrize("error", [MemoryError, ValueError])
def test_a_loader_that_fails_leaves_nothing(error: type[Exception]) -> None:
    machine = Machine()

    def loader() -> None:
        raise error("never")

    with pytest.raises(error):
        machine.cache.load("a", loader)
    assert machine.cache.sizes == {}


def test_dropping_and_clearing() -> None:
    machine = Machine()
    machine.load("a", 1)
    machine.load("b", 1)
    machine.cache.drop("a")
    machine.cache.drop("nobody")
    assert list(machine.cache.sizes) == ["b"]
    machine.cache.clear()
    assert machine.cache.sizes == {}


@dataclass
class Codec:
    net: torch.nn.Module
    name: str
    parent: Any = None


def test_sizes_are_of_distinct_storages() -> None:
    layer = torch.nn.Linear(100, 10, bias=False)
    bytes_of_layer = 100 * 10 * 4
    assert size(layer) == bytes_of_layer
    assert size({"one": layer, "again": layer, "view": layer.weight[2:5]}) == bytes_of_layer
    assert size([Codec(layer, "codec"), np.zeros(50, np.float64), 3, "words", None]) == bytes_of_layer + 400
    assert size(torch.nn.BatchNorm1d(8)) == 4 * 8 * 4 + 8
    circle = Codec(layer, "circle")
    circle.parent = circle
    assert size(circle) == bytes_of_layer
    assert size(lambda: layer) == 0
