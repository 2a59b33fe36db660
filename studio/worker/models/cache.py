"""Loaded models, kept between jobs, and dropped least recently used first when memory is short."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FunctionType, MethodType, ModuleType
from typing import Any, TypeAlias, TypeVar

from studio.core.errors import is_out_of_memory
from studio.worker.models.evicted_state import EvictedStates

_log = logging.getLogger(__name__)
M = TypeVar("M")
_StorageKey: TypeAlias = tuple[str, int]
"""Device and address of a storage."""

FREE_FRACTION = 0.15
"""Fraction of the device's memory that stays free for the work itself."""

_DEPTH = 5
"""Levels of containers and attributes in which tensors are counted: a codec may hold a pipeline that holds modules."""

_LEAVES = (str, bytes, int, float, type, FunctionType, MethodType, ModuleType)


class ModelCache:
    """Implements `api.Models`.

    `read_memory` returns the device's total and free bytes, `release_memory` returns dropped memory to
    the device and the system, `states` keeps the state of evicted models; without it that is lost.
    """

    def __init__(
        self,
        read_memory: Callable[[], tuple[int, int]],
        release_memory: Callable[[], None],
        states: EvictedStates | None = None,
    ) -> None:
        self._states = states
        self._read_memory = read_memory
        self._release_memory = release_memory
        self._models: OrderedDict[str, Any] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._lock = threading.RLock()
        self._timing = False
        self.seconds_loading = 0.0
        """Time spent in loaders so far."""

    def load(self, key: str, loader: Callable[[], M]) -> M:
        """Return the model under `key`; `loader()` is called on the first use.

        When that runs out of memory, all other models are evicted and it is called once more.
        """
        with self._lock:
            if key in self._models:
                self._models.move_to_end(key)
                cached: M = self._models[key]
                return cached
            with self._time_loading():
                self._evict_until_free()
                model = self._load_with_retry(key, loader)
                if self._states:
                    self._states.restore_state(key, model)
                self._models[key] = model
                self._sizes[key] = count_bytes(model)
                _log.info("loaded %s, %d MiB", key, self._sizes[key] >> 20)
                self._evict_until_free(keep=key)
            return model

    def drop(self, key: str) -> None:
        with self._lock:
            if self._states:
                self._states.forget(key)
            if self._models.pop(key, None) is not None:
                _log.info("dropped %s, %d MiB", key, self._sizes.pop(key) >> 20)

    def clear(self) -> None:
        """Evict all models and release their memory."""
        with self._lock:
            for key in list(self._models):
                self._evict(key)
        self._release_memory()

    def forget(self) -> None:
        """Drop all models and saved states, and release their memory."""
        with self._lock:
            for key in list(self._models):
                self.drop(key)
        if self._states:
            self._states.forget_all()
        self._release_memory()

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes by key, least recently used first."""
        return {key: self._sizes[key] for key in self._models}

    def _evict(self, key: str) -> None:
        model = self._models.pop(key)
        if self._states:
            self._states.save_state(key, model)
        _log.info("evicted %s, %d MiB", key, self._sizes.pop(key) >> 20)

    def _load_with_retry(self, key: str, loader: Callable[[], M]) -> M:
        try:
            return loader()
        except Exception as error:
            if not is_out_of_memory(error) or not self._models:
                raise
            _log.warning("no memory to load %s: all other models are evicted", key)
        # Outside the handler: the exception holds the frames of the half-loaded model.
        self.clear()
        return loader()

    @contextmanager
    def _time_loading(self) -> Iterator[None]:
        """Add the time of the block to `seconds_loading`, once where loaders are nested."""
        outermost, self._timing = not self._timing, True
        start = time.monotonic()
        try:
            yield
        finally:
            if outermost:
                self._timing = False
                self.seconds_loading += time.monotonic() - start

    def _evict_until_free(self, keep: str = "") -> None:
        for key in [key for key in self._models if key != keep]:
            total, free = self._read_memory()
            if free >= total * FREE_FRACTION:
                return
            self._evict(key)
            self._release_memory()


def count_bytes(model: object) -> int:
    """Return the bytes of all distinct tensors and arrays in a module, a pipeline, or a container of them."""
    sizes: dict[_StorageKey, int] = {}
    seen: set[int] = set()
    level: list[object] = [model]
    for _ in range(_DEPTH):
        next_level: list[object] = []
        for value in level:
            if value is None or isinstance(value, _LEAVES) or id(value) in seen:
                continue
            seen.add(id(value))
            storages = _storage_sizes(value)
            sizes.update(storages)
            if not storages:
                next_level.extend(_children(value))
        level = next_level
    return sum(sizes.values())


def _storage_sizes(value: object) -> dict[_StorageKey, int]:
    """Return the bytes of each storage that a tensor, an array or a module has."""
    import numpy as np
    import torch

    if isinstance(value, np.ndarray):
        return {("numpy", value.__array_interface__["data"][0]): value.nbytes}
    if isinstance(value, torch.Tensor):
        storage = value.untyped_storage()
        return {(str(value.device), storage.data_ptr()): storage.nbytes()}
    if isinstance(value, torch.nn.Module):
        sizes: dict[_StorageKey, int] = {}
        for tensor in (*value.parameters(), *value.buffers()):
            sizes.update(_storage_sizes(tensor))
        return sizes
    return {}


def _children(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return value
    return list(getattr(value, "__dict__", {}).values())
