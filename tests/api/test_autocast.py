"""`api.training.autocast`: bfloat16 only where the device computes in it natively."""

from __future__ import annotations

import pytest
import torch

from studio import api


def multiply(**more: bool) -> torch.dtype:
    with api.training.autocast("cpu", **more):
        return (torch.ones(4, 4) @ torch.ones(4, 4)).dtype


@pytest.mark.parametrize("flag", ["avx512_bf16", "amx_bf16"])
def test_a_processor_with_bfloat16_uses_it(flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, flag: True})
    assert multiply() == torch.bfloat16
    assert multiply(enabled=False) == torch.float32


def test_a_processor_without_bfloat16_uses_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": False})
    assert multiply() == torch.float32
