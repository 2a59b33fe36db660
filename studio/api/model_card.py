"""The model card of a trained model: what it is, what it learnt from, and how good it is, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.core.descriptor import Field, Widget
from studio.core.humanize import format_seconds
from studio.core.params_schema import read_fields
from studio.core.private_paths import name_of_path

if TYPE_CHECKING:
    from studio.api.training import TrainingState

CARD_NAME = "README.md"
"""File name of the card in a model's folder, as on the Hugging Face hub."""


MAX_LISTED, MAX_TEXT = 10, 200
"""Number of items of a list, and of characters of a text, that the table of parameters shows."""
_PARAMETERS, _SOURCES = "Parameters", "Made from"
_MARKS = re.compile(r"[\\`*_\[\]<>~#]|\A[-+]")
_NUMBER = re.compile(r"\A(\d+)([.)])")


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
    rows_title: str = "Training"
    """Heading of the facts."""
    data: Mapping[str, int] = field(default_factory=dict)
    """Number of training samples by folder or file."""
    measures: Sequence[Measure] = ()
    """Results on data that was not used for training."""
    sections: Mapping[str, str] = field(default_factory=dict)
    """Further sections at the end: Markdown by heading."""

    def markdown(self) -> str:
        """Return the card as Markdown with a heading, tables and sections."""
        parts = [f"# {' '.join(self.title.split())}", self.summary.strip()]
        if self.rows:
            parts.append(_table((self.rows_title, ""), self.rows.items()))
        if self.data:
            counts = ((escape(name), count) for name, count in self.data.items())
            parts.append(_table(("Training data", "Samples"), counts))
        if self.measures:
            measures = ((measure.name, measure.value, measure.meaning) for measure in self.measures)
            parts.append(_table(("Evaluation on held-out data", "Value", "Meaning"), measures))
        parts += [f"## {_cell(heading)}\n\n{text.strip()}" for heading, text in self.sections.items()]
        return "\n\n".join(parts) + "\n"

    def write(self, folder: Path) -> None:
        """Write the card into a model's folder."""
        (folder / CARD_NAME).write_text(self.markdown(), encoding="utf-8")


def escape(text: str) -> str:
    """Return a text of the artist, such as a prompt, so that none of it is read as Markdown."""
    return _NUMBER.sub(r"\1\\\2", _MARKS.sub(r"\\\g<0>", " ".join(text.split())))


def add_parameters(
    folder: Path, schema: Mapping[str, Any], values: Mapping[str, Any], used: Mapping[str, Any] | None = None
) -> None:
    """Add a table of all parameters of a training to the card in a model's folder, if it has one and no such table.

    `schema` is the JSON schema of the parameters, and `values` are theirs, without paths. `used` has the numbers that
    were used for parameters that were left empty.
    """
    card = folder / CARD_NAME
    text = card.read_text("utf-8") if card.is_file() else ""
    if not text or f"\n## {_PARAMETERS}\n" in text:
        return
    rows = []
    for one in read_fields(schema):
        value, automatic = values.get(one.name, one.default), (used or {}).get(one.name)
        shown = _describe_value(one, automatic if value is None else value)
        rows.append((escape(one.title), f"{shown} (automatic)" if value is None and automatic is not None else shown))
    if rows:
        card.write_text(f"{text.rstrip()}\n\n## {_PARAMETERS}\n\n{_table(('Parameter', 'Value'), rows)}\n", "utf-8")


def add_sources(folder: Path, models: Iterable[tuple[str, str, str]]) -> None:
    """Add a table of the models that a model was made from to its card, if it has one and no such table.

    Each model has a name, the SHA-256 of its weights, and a licence; the last two may be empty.
    """
    card = folder / CARD_NAME
    text = card.read_text("utf-8") if card.is_file() else ""
    rows = [(escape(name), f"`{digest}`" if digest else "", escape(licence)) for name, digest, licence in models]
    if text and rows and f"\n## {_SOURCES}\n" not in text:
        table = _table(("Model", "SHA-256 of the weights", "Licence"), rows)
        card.write_text(f"{text.rstrip()}\n\n## {_SOURCES}\n\n{table}\n", "utf-8")


def training_rows(tool: str, state: TrainingState, *, seed: int, parameters: int) -> dict[str, object]:
    """Return the facts that every card of a training has. `parameters` is the number of trained weights."""
    return {
        "Tool": f"`{tool}`",
        "Seed": str(seed),
        "Steps": state.step,
        "Training time": format_seconds(state.seconds),
        "Parameters": parameters,
    }


def _describe_value(field: Field, value: object) -> str:
    """Return a value as the form shows it. Long texts and lists are shortened."""
    if isinstance(value, list):
        more = f", and {len(value) - MAX_LISTED:,} more" if len(value) > MAX_LISTED else ""
        return ", ".join(_describe_value(field, one) for one in value[:MAX_LISTED]) + more or "none"
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value in field.choices and len(field.labels) == len(field.choices):
        label = escape(field.labels[field.choices.index(value)])
        return f"{label} {field.unit}" if field.unit and isinstance(value, int | float) else label
    if isinstance(value, int | float):
        return f"{value:,}{f' {field.unit}' if field.unit else ''}"
    text = str(value)
    if field.widget is Widget.FOLDER:
        text = name_of_path(text)
    return escape(text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…")


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines: list[Sequence[object]] = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_cell(value) for value in line)} |" for line in lines)


def _cell(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return " ".join(str(value).split()).replace("|", "\\|")
