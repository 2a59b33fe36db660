"""What a job will take, told before it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from studio.core.page.token_budget import TokenBudget

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Estimate:
    """What `Tool.estimate` gives. Each part may be left out.

    The time is `work` times the seconds that one unit of it takes on this machine, which the
    studio learns under the name `rate` from every job that is done; before the first one it
    is not known.
    """

    memory: int = 0
    """Bytes that the device will need in all, models included; 0 where that is not known."""
    work: float = 0.0
    """How much there is to do, in units of the tool's own: steps, frames, pixels of all steps."""
    rate: str = ""
    """Jobs that take equally long for a unit share it: ``plasma.clouds``, or a tool and the size of its model."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Short words by parameter, shown beside it: ``{"prompt": "34 of 75 tokens"}``."""
    budget: TokenBudget | None = None
    """For a tool that writes on the page: what the model would read of it, exactly as `run` would have it."""


class EstimateContext(Protocol):
    """The host, as `Tool.estimate` sees it: where things are, and no way to compute or to load."""

    @property
    def device(self) -> str:
        """That of the job: ``cpu``, ``cuda:0``, ``mps``, ``xpu:0``."""

    @property
    def dtype(self) -> torch.dtype:
        """That of the job. ``ctx.dtype.itemsize`` are the bytes of one number."""

    def starter(self, name: str) -> Path:
        """The folder of a starter model. Raises BadInput when there is none of that name."""

    def model(self, choice: str) -> Path | str:
        """What a `ModelChoice` value stands for: an existing file or folder, or the id of a model of the hub
        that is not on this computer. Raises BadInput when it is neither."""
