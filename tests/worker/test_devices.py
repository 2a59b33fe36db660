"""The device that tools run on."""

from __future__ import annotations

import pytest
import torch

from studio.worker import devices


def test_the_cpu_when_it_is_asked_for() -> None:
    device = devices.choose("cpu")
    assert (device.name, device.kind, device.dtype, device.warning) == ("cpu", "cpu", "float32", "")
    assert device.torch_dtype is torch.float32
    total, free = devices.read_memory(device)
    assert total >= free > 0
    assert devices.read_used_memory(device) > 0


@pytest.mark.parametrize("wanted", ["cuda:77", "no such device"])
def test_another_is_used_where_the_one_asked_for_does_not_work(wanted: str, caplog: pytest.LogCaptureFixture) -> None:
    device = devices.choose(wanted)
    assert device.name in ("cpu", "cuda:0", "xpu:0", "mps")
    assert device.warning == f"The device {wanted} cannot be used; {device.name} is used instead."


def test_the_dtype_suits_the_device() -> None:
    device = devices.choose()
    assert device.dtype in {"cpu": ["float32"], "mps": ["float16"]}.get(device.kind, ["bfloat16", "float16"])
    numbers = torch.ones(3, device=device.name, dtype=device.torch_dtype)
    assert (numbers + numbers).sum().item() == 6


def test_before_torch_is_asked_the_device_is_not_known() -> None:
    report = devices.describe_device(None)
    assert (report.kind, report.name) == ("", "")
    assert report.memory_total > 0
    assert report.versions.keys() >= {"studio", "python"}


def test_giving_back_is_harmless_on_every_device() -> None:
    devices.release_memory(None)
    devices.release_memory(devices.choose())
