"""Loaded models, kept between jobs, and dropped least recently used first when memory is short."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FunctionType, MethodType, ModuleType
from typing import Any, TypeVar

from studio.core.errors import is_out_of_memory
from studio.worker.models.evicted_state import Parked

_log = logging.getLogger(__name__)
M = TypeVar("M")

SPARE = 0.15
"""The share of the device's memory that stays free for the work itself."""

_DEPTH = 5
"""How many containers and attributes deep tensors are looked for: a codec that holds a pipeline
that holds modules."""

_LEAVES = (str, bytes, int, float, type, FunctionType, MethodType, ModuleType)


class ModelCache:
    """Implements `api.Models`.

    `memory` gives the device's total and free bytes, `give_back` returns what was dropped to
    the device and the system, `parked` keeps what evicted models leave; without it that is lost.
    """

    def __init__(
        self, memory: Callable[[], tuple[int, int]], give_back: Callable[[], None], parked: Parked | None = None
    ) -> None:
        self._parked = parked
        self._memory = memory
        self._give_back = give_back
        self._models: OrderedDict[str, Any] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._lock = threading.RLock()
        self._timing = False
        self.seconds_loading = 0.0
        """Spent in loaders so far."""

    def load(self, key: str, loader: Callable[[], M]) -> M:
        """The model under `key`, by `loader()` on the first use.

        When that runs out of memory, all others are dropped and it is tried once more.
        """
        with self._lock:
            if key in self._models:
                self._models.move_to_end(key)
                kept: M = self._models[key]
                return kept
            with self._timed():
                self._make_room()
                model = self._loaded(key, loader)
                if self._parked:
                    self._parked.restore_state(key, model)
                self._models[key] = model
                self._sizes[key] = size(model)
                _log.info("loaded %s, %d MiB", key, self._sizes[key] >> 20)
                self._make_room(spare=key)
            return model

    def drop(self, key: str) -> None:
        with self._lock:
            if self._parked:
                self._parked.forget(key)
            if self._models.pop(key, None) is not None:
                _log.info("dropped %s, %d MiB", key, self._sizes.pop(key) >> 20)

    def clear(self) -> None:
        """Evicts all, and gives their memory back."""
        with self._lock:
            for key in list(self._models):
                self._evict(key)
        self._give_back()

    def forget(self) -> None:
        """Drops all with what was parked, and gives their memory back."""
        with self._lock:
            for key in list(self._models):
                self.drop(key)
        if self._parked:
            self._parked.forget_all()
        self._give_back()

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes by key, least recently used first."""
        return {key: self._sizes[key] for key in self._models}

    def _evict(self, key: str) -> None:
        model = self._models.pop(key)
        if self._parked:
            self._parked.save_state(key, model)
        _log.info("evicted %s, %d MiB", key, self._sizes.pop(key) >> 20)

    def _loaded(self, key: str, loader: Callable[[], M]) -> M:
        try:
            return loader()
        except Exception as error:
            if not is_out_of_memory(error) or not self._models:
                raise
            _log.warning("no memory to load %s: all others are dropped", key)
        # Outside the handler: the exception holds the frames of the half-loaded model.
        self.clear()
        return loader()

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """A loader that loads another model is counted once."""
        outermost, self._timing = not self._timing, True
        began = time.monotonic()
        try:
            yield
        finally:
            if outermost:
                self._timing = False
                self.seconds_loading += time.monotonic() - began

    def _make_room(self, spare: str = "") -> None:
        for key in [key for key in self._models if key != spare]:
            total, free = self._memory()
            if free >= total * SPARE:
                return
            self._evict(key)
            self._give_back()


def size(model: Any) -> int:
    """Bytes of all distinct tensors and arrays in a module, a pipeline, or a container of them."""
    found: dict[Any, int] = {}
    seen: set[int] = set()
    level = [model]
    for _ in range(_DEPTH):
        deeper: list[Any] = []
        for value in level:
            if value is None or isinstance(value, _LEAVES) or id(value) in seen:
                continue
            seen.add(id(value))
            tensors = _tensors(value)
            found.update(tensors)
            if not tensors:
                deeper.extend(_parts(value))
        level = deeper
    return sum(found.values())


def _tensors(value: Any) -> dict[Any, int]:
    import numpy as np
    import torch

    if isinstance(value, np.ndarray):
        return {("numpy", value.__array_interface__["data"][0]): value.nbytes}
    if isinstance(value, torch.Tensor):
        storage = value.untyped_storage()
        return {(value.device, storage.data_ptr()): storage.nbytes()}
    if isinstance(value, torch.nn.Module):
        inside: dict[Any, int] = {}
        for tensor in (*value.parameters(), *value.buffers()):
            inside.update(_tensors(tensor))
        return inside
    return {}


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return value
    return list(getattr(value, "__dict__", {}).values())
