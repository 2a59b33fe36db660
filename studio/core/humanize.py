"""Numbers, devices and kinds of models as people write them."""

from __future__ import annotations

from collections.abc import Sequence

from studio.core.descriptor import DeviceReport

_MEMORY_UNITS = ((1 << 40, "TB"), (1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB"), (1, "bytes"))
_SIZE_UNITS = ((10**9, "GB"), (10**6, "MB"), (10**3, "KB"), (1, "bytes"))
_DEVICE_KINDS = {"cpu": "CPU", "cuda": "GPU", "mps": "Apple GPU", "xpu": "Intel GPU"}
_MODEL_KINDS = {
    "gan": "GAN",
    "gan-directions": "Directions of a GAN",
    "lora": "LoRA",
    "controlnet": "ControlNet",
    "ip-adapter": "IP-Adapter",
}
"""Kinds of models whose names have capitals inside."""


def format_memory(count: int) -> str:
    """Format bytes of memory in units of 1024: "3.1 GB", "12 GB", "512 MB"."""
    size, unit = _largest_unit(count, _MEMORY_UNITS)
    return f"{count / size:.1f} {unit}" if size >= 1 << 30 and count < 10 * size else f"{count / size:.0f} {unit}"


def format_size(count: int) -> str:
    """Format bytes of a file or disk in units of 1000, as disks and the Hugging Face hub count: "6.9 GB", "515 KB"."""
    size, unit = _largest_unit(count, _SIZE_UNITS)
    return f"{count / size:.1f} {unit}" if size > 1 and count < 100 * size else f"{count // size} {unit}"


def format_seconds(seconds: float) -> str:
    """Format an estimated time: "a moment", "0.9 s", "40 s", "3 min", "1 h 20 min"."""
    if seconds < 0.05:
        return "a moment"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"


def format_duration(seconds: float) -> str:
    """Format the length of a clip: "2.0 s", "1 min 15 s"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def group_digits(number: int) -> str:
    """Group the digits of a number in threes with narrow no-break spaces: "41 882"."""
    return f"{number:,}".replace(",", "\u202f")


def describe_device(device: DeviceReport) -> str:
    """Name a device for the status bar: "GPU · NVIDIA H200", "CPU"."""
    kind = _DEVICE_KINDS.get(device.kind, device.kind)
    return f"{kind} · {device.name}" if device.name and device.name != kind else kind


def _largest_unit(count: int, units: Sequence[tuple[int, str]]) -> tuple[int, str]:
    return next(((size, unit) for size, unit in units if count >= size), units[-1])


def describe_model_kind(kind: str) -> str:
    """Return the kind of a model in words, such as "LoRA" for ``lora``."""
    return _MODEL_KINDS.get(kind) or kind.replace("-", " ").capitalize()
