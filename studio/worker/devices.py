"""The device that tools run on, by what torch reports."""

from __future__ import annotations

import functools
import importlib.metadata
import logging
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

import studio
from studio.core.descriptor import DeviceReport
from studio.core.messages import Heartbeat

if TYPE_CHECKING:
    import torch

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Device:
    """`name` is what torch understands (``cuda:0``), `dtype` the name of the torch dtype that suits it."""

    name: str
    dtype: str
    title: str
    warning: str = ""
    """A sentence for the artist where the device is not the wanted one."""

    @property
    def kind(self) -> str:
        return self.name.partition(":")[0]

    @property
    def torch_dtype(self) -> torch.dtype:
        import torch

        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype


def choose(wanted: str = "auto") -> Device:
    """Return the wanted device; with `auto`, or where that one does not work, the first that does.

    Tried in the order CUDA, XPU, MPS, CPU. Imports torch.
    """
    preferred = [] if wanted == "auto" else [_add_index(wanted)]
    for name in [*preferred, *_list_candidates()]:
        if is_usable(name):
            is_fallback = preferred and name != preferred[0]
            warning = f"The device {wanted} cannot be used; {name} is used instead." if is_fallback else ""
            return Device(name, _choose_dtype(name), _read_title(name), warning)
    raise RuntimeError("torch cannot even use the CPU")


def read_memory(device: Device) -> tuple[int, int]:
    """Return total and free bytes of the device; of the machine where it has none of its own."""
    import torch

    if device.kind in ("cuda", "xpu"):
        free, total = getattr(torch, device.kind).mem_get_info(device.name)
        return int(total), int(free)
    machine = psutil.virtual_memory()
    return int(machine.total), int(machine.available)


def read_used_memory(device: Device | None) -> int:
    """Return the bytes that this process uses: of the accelerator if it has its own memory, else of the machine."""
    if device is not None and device.kind in ("cuda", "xpu"):
        import torch

        return int(getattr(torch, device.kind).memory_reserved(device.name))
    return int(psutil.Process().memory_info().rss)


def release_memory(device: Device | None) -> None:
    """Return memory that allocators keep for reuse to the device and to the system."""
    import gc

    gc.collect()
    if device is not None and device.kind != "cpu":
        import torch

        getattr(torch, device.kind).empty_cache()
    if sys.platform == "linux":
        import ctypes

        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl has not
        if trim is not None:
            trim(0)


def build_heartbeat(device: Device | None) -> Heartbeat:
    """Return the memory in use and the state of the device."""
    try:
        return Heartbeat(read_used_memory(device), describe_device(device) if device else None)
    except RuntimeError:  # the device has failed; the worker has not
        return Heartbeat(read_used_memory(None))


def describe_device(device: Device | None) -> DeviceReport:
    """Return the device as the studio shows it. `kind` is empty until torch was asked."""
    if device is None:
        machine = psutil.virtual_memory()
        return DeviceReport(
            kind="", dtype="", memory_total=machine.total, memory_free=machine.available, versions=read_versions()
        )
    total, free = read_memory(device)
    return DeviceReport(
        kind=device.kind,
        name=device.title,
        dtype=device.dtype,
        memory_total=total,
        memory_free=free,
        versions=read_versions(),
        devices=list_devices(),
    )


@functools.cache
def list_devices() -> dict[str, str]:
    """Return the titles of the machine's devices by name, the best first. Asks torch once, since they stay."""
    import torch

    counts = {"cuda": torch.cuda.device_count(), "xpu": torch.xpu.device_count()}
    names = [f"{kind}:{number}" for kind, count in counts.items() for number in range(count)]
    if torch.backends.mps.is_available():
        names.append("mps")
    return {name: _read_title(name) for name in [*names, "cpu"]}


def read_versions() -> dict[str, str]:
    """Return the versions of the studio, of Python, and of the libraries that are loaded."""
    versions = {"studio": studio.__version__, "python": platform.python_version()}
    for name in ("torch", "numpy", "diffusers", "transformers"):
        if name in sys.modules:
            try:
                versions[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                versions[name] = str(getattr(sys.modules[name], "__version__", ""))
    return versions


def _list_candidates() -> Iterator[str]:
    import torch

    if torch.cuda.is_available():
        yield "cuda:0"
    if torch.xpu.is_available():
        yield "xpu:0"
    if torch.backends.mps.is_available():
        yield "mps"
    yield "cpu"


def _add_index(name: str) -> str:
    return f"{name}:0" if name in ("cuda", "xpu") else name


def is_usable(name: str) -> bool:
    """Check that a device computes: a driver may report one that does not, and a fault may leave one unusable."""
    import torch

    try:
        return bool((torch.ones(2, device=name) + 1).sum().item() == 4)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        _log.warning("the device %s cannot be used: %s", name, error)
        return False


def _choose_dtype(name: str) -> str:
    import torch

    kind = name.partition(":")[0]
    if kind == "cuda":
        return "bfloat16" if torch.cuda.get_device_capability(name)[0] >= 8 else "float16"
    return {"xpu": "bfloat16", "mps": "float16"}.get(kind, "float32")


def _read_title(name: str) -> str:
    import torch

    kind = name.partition(":")[0]
    if kind in ("cuda", "xpu"):
        return str(getattr(torch, kind).get_device_name(name))
    return "Apple GPU" if kind == "mps" else _describe_cores()


def _describe_cores() -> str:
    """Count the cores that this process may use, which can be fewer than the machine has."""
    count = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return "1 core" if count == 1 else f"{count} cores"
