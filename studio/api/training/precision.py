"""Mixed precision of a training."""

from __future__ import annotations

from contextlib import AbstractContextManager


def autocast(device: str, *, enabled: bool = True) -> AbstractContextManager[None]:
    """Return a context in which matrix products and convolutions run in bfloat16, if `enabled` and worthwhile.

    A CPU without instructions for bfloat16 (AVX-512 BF16 or AMX) would take ten times as long as in float32, so it
    stays in float32.
    """
    import torch

    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=enabled and (kind != "cpu" or _cpu_has_bfloat16()))


def _cpu_has_bfloat16() -> bool:
    import torch

    flags = torch.cpu.get_capabilities()
    return bool(flags.get("avx512_bf16") or flags.get("amx_bf16") or flags.get("bf16"))
