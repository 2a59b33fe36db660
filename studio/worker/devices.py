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
from typing import TYPE_CHECKING, Any

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
    sentence: str = ""
    """Worth telling the artist, when the device is not the one that was asked for."""

    @property
    def kind(self) -> str:
        return self.name.partition(":")[0]

    @property
    def torch_dtype(self) -> torch.dtype:
        import torch

        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype


def choose(wanted: str = "auto") -> Device:
    """The device asked for; with `auto`, or where that one does not work, the first that does.

    Tried in the order CUDA, XPU, MPS, CPU. Imports torch.
    """
    asked = [] if wanted == "auto" else [_numbered(wanted)]
    for name in [*asked, *_automatic()]:
        if works(name):
            instead = asked and name != asked[0]
            sentence = f"The device {wanted} cannot be used; {name} is used instead." if instead else ""
            return Device(name, _dtype(name), _title(name), sentence)
    raise RuntimeError("torch cannot even use the CPU")


def memory(device: Device) -> tuple[int, int]:
    """Total and free bytes of the device; of the machine where it has none of its own."""
    import torch

    if device.kind in ("cuda", "xpu"):
        free, total = getattr(torch, device.kind).mem_get_info(device.name)
        return int(total), int(free)
    machine = psutil.virtual_memory()
    return int(machine.total), int(machine.available)


def held(device: Device | None) -> int:
    """Bytes that this process holds: on an accelerator with memory of its own, there; else of the machine."""
    if device is not None and device.kind in ("cuda", "xpu"):
        import torch

        return int(getattr(torch, device.kind).memory_reserved(device.name))
    return int(psutil.Process().memory_info().rss)


def give_back(device: Device | None) -> None:
    """Returns memory that is free, but kept for reuse, to the device and to the system."""
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


def beat(device: Device | None) -> Heartbeat:
    """How the worker is, as of now."""
    try:
        return Heartbeat(held(device), report(device) if device else None)
    except RuntimeError:  # the device is out of order; the worker is not
        return Heartbeat(held(None))


def report(device: Device | None) -> DeviceReport:
    """What the studio shows. `kind` is empty until torch was asked."""
    if device is None:
        machine = psutil.virtual_memory()
        return DeviceReport(
            kind="", dtype="", memory_total=machine.total, memory_free=machine.available, versions=versions()
        )
    total, free = memory(device)
    return DeviceReport(
        kind=device.kind,
        name=device.title,
        dtype=device.dtype,
        memory_total=total,
        memory_free=free,
        versions=versions(),
        devices=present(),
    )


@functools.cache
def present() -> dict[str, str]:
    """Every device of the machine, the best first; asked for once, since they stay."""
    import torch

    counts = {"cuda": torch.cuda.device_count(), "xpu": torch.xpu.device_count()}
    found = [f"{kind}:{number}" for kind, count in counts.items() for number in range(count)]
    if torch.backends.mps.is_available():
        found.append("mps")
    return {name: _title(name) for name in [*found, "cpu"]}


def versions() -> dict[str, str]:
    """Of the studio, Python, and the libraries that are loaded."""
    found = {"studio": studio.__version__, "python": platform.python_version()}
    for name in ("torch", "numpy", "diffusers", "transformers"):
        if name in sys.modules:
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                found[name] = str(getattr(sys.modules[name], "__version__", ""))
    return found


def _automatic() -> Iterator[str]:
    import torch

    if torch.cuda.is_available():
        yield "cuda:0"
    if torch.xpu.is_available():
        yield "xpu:0"
    if torch.backends.mps.is_available():
        yield "mps"
    yield "cpu"


def _numbered(name: str) -> str:
    return f"{name}:0" if name in ("cuda", "xpu") else name


def works(name: str) -> bool:
    """A driver may report a device that then refuses to work, and a fault may leave one unusable."""
    import torch

    try:
        return bool((torch.ones(2, device=name) + 1).sum().item() == 4)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        _log.warning("the device %s cannot be used: %s", name, error)
        return False


def _dtype(name: str) -> str:
    import torch

    kind = name.partition(":")[0]
    if kind == "cuda":
        return "bfloat16" if torch.cuda.get_device_capability(name)[0] >= 8 else "float16"
    return {"xpu": "bfloat16", "mps": "float16"}.get(kind, "float32")


def _title(name: str) -> str:
    import torch

    kind = name.partition(":")[0]
    if kind in ("cuda", "xpu"):
        found: Any = getattr(torch, kind)
        return str(found.get_device_name(name))
    return "Apple GPU" if kind == "mps" else _cores()


def _cores() -> str:
    """How many this process may use, which can be fewer than the machine has."""
    count = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return "1 core" if count == 1 else f"{count} cores"
