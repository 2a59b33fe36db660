"""The device that tools run on."""

from __future__ import annotations

import pytest
import torch

from studio.worker import devices


def test_the_cpu_is_used_when_it_is_chosen() -> None:
    device = devices.choose("cpu")
    assert (device.name, device.kind, device.dtype, device.warning) == ("cpu", "cpu", "float32", "")
    assert device.torch_dtype is torch.float32
    total, free = devices.read_memory(device)
    assert total >= free > 0
    assert devices.read_used_memory(device) > 0


@pytest.mark.parametrize("wanted", ["cuda:77", "no such device"])
def test_a_device_that_does_not_work_is_replaced(wanted: str, caplog: pytest.LogCaptureFixture) -> None:
    device = devices.choose(wanted)
    assert device.name in ("cpu", "cuda:0", "xpu:0", "mps")
    assert device.warning == f"The device {wanted} cannot be used; {device.name} is used instead."


def test_the_dtype_suits_the_device() -> None:
    device = devices.choose()
    assert device.dtype in {"cpu": ["float32"], "mps": ["float16"]}.get(device.kind, ["bfloat16", "float16"])
    numbers = torch.ones(3, device=device.name, dtype=device.torch_dtype)
    assert (numbers + numbers).sum().item() == 6


def test_without_torch_the_device_is_unknown() -> None:
    report = devices.describe_device(None)
    assert (report.kind, report.name) == ("", "")
    assert report.memory_total > 0
    assert report.versions.keys() >= {"studio", "python"}


def test_memory_can_be_released_on_every_device() -> None:
    devices.release_memory(None)
    devices.release_memory(devices.choose())
