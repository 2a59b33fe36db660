"""The cache of loaded models: eviction, saved state and sizes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from studio.worker.models import evicted_state
from studio.worker.models.cache import ModelCache, count_bytes
from studio.worker.models.evicted_state import EvictedStates

MIB = 2**20


class Machine:
    """A device of 100 MiB, whose memory the models of a cache fill."""

    def __init__(self, folder: Path = Path("nowhere")) -> None:
        self.releases = 0
        self.cache = ModelCache(self.memory, self.release, EvictedStates(folder))

    def memory(self) -> tuple[int, int]:
        return 100 * MIB, 100 * MIB - sum(self.cache.sizes.values())

    def release(self) -> None:
        self.releases += 1

    def load(self, key: str, mib: int) -> torch.Tensor:
        return self.cache.load(key, lambda: torch.empty(mib * MIB, dtype=torch.uint8))


def test_a_model_is_loaded_once() -> None:
    machine = Machine()
    assert machine.load("a", 10) is machine.load("a", 10)
    assert machine.cache.sizes == {"a": 10 * MIB}


def test_the_least_recently_used_model_is_evicted_first() -> None:
    machine = Machine()
    for key in "abc":
        machine.load(key, 25)
    machine.load("a", 25)
    machine.load("d", 20)
    assert list(machine.cache.sizes) == ["c", "a", "d"]
    assert machine.releases


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


def test_drop_removes_one_model_and_clear_removes_all() -> None:
    machine = Machine()
    machine.load("a", 1)
    machine.load("b", 1)
    machine.cache.drop("a")
    machine.cache.drop("nobody")
    assert list(machine.cache.sizes) == ["b"]
    machine.cache.clear()
    assert machine.cache.sizes == {}


@dataclass
class Reader:
    """A model of 60 MiB that has read something."""

    words: str = ""
    fails: bool = False
    weights: Any = field(default_factory=lambda: torch.empty(60 * MIB, dtype=torch.uint8))

    def save_state(self, folder: Path) -> None:
        if self.fails:
            raise OSError("No space left on device")
        if self.words:
            (folder / "words").write_text(self.words)

    def restore_state(self, folder: Path) -> None:
        if self.fails:
            raise ValueError("damaged")
        self.words = (folder / "words").read_text()


def list_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_an_evicted_model_gets_its_saved_state_back(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "states")
    machine.cache.load("a", Reader).words = "Once there was a fox."
    machine.load("b", 60)
    assert "a" not in machine.cache.sizes
    assert len(list_files(tmp_path)) == 1
    assert machine.cache.load("a", Reader).words == "Once there was a fox."
    assert list_files(tmp_path) == []
    machine.cache.clear()
    assert machine.cache.load("a", Reader).words == "Once there was a fox."
    assert machine.cache.load("another", Reader).words == ""


def test_dropped_state_is_not_restored(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "states")
    ways: list[Callable[[], object]] = [lambda: machine.cache.drop("a"), machine.cache.forget]
    for forget in ways:
        machine.cache.load("a", Reader).words = "Once"
        machine.cache.clear()
        forget()
        assert list_files(tmp_path) == []
        assert machine.cache.load("a", Reader).words == ""
        machine.cache.load("a", Reader).words = "Once"
        forget()
        assert machine.cache.load("a", Reader).words == ""


def test_a_model_without_saved_state_is_loaded_again(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "states")
    machine.cache.load("a", Reader)
    machine.cache.clear()
    assert [*(tmp_path / "states").iterdir()] == []
    assert machine.cache.load("a", Reader).words == ""


def test_state_that_cannot_be_saved_or_restored_is_only_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine = Machine(tmp_path / "states")
    reader = machine.cache.load("a", Reader)
    reader.words, reader.fails = "Once", True
    machine.cache.clear()
    assert "could not be saved" in caplog.text
    assert machine.cache.load("a", Reader).words == ""
    machine.cache.load("a", Reader).words = "Once"
    machine.cache.clear()
    assert machine.cache.load("a", lambda: Reader(fails=True)).words == ""
    assert "could not be restored" in caplog.text
    assert list_files(tmp_path) == []


def test_the_oldest_saved_state_is_removed_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evicted_state, "LIMIT", 10)
    machine = Machine(tmp_path / "states")
    for key in "abc":
        machine.cache.load(key, Reader).words = "12345"
        machine.cache.clear()
    assert [machine.cache.load(key, Reader).words for key in "abc"] == ["", "12345", "12345"]


def test_saving_state_counts_as_loading_time(tmp_path: Path) -> None:
    class Slow(Reader):
        def save_state(self, folder: Path) -> None:
            began = time.monotonic()
            while time.monotonic() - began < 0.05:
                pass

    machine = Machine(tmp_path / "states")
    machine.cache.load("a", Slow)
    before = machine.cache.seconds_loading
    machine.load("b", 60)
    assert machine.cache.seconds_loading - before >= 0.05


@dataclass
class Codec:
    net: torch.nn.Module
    name: str
    parent: Any = None


def test_sizes_are_of_distinct_storages() -> None:
    layer = torch.nn.Linear(100, 10, bias=False)
    bytes_of_layer = 100 * 10 * 4
    assert count_bytes(layer) == bytes_of_layer
    assert count_bytes({"one": layer, "again": layer, "view": layer.weight[2:5]}) == bytes_of_layer
    assert count_bytes([Codec(layer, "codec"), np.zeros(50, np.float64), 3, "words", None]) == bytes_of_layer + 400
    assert count_bytes(torch.nn.BatchNorm1d(8)) == 4 * 8 * 4 + 8
    circle = Codec(layer, "circle")
    circle.parent = circle
    assert count_bytes(circle) == bytes_of_layer
    assert count_bytes(lambda: layer) == 0
