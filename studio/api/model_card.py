"""The model card of a trained model: what it is, what it learnt from, and how good it is, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from studio.core.humanize import format_seconds

if TYPE_CHECKING:
    from studio.api.training import TrainingState

CARD_NAME = "README.md"
"""File name of the card in a model's folder, as on the Hugging Face hub."""


@dataclass(frozen=True)
class Measure:
    """One result of an evaluation. `meaning` gives the unit and tells whether more is better."""

    name: str
    value: float | str
    meaning: str = ""


@dataclass(frozen=True)
class ModelCard:
    """The contents of a model card. Empty parts are left out."""

    title: str
    summary: str
    """One or more paragraphs of Markdown: kind of model, architecture, use and limits."""
    rows: Mapping[str, object] = field(default_factory=dict)
    """Facts by name, such as seed and steps. See `training_rows`."""
    data: Mapping[str, int] = field(default_factory=dict)
    """Number of training samples by folder or file."""
    measures: Sequence[Measure] = ()
    """Results on data that was not used for training."""
    sections: Mapping[str, str] = field(default_factory=dict)
    """Further sections at the end: Markdown by heading."""

    def markdown(self) -> str:
        """Return the card as Markdown with a heading, tables and sections."""
        parts = [f"# {_cell(self.title)}", self.summary.strip()]
        if self.rows:
            parts.append(_table(("Training", ""), self.rows.items()))
        if self.data:
            parts.append(_table(("Training data", "Samples"), self.data.items()))
        if self.measures:
            measures = ((measure.name, measure.value, measure.meaning) for measure in self.measures)
            parts.append(_table(("Evaluation on held-out data", "Value", "Meaning"), measures))
        parts += [f"## {_cell(heading)}\n\n{text.strip()}" for heading, text in self.sections.items()]
        return "\n\n".join(parts) + "\n"

    def write(self, folder: Path) -> None:
        """Write the card into a model's folder."""
        (folder / CARD_NAME).write_text(self.markdown(), encoding="utf-8")


def training_rows(tool: str, state: TrainingState, *, seed: int, parameters: int) -> dict[str, object]:
    """Return the facts that every card of a training has. `parameters` is the number of trained weights."""
    return {
        "Tool": f"`{tool}`",
        "Seed": str(seed),
        "Steps": state.step,
        "Training time": format_seconds(state.seconds),
        "Parameters": parameters,
    }


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines: list[Sequence[object]] = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_cell(value) for value in line)} |" for line in lines)


def _cell(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return " ".join(str(value).split()).replace("|", "\\|")
