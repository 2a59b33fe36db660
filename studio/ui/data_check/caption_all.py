"""Captions images by a model, and asks what becomes of the new captions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from PySide6.QtWidgets import (
    QAbstractButton,
    QHBoxLayout,
    QLineEdit,
    QMessageBox,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from studio.core import params_schema
from studio.core.data_report import count_noun
from studio.core.descriptor import ToolDescriptor
from studio.library.models.offers import ModelOffer
from studio.state.jobs.caption_edits import CaptionEdits
from studio.state.session import Session
from studio.ui.data_check.file_grid import Entry
from studio.ui.form.base import guard_callback
from studio.ui.form.choice_field import Combo
from studio.ui.widgets import labels

NO_TOOL = "Images are captioned by the plugin Writer, which is turned off. Turn it on in the settings."
NO_MODEL = (
    "No model that describes images is here. Put one into the models folder, such as BLIP "
    "(Salesforce/blip-image-captioning-base)."
)
WHICH = ("Without a caption", "Without one in a file", "All images")


class CaptionAllPanel(QWidget):
    """Runs the captioning tool for the images that are shown, and saves or discards what it proposes."""

    def __init__(self, session: Session, edits: CaptionEdits) -> None:
        super().__init__()
        self._session, self._captioning, self._edits = session, session.captioning, edits
        self._entries: Sequence[Entry] = ()
        self._offers: Sequence[ModelOffer] = ()
        self._before: dict[Path, str] = {}
        self._received = 0
        self.which = self._combo("Images to caption", "Images to caption")
        self.model = self._combo("Captioning model", "The model that describes the images")
        self.trigger = QLineEdit()
        self.trigger.setPlaceholderText("Trigger word in front (optional)")
        labels.describe(self.trigger, "Trigger word of new captions", "A word to put in front of the new captions")
        self.run = labels.make_button("Caption all", "Caption these images by a model", self._toggle)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        labels.describe(self.bar, "Progress of the captions")
        self.status = labels.make_label(role="dim", wrap=True)
        self.unsaved = labels.make_label(role="warning", wrap=True)
        self.save = labels.make_button("Save", "Write the new captions beside the images", lambda: self.save_all())
        self.discard = labels.make_button("Discard", "Drop all new captions", self.discard_all)
        self._lay_out()
        self.bar.hide()
        self.status.hide()
        self._captioning.progressed.connect(self._show_progress)
        self._captioning.captioned.connect(self._take)
        self._captioning.ended.connect(self._on_ended)
        session.models_changed.connect(self._request_models)
        self._request_models()
        self.refresh()

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(labels.make_label("Caption by a model", "caption"))
        for widget in (self.which, self.model, self.trigger, self.run, self.bar, self.status, self.unsaved):
            column.addWidget(widget)
        row = QHBoxLayout()
        row.addWidget(self.save)
        row.addWidget(self.discard)
        column.addLayout(row)

    def _combo(self, name: str, hint: str) -> Combo:
        combo = Combo()
        labels.describe(combo, name, hint)
        return combo

    # The tool and its models
    @property
    def _tool(self) -> ToolDescriptor | None:
        tools = self._session.workspace.catalogue.tools.values()
        return next((tool for tool in tools if tool.captions_images), None)

    def _request_models(self) -> None:
        fields = params_schema.read_fields(self._tool.schema) if self._tool else ()
        if kind := next((field.model for field in fields if field.name == "model"), ""):
            self._session.list_offers(kind, guard_callback(self, self._show_models))

    def _show_models(self, offers: Sequence[ModelOffer]) -> None:
        if offers == self._offers:
            return
        tool = self._tool
        before = self._session.workspace.draft.values.get(tool.id, {}).get("model") if tool else ""
        chosen = self._chosen_model or before
        self._offers = offers
        self.model.clear()
        self.model.addItems([offer.title for offer in offers])
        names = [offer.name for offer in offers]
        self.model.setCurrentIndex(names.index(chosen) if chosen in names else 0)
        self.refresh()

    @property
    def _chosen_model(self) -> str:
        row = self.model.currentIndex()
        return self._offers[row].name if 0 <= row < len(self._offers) else ""

    # What is shown
    def show_entries(self, entries: Iterable[Entry]) -> None:
        """Offer the usable images among these."""
        self._entries = [
            entry for entry in entries if entry.folder.has_captions and entry.file.is_usable and entry.file.width
        ]
        self.refresh()

    def refresh(self) -> None:
        """Show the numbers of images, and what can be done."""
        is_running, count = self._captioning.is_running, len(self._edits.proposed)
        row = max(self.which.currentIndex(), 0)
        texts = [f"{text} ({len(self._choose(number)):,})" for number, text in enumerate(WHICH)]
        if texts != [self.which.itemText(number) for number in range(self.which.count())]:
            self.which.clear()
            self.which.addItems(texts)
            self.which.setCurrentIndex(row)
        can_run = self._tool is not None and bool(self._offers)
        if not is_running and not can_run:
            self.status.setText(NO_MODEL if self._tool else NO_TOOL)
            self.status.show()
        elif self.status.text() in (NO_MODEL, NO_TOOL):
            self.status.hide()
        for widget in (self.which, self.model, self.trigger):
            widget.setEnabled(can_run and not is_running)
        self.model.setVisible(len(self._offers) > 1)
        self.run.setText("Cancel" if is_running else "Caption all")
        self.run.setEnabled(can_run or is_running)
        self.unsaved.setText(f"{count_noun(count, 'new caption')} not saved.")
        for shown in (self.unsaved, self.save, self.discard):
            shown.setVisible(count > 0)
        self.save.setEnabled(not is_running)
        self.discard.setEnabled(not is_running)

    def _choose(self, which: int) -> list[Entry]:
        edits = self._edits
        match which:
            case 0:
                return [entry for entry in self._entries if not edits.caption_of(entry.path)]
            case 1:
                return [
                    entry
                    for entry in self._entries
                    if entry.path not in edits.proposed and not edits.is_written(entry.path)
                ]
            case _:
                return list(self._entries)

    # A run
    def _toggle(self) -> None:
        if self._captioning.is_running:
            self._captioning.cancel()
            return
        tool, images = self._tool, defaultdict(list)
        for entry in self._choose(self.which.currentIndex()):
            images[Path(entry.folder.path)].append(entry.file.name)
        if tool is None or not images:
            self._say("There is no image to caption.")
            return
        self._before, self._received = dict(self._edits.proposed), 0
        self._captioning.start(tool, self._chosen_model, self.trigger.text().strip(), images)
        self.refresh()

    def _say(self, text: str) -> None:
        self.status.setText(text)
        self.status.setVisible(bool(text))

    def _show_progress(self, text: str, done: int, total: int) -> None:
        self.bar.setRange(0, total if done else 0)
        self.bar.setValue(done)
        self.bar.show()
        self._say(f"{text} ({done:,} of {total:,})")

    def _take(self, path: Path, text: str) -> None:
        self._received += 1
        self._edits.propose(path, text)

    def _on_ended(self, sentence: str) -> None:
        self.bar.hide()
        self._say(sentence or ("" if self._received else "No new captions."))
        self._edits.note_proposals(self._before, f"adding {count_noun(self._received, 'caption')}")
        self.refresh()

    # The proposals
    def save_all(self, then: Callable[[], object] = lambda: None) -> None:
        """Save the proposals; ask first if written captions are replaced. `then` follows unless cancelled."""
        written = [path for path in self._edits.proposed if self._edits.is_written(path)]

        def save(*, replace_written: bool) -> None:
            self._edits.save_proposed(replace_written=replace_written)
            then()

        if not written:
            save(replace_written=True)
            return
        text = f"{count_noun(len(written), 'image')} of {len(self._edits.proposed):,} had a caption before. Replace it?"
        box = QMessageBox(QMessageBox.Icon.Question, "Save captions", text, parent=self)
        box.setInformativeText("Undo brings replaced captions back.")
        replace = box.addButton("Replace", QMessageBox.ButtonRole.DestructiveRole)
        keep = box.addButton("Keep earlier captions", QMessageBox.ButtonRole.AcceptRole)
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.setDefaultButton(keep)
        _open(box, {replace: lambda: save(replace_written=True), keep: lambda: save(replace_written=False)})

    def discard_all(self) -> None:
        self._edits.discard(list(self._edits.proposed))

    def ask_before_close(self, close: Callable[[], object]) -> None:
        """Ask what becomes of the proposals, and call `close` unless cancelled."""
        text = f"{count_noun(len(self._edits.proposed), 'new caption')} not saved."
        box = QMessageBox(QMessageBox.Icon.Question, "Captions", text, parent=self)
        save = box.addButton(QMessageBox.StandardButton.Save)
        discard = box.addButton(QMessageBox.StandardButton.Discard)
        box.addButton(QMessageBox.StandardButton.Cancel)

        def discard_all() -> None:
            self.discard_all()
            close()

        _open(box, {save: lambda: self.save_all(close), discard: discard_all})


def _open(box: QMessageBox, actions: Mapping[QAbstractButton, Callable[[], object]]) -> None:
    """Open a question. The action of a button follows once it is closed, since it blocks the windows behind it."""

    def act() -> None:
        box.deleteLater()
        if action := actions.get(box.clickedButton()):
            action()

    box.finished.connect(act)
    box.open()
