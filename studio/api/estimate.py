"""The memory and time that a job will need, estimated before it runs."""

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
    """The result of `Tool.estimate`. Each part may be left out.

    The time is `work` times the seconds that one unit of work takes on this machine. The studio
    learns that number, under the name `rate`, from every job that is done, and from each `WorkDone`; before the
    first one the time is unknown.
    """

    memory: int = 0
    """Bytes that the device will need in total, models included; 0 if unknown."""
    work: float = 0.0
    """Amount of work in the tool's own units, such as steps, frames, or pixels times steps."""
    rate: str = ""
    """Name of the speed, shared by jobs that are equally fast: ``plasma.clouds``, or a tool and its model's size."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Short texts by parameter, shown beside its field: ``{"prompt": "34 of 75 tokens"}``."""
    budget: TokenBudget | None = None
    """For a tool that writes on the page: the tokens that `run` would give the model, by their source."""
    disk: int = 0
    """Bytes that the job will write to the disk of the studio's folder; 0 if unknown or few."""


class EstimateContext(Protocol):
    """The host, as `Tool.estimate` sees it: it finds models, but does not load them."""

    @property
    def device(self) -> str:
        """Device of the job: ``cpu``, ``cuda:0``, ``mps``, ``xpu:0``."""

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the job. ``ctx.dtype.itemsize`` is the number of bytes of one value."""

    def starter(self, name: str) -> Path:
        """Return the folder of a starter model. Raises BadInput if there is none of that name."""

    def model(self, choice: str) -> Path | str:
        """Return the file or folder of a `ModelChoice` value, or a hub id if it is not on this computer.

        Raises BadInput for anything else.
        """
