"""Parameters that the tools for LoRA files share."""

from __future__ import annotations

from studio import api

from .decomposition import Truncation
from .lora_output import PRECISION_LABELS, Precision


class LoraFileParams(api.Params):
    """The name and the precision of a LoRA that is written."""

    title: str = api.param("My LoRA", title="Name")
    """Name of the new LoRA."""
    precision: Precision = api.param("float16", labels=PRECISION_LABELS, advanced=True)
    """Precision of the numbers in the file. 16 bits are enough for almost all LoRAs."""


class KeptParams(api.Params):
    """A rank that follows from the layer."""

    kept: float | None = api.param(None, ge=0.1, le=1.0, step=0.01, title="Kept norm (sv_fro)")
    """Gives each layer the lowest rank that keeps this fraction of the Frobenius norm of its change, and the rank above
    at most. Usual are 0.9 to 0.99. Leave it empty for the same rank in all layers."""


def build_truncation(rank: int, kept: float | None) -> Truncation:
    """Return the truncation that the parameters ask for."""
    return Truncation(rank, kept)


def find_device(ctx: api.Context) -> str:
    """Return the device for decompositions: the job's, where its libraries can decompose matrices."""
    return ctx.device if ctx.device.startswith("cuda") else "cpu"
