"""Check the data of a training that begins, and say what to expect of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from msgspec.structs import replace

from studio.api.context import Context
from studio.api.events import Event, Notice, Progress
from studio.core.data_report import UNUSABLE, DataReport, Fault, count_noun
from studio.core.errors import BadInput

if TYPE_CHECKING:
    from studio.api.tool import Tool


class InspectionContext(Protocol):
    """The host, as `Tool.inspect_data` sees it."""

    def report_progress(self, done: int, total: int) -> None:
        """Say how many files are done. A cancel point: raises Cancelled."""


TOLD_WHEN_READ = UNUSABLE | {Fault.DAMAGED}
"""Faults that the training itself tells when it reads the files."""


@dataclass(frozen=True)
class Advice:
    """Says what to expect of less than `below` samples (None: of any number). It is a warning if `is_scarce`."""

    below: int | None
    text: str
    is_scarce: bool = True


def check_data(tool: Tool, params: Any, ctx: Context) -> Iterator[Event]:
    """Inspect the data of a training that begins. Yields warnings; raises BadInput if the training cannot start.

    Does nothing for a training that resumes.
    """
    if ctx.checkpoint_dir.is_dir() and any(ctx.checkpoint_dir.iterdir()):
        return
    report = tool.inspect_data(params, _JobInspection(ctx))
    if report is None:
        return
    if report.refusal:
        raise BadInput(report.refusal, report.hint)
    for warning in report.warnings:
        if warning.fault not in TOLD_WHEN_READ:
            yield Notice(warning.sentence, "warning")
    if report.advice:
        yield Notice(report.advice, "warning" if report.is_scarce else "info")


def advise(report: DataReport, count: int, advice: Sequence[Advice], noun: str = "image") -> DataReport:
    """Return a report with the first advice that fits `count` samples: "51 images: a LoRA works with so many.".

    A report that refuses the training stays as it is, here and in `with_advice`.
    """
    for one in advice:
        if one.below is None or count < one.below:
            return with_advice(report, f"{count_noun(count, noun)}: {one.text}", is_scarce=one.is_scarce)
    return report


def with_advice(report: DataReport, text: str, *, is_scarce: bool) -> DataReport:
    """Return a report with a sentence that says what to expect; a warning if there is too little data."""
    return report if report.refusal else replace(report, advice=text, is_scarce=is_scarce)


def refuse(report: DataReport, error: BadInput) -> DataReport:
    """Return a report that says why the training cannot start. An earlier refusal stays."""
    return report if report.refusal else replace(report, refusal=str(error.args[0]), hint=error.hint)


class _JobInspection:
    """Reports the progress of an inspection as that of a job."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    def report_progress(self, done: int, total: int) -> None:
        if done % 50 == 0:
            self._ctx.emit(Progress(0, 0, f"Checking files: {done:,} of {total:,}"))
