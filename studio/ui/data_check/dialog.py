"""The dialog of *Check data*: what a training would find, with a way to mend it."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QSize, Qt, QTimer
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QDialog,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from studio.core.data_report import REPEATED, DataReport, Fault, name_excluded
from studio.core.untrusted_files import make_printable
from studio.state.session import Session
from studio.ui.data_check.caption_all import CaptionAllPanel
from studio.ui.data_check.caption_panel import CaptionPanel
from studio.ui.data_check.file_grid import Entry, FileDelegate, FileGrid, FileModel
from studio.ui.widgets import labels
from studio.ui.widgets.thumbnail_loader import ThumbnailLoader

SIZE = QSize(1080, 760)
SIDE_WIDTH = 300
ALL, PROBLEMS, DUPLICATES, NO_CAPTION, NEW_CAPTION, EXCLUDED = (
    *("All", "Problems", "Duplicates", "No caption", "New captions", "Excluded"),
)
REFRESH_MS = 150
"""Milliseconds in which new captions are gathered before they are shown."""


class DataDialog(QDialog):
    """Checks the data of the tool in the form when it is opened."""

    def __init__(self, session: Session, thumbnails: ThumbnailLoader, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._check, self._edits = session, session.data_check, session.data_check.captions
        self._may_close = False
        self._undo_index = session.undo.index()
        self._entries: list[Entry] = []
        self._common: frozenset[Fault] = frozenset()
        self._filter = ALL
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowModality(Qt.WindowModality.WindowModal)
        tool = session.workspace.tool
        self.setWindowTitle(f"Check data: {tool.title if tool else ''}")
        self.resize(SIZE)
        self.summary = labels.make_label("Checking the data…", "title", wrap=True)
        self.advice = labels.make_label(role="dim", wrap=True)
        self.refusal = labels.make_label(role="error", wrap=True)
        self.facts = labels.make_label(role="caption", wrap=True)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        labels.describe(self.bar, "Progress of the check")
        self.chips: dict[str, QPushButton] = {}
        self.model = FileModel(thumbnails, self)
        self.grid = FileGrid(self.model, FileDelegate(self._is_excluded, self._edits, self))
        self.details = labels.make_label(role="dim", wrap=True)
        self.details.setAlignment(Qt.AlignmentFlag.AlignTop)
        hint = "Leave the selected files out of the training"
        self.exclude = labels.make_button("Exclude", hint, self._toggle_excluded)
        self.captions = CaptionPanel(self._edits)
        self.caption_all = CaptionAllPanel(session, self._edits)
        self.captions.hide()
        self.caption_all.hide()
        self._refresh_timer = QTimer(self, singleShot=True, interval=REFRESH_MS)
        self.undo = labels.make_button("Undo", "Undo the last change made here", session.undo.undo)
        self.again = labels.make_button("Check again", "Look at the files again", self.start)
        self._lay_out()
        self._connect()
        self.start()

    def _lay_out(self) -> None:
        chips = QHBoxLayout()
        group = QButtonGroup(self)
        for name in (ALL, PROBLEMS, DUPLICATES, NO_CAPTION, NEW_CAPTION, EXCLUDED):
            chip = labels.make_button(name, f"Show: {name.lower()}", partial(self._set_filter, name))
            chip.setCheckable(True)
            chip.setChecked(name == ALL)
            group.addButton(chip)
            chips.addWidget(chip)
            self.chips[name] = chip
        chips.addStretch(1)
        side = QWidget()
        side_column = QVBoxLayout(side)
        side_column.setContentsMargins(12, 0, 8, 0)
        side_column.setSpacing(8)
        side_column.addWidget(self.details)
        side_column.addWidget(self.exclude)
        side_column.addWidget(self.caption_all)
        side_column.addWidget(self.captions)
        side_column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidget(side)
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setFixedWidth(SIDE_WIDTH)
        middle = QHBoxLayout()
        middle.addWidget(self.grid, 1)
        middle.addWidget(scroll)
        close = labels.make_button("Close", "Close", self.close)
        foot = QHBoxLayout()
        foot.addWidget(self.again)
        foot.addWidget(self.undo)
        foot.addStretch(1)
        foot.addWidget(close)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 16, 16, 16)
        column.setSpacing(8)
        for widget in (self.summary, self.refusal, self.advice, self.facts, self.bar):
            column.addWidget(widget)
        column.addLayout(chips)
        column.addLayout(middle, 1)
        column.addLayout(foot)

    def _connect(self) -> None:
        check = self._check
        check.progressed.connect(self._show_progress)
        check.ended.connect(self._show_report)
        self._edits.changed.connect(self._on_captions_changed)
        self._refresh_timer.timeout.connect(self._refresh)
        check.exclusions_changed.connect(self._refresh)
        self.grid.selectionModel().selectionChanged.connect(lambda *_: self._show_selection())
        self._session.undo.indexChanged.connect(self._update_undo)
        self._update_undo()

    def closeEvent(self, event: QCloseEvent) -> None:
        self._session.captioning.cancel()
        self.captions.show_image(None)
        if self._edits.proposed and not self._may_close:
            event.ignore()
            self.caption_all.ask_before_close(self._close_now)
            return
        self._check.cancel()
        event.accept()  # QDialog would call `reject`, which closes

    def _close_now(self) -> None:
        self._may_close = True
        self.close()

    def reject(self) -> None:
        """Close by Esc as by the button."""
        self.close()

    def start(self) -> None:
        """Check the data again."""
        self.summary.setText("Checking the data…")
        self.bar.setRange(0, 0)
        self.bar.show()
        for label in (self.refusal, self.advice, self.facts):
            label.hide()
        self._entries = []
        self._refresh()
        self._check.start()

    def _show_progress(self, done: int, total: int) -> None:
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        self.summary.setText(f"Checking {done:,} of {total:,} files…")

    def _show_report(self) -> None:
        report = self._check.report
        self.bar.hide()
        self._entries = [Entry(folder, file) for folder, file in report.list_files()] if report else []
        self.summary.setText(report.summary if report else self._check.sentence)
        refusal = f"The training cannot start: {report.refusal} {report.hint}" if report and report.refusal else ""
        self._common = report.find_common_faults() if report else frozenset()
        facts = _describe_facts(report) if report else ""
        for label, text in (
            (self.refusal, refusal),
            (self.advice, report.advice if report else ""),
            (self.facts, facts),
        ):
            label.setText(text)
            label.setVisible(bool(text))
        has_captions = report is not None and any(folder.has_captions for folder in report.folders)
        self.captions.setVisible(has_captions)
        self.caption_all.setVisible(has_captions)
        self.caption_all.show_entries(self._entries)
        self._refresh()

    # The grid
    def _is_excluded(self, entry: Entry) -> bool:
        return name_excluded(entry.folder, entry.file) in self._excluded

    @property
    def _excluded(self) -> frozenset[str]:
        return self._check.excluded

    def _caption_of(self, entry: Entry) -> str:
        return self._edits.caption_of(entry.path)

    def _matches(self, entry: Entry, name: str) -> bool:
        faults, is_excluded = entry.file.faults, self._is_excluded(entry)
        match name:
            case "Problems":
                return bool(faults - self._common - {Fault.NO_CAPTION}) and not is_excluded
            case "Duplicates":
                return bool(faults & REPEATED) and not is_excluded
            case "No caption":
                return entry.folder.has_captions and entry.file.width > 0 and not self._caption_of(entry)
            case "New captions":
                return entry.path in self._edits.proposed
            case "Excluded":
                return is_excluded
            case _:
                return True

    def _set_filter(self, name: str) -> None:
        self._filter = name
        self._refresh()

    def _refresh(self) -> None:
        """Show the files of the filter, and keep the selection."""
        self.caption_all.refresh()
        selected = {entry.path for entry in self.grid.selected_entries()}
        for name, chip in self.chips.items():
            count = sum(self._matches(entry, name) for entry in self._entries)
            chip.setText(f"{name} ({count:,})")
            chip.setEnabled(count > 0 or name in (ALL, self._filter))
        self.model.show_entries([entry for entry in self._entries if self._matches(entry, self._filter)])
        selection = self.grid.selectionModel()
        for row, entry in enumerate(self.model.entries):
            if entry.path in selected:
                selection.select(self.model.index(row), selection.SelectionFlag.Select)
        self._show_selection()

    def _show_selection(self) -> None:
        chosen = self.grid.selected_entries()
        self.exclude.setEnabled(bool(chosen))
        self.exclude.setText("Include" if chosen and all(map(self._is_excluded, chosen)) else "Exclude")
        one = chosen[0] if len(chosen) == 1 else None
        self.details.setText(_describe(one) if one else f"{len(chosen):,} files are selected." if chosen else
                             "Select a file to see what is wrong with it.")  # fmt: skip
        self.captions.show_image(one.path if one and one.folder.has_captions and one.file.width else None)

    def _toggle_excluded(self) -> None:
        chosen = self.grid.selected_entries()
        names = [name_excluded(entry.folder, entry.file) for entry in chosen]
        self._check.exclude(names, on=not all(map(self._is_excluded, chosen)))

    def _on_captions_changed(self) -> None:
        """Show changed captions at once, and those of a run in batches."""
        if self._session.captioning.is_running:
            if not self._refresh_timer.isActive():
                self._refresh_timer.start()
        else:
            self._refresh()

    def _update_undo(self) -> None:
        self.undo.setEnabled(self._session.undo.index() > self._undo_index)


def _describe_facts(report: DataReport) -> str:
    """Return the facts of a report and the numbers of files by fault, in one line."""
    counts = [f"{count:,} {fault.label}" for fault, count in report.count_faults().items()]
    return " · ".join([*(f"{name}: {text}" for name, text in report.facts), *counts])


def _describe(entry: Entry) -> str:
    """Return the name, size and problems of a file, one a line."""
    file = entry.file
    lines = [make_printable(file.name)]
    if file.width:
        lines.append(f"{file.width:,} × {file.height:,} px")
    if file.caption:
        lines.append(f"Caption from: {file.caption_source.label}")
    if file.texts:
        lines.append(f"{file.characters:,} characters")
    return "\n".join([*lines, *(finding.sentence for finding in file.findings)])
