"""Edits captions: that of one image, or those of all at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QPlainTextEdit, QVBoxLayout, QWidget

from studio.state.jobs.caption_edits import CaptionEdits
from studio.ui.widgets import labels


def replace_words(captions: Mapping[Path, str], old: str, new: str) -> dict[Path, str]:
    """Return the captions that change when a text is replaced; case is kept apart."""
    return {path: text.replace(old, new) for path, text in captions.items() if old and old in text}


def add_trigger(captions: Mapping[Path, str], word: str) -> dict[Path, str]:
    """Return the captions with a word in front, without those that contain it already."""
    pattern = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)
    return {
        path: f"{word}, {text}" if text else word
        for path, text in captions.items()
        if word and not pattern.search(text)
    }


def remove_tag(captions: Mapping[Path, str], tag: str) -> dict[Path, str]:
    """Return the captions that have a tag between commas, without it."""
    changed: dict[Path, str] = {}
    for path, text in captions.items():
        tags = [part.strip() for part in text.split(",")]
        kept = [part for part in tags if part.casefold() != tag.strip().casefold()]
        if tag.strip() and len(kept) < len(tags):
            changed[path] = ", ".join(kept)
    return changed


class CaptionPanel(QWidget):
    """Edits the caption of one image and saves it, or changes those of all images."""

    def __init__(self, edits: CaptionEdits) -> None:
        super().__init__()
        self._edits = edits
        self._path: Path | None = None
        self._shown = ""
        """The caption in the editor before it was edited."""
        self.editor = QPlainTextEdit()
        self.editor.setFixedHeight(96)
        self.editor.setPlaceholderText("No caption")
        labels.describe(self.editor, "Caption", "The caption of the selected image. It is saved in NAME.txt beside it")
        self.save = labels.make_button("Save caption", "Save this caption", self._save)
        self.old, self.new = self._line("Search"), self._line("Replace by")
        self.trigger, self.tag = self._line("Trigger word"), self._line("Tag")
        self.replace = labels.make_button("Replace in all", "Replace this text in all captions", self._replace)
        self.add = labels.make_button("Add to all", "Put this word in front of all captions that lack it", self._add)
        self.remove = labels.make_button("Remove from all", "Remove this tag from all captions", self._remove)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(labels.make_label("Caption", "caption"))
        column.addWidget(self.editor)
        column.addWidget(self.save)
        column.addSpacing(6)
        column.addWidget(labels.make_label("All captions", "caption"))
        self._add_row(column, self.old, self.new)
        column.addWidget(self.replace)
        self._add_row(column, self.trigger, self.add)
        self._add_row(column, self.tag, self.remove)
        self.editor.textChanged.connect(self._update)
        self.show_image(None)

    def show_image(self, path: Path | None) -> None:
        """Show the caption of an image; without one, the editor is disabled.

        What is typed and not saved stays in the editor, and becomes a proposal when another image is shown.
        """
        left, typed = self._path, self.editor.toPlainText()
        is_edited = typed != self._shown
        if path != left or not is_edited:
            self._path, self._shown = path, self._edits.caption_of(path) if path else ""
            self.editor.setPlainText(self._shown)
        self.editor.setEnabled(path is not None)
        self._update()
        if left is not None and left != path and is_edited:
            self._edits.propose(left, " ".join(typed.split()))

    def _update(self) -> None:
        text = self.editor.toPlainText()
        self.save.setEnabled(self._path is not None and text != self._edits.saved.get(self._path, ""))

    def _save(self) -> None:
        if self._path is not None:
            text = " ".join(self.editor.toPlainText().split())
            self._shown = self.editor.toPlainText()
            self._edits.write({self._path: text})

    def _replace(self) -> None:
        self._edits.change(replace_words(self._edits.captions, self.old.text(), self.new.text()))

    def _add(self) -> None:
        self._edits.change(add_trigger(self._edits.captions, self.trigger.text().strip()))

    def _remove(self) -> None:
        self._edits.change(remove_tag(self._edits.captions, self.tag.text()))

    def _line(self, name: str) -> QLineEdit:
        line = QLineEdit()
        line.setPlaceholderText(name)
        labels.describe(line, name)
        return line

    def _add_row(self, column: QVBoxLayout, *widgets: QWidget) -> None:
        row = QHBoxLayout()
        for widget in widgets:
            row.addWidget(widget)
        column.addLayout(row)
