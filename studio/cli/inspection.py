"""`inspect`: what a training would find in its folders."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import msgspec

from studio.cli.app_context import AppContext, open_app
from studio.cli.console import Console, to_printable
from studio.cli.run import parse_assignments
from studio.core import params_schema
from studio.core.data_report import CaptionSource, DataFolder, DataReport, Fault
from studio.core.errors import BadInput, StudioError
from studio.core.messages import InspectionProgress, InspectionResult
from studio.engine.interface import WorkerChanged, WorkerState

MAX_EXAMPLES = 5
"""Number of captions that are printed for each folder."""
MAX_ROWS = 60
"""Number of files with problems that are printed for each folder."""


def inspect(options: argparse.Namespace, console: Console) -> int:
    """Print a report. Returns 2 if the training could not start with this data."""
    with open_app(options, console) as app:
        tool = app.find_tool(options.tool)
        if not tool.inspects_data:
            able = ", ".join(sorted(other.id for other in app.catalogue.tools.values() if other.inspects_data))
            raise BadInput(f"{tool.title} has no training data to check.", f"Tools that have: {able or 'none'}.")
        values = params_schema.check_values(tool, parse_assignments(tool, options.set))
        app.wait_until_ready()
        result = _await_result(app, app.engine.inspect_data(tool.id, values), console)
    if result.report is None:
        raise BadInput(result.sentence)
    _print_report(result.report, console)
    return 2 if result.report.refusal else 0


def _await_result(app: AppContext, id: str, console: Console) -> InspectionResult:
    while True:
        match app.events.get():
            case InspectionProgress(done=done, total=total) as progress if progress.id == id:
                console.show_bar(done / max(1, total), f"Checking files: {done:,} of {total:,}")
            case InspectionResult() as result if result.id == id:
                console.clear_bar()
                return result
            case WorkerChanged(state=WorkerState.RESTARTING | WorkerState.GONE, sentence=sentence):
                raise StudioError(sentence or "The worker has ended.", "Run `studio doctor` to find the cause.")


def _print_report(report: DataReport, console: Console) -> None:
    console.emit(
        {"summary": report.summary, "faults": report.count_faults(), "captions": report.count_captions(),
         **msgspec.to_builtins(report)}
    )  # fmt: skip
    console.print_line(report.summary)
    counts = [(source.label, f"{count:,}") for source, count in report.count_captions().items()]
    rows = [*report.facts, *((f"Captions: {label}", count) for label, count in counts)]
    rows += [(fault.label.capitalize(), f"{count:,}") for fault, count in report.count_faults().items()]
    if rows:
        console.print_line("")
        console.print_table(rows)
    for folder in report.folders:
        _print_table(folder.path, _list_problems(folder, report.find_common_faults()), console)
        order = [*CaptionSource]
        captioned = sorted(
            (file for file in folder.usable if file.caption), key=lambda file: order.index(file.caption_source)
        )
        examples = [(file.name, file.caption) for file in captioned[:MAX_EXAMPLES]]
        _print_table("Captions, for example", examples, console)
    if report.warnings:
        console.print_line("")
    for sentence in (*(warning.sentence for warning in report.warnings), report.advice):
        console.print_line(sentence)
    if report.refusal:
        console.print_line("")
        console.print_line(f"The training cannot start: {report.refusal} {report.hint}".strip())


def _list_problems(folder: DataFolder, common: frozenset[Fault]) -> Iterator[tuple[str, str]]:
    """Yield the files with problems that not all have."""
    for file in folder.files:
        findings = [finding for finding in file.findings if finding.fault not in common | {Fault.NO_CAPTION}]
        if file.is_excluded:
            yield file.name, "excluded"
        elif findings:
            yield file.name, " ".join(finding.sentence for finding in findings)


def _print_table(title: str, rows: Iterator[tuple[str, str]] | list[tuple[str, str]], console: Console) -> None:
    listed = list(rows)
    if listed:
        console.print_line("")
        console.print_line(to_printable(title))
        console.print_table((f"  {name}", text) for name, text in listed[:MAX_ROWS])
    if len(listed) > MAX_ROWS:
        console.print_line(f"  … and {len(listed) - MAX_ROWS:,} more; --json lists all")
