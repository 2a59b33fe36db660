"""The controls of a running training: pause, finish, and changes to its values."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QLocale
from PySide6.QtGui import QDoubleValidator, QIntValidator
from PySide6.QtWidgets import QFormLayout, QHBoxLayout, QLineEdit, QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from studio.core.errors import StudioError
from studio.core.job import Job, JobState
from studio.state.jobs.training_monitor import TrainingMonitor
from studio.state.session import Session
from studio.ui.training.cancel_question import ask_before_cancel
from studio.ui.widgets import labels

MAX_STEPS = 1_000_000


class TrainingControls(QWidget):
    def __init__(self, session: Session, monitor: TrainingMonitor, job: str) -> None:
        super().__init__()
        self._session, self._monitor, self._job = session, monitor, job
        self.pause = QPushButton("Pause")
        self.finish = _make_button("Finish now", "End the training and keep the model as it is", self._finish)
        self.preview = _make_button("Preview now", "Make a preview after this step", self._request_preview)
        self.keep = _make_button(
            "Keep a copy", "Save the model as it is now as a model of its own", self._request_model
        )
        self.cancel = _make_button("Cancel…", "End the training without a model", self._ask_cancel)
        self.pause.clicked.connect(self._toggle_pause)
        self.steps = QLineEdit()
        self.steps.setValidator(QIntValidator(1, MAX_STEPS, self))
        labels.describe(self.steps, "Steps", "New number of steps. The learning rate's schedule follows it.")
        self.learning_rate = QLineEdit()
        validator = QDoubleValidator(1e-9, 1.0, 12, self)
        validator.setLocale(QLocale.c())
        self.learning_rate.setValidator(validator)
        labels.describe(self.learning_rate, "Learning rate", "New learning rate, such as 0.0001 or 1e-4")
        self.prompts = QPlainTextEdit()
        self.prompts.setFixedHeight(84)
        self.prompts.setTabChangesFocus(True)
        labels.describe(self.prompts, "Preview prompts", "Prompts of the next previews, one per line")
        self.apply = _make_button("Apply", "Use these values from the next step on", self._apply)
        for field in (self.steps, self.learning_rate):
            field.textEdited.connect(self._show_apply)
            field.returnPressed.connect(self._apply)
        self.prompts.textChanged.connect(self._show_apply)
        buttons = QHBoxLayout()
        for button in (self.pause, self.finish, self.keep, self.preview):
            buttons.addWidget(button)
        buttons.addStretch(1)
        buttons.addWidget(self.cancel)
        form = QFormLayout()
        form.addRow("Steps", self.steps)
        form.addRow("Learning rate", self.learning_rate)
        form.addRow("Preview prompts", self.prompts)
        form.addRow("", self.apply)
        form.setContentsMargins(0, 0, 0, 0)
        form.setRowVisible(self.prompts, False)
        self._form = form
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(12)
        column.addLayout(buttons)
        column.addLayout(form)
        monitor.previews_changed.connect(self._fill_prompts)
        monitor.measures_changed.connect(self._show_learning_rate)
        session.queue.changed.connect(self.refresh)
        self._filled = False
        self.refresh()
        self._fill_prompts()

    @property
    def job(self) -> Job | None:
        return self._session.queue.job(self._job)

    def refresh(self) -> None:
        """Show what the state of the job allows."""
        job = self.job
        is_open = job is not None and not job.state.ended
        self.setVisible(is_open)
        if job is None or not is_open:
            return
        is_running = job.state is JobState.RUNNING
        self.pause.setText("Resume" if job.state is JobState.PAUSED else "Pause")
        hint = "Go on from the checkpoint" if job.state is JobState.PAUSED else "Save a checkpoint and free the device"
        labels.describe(self.pause, self.pause.text(), hint)
        for button in (self.finish, self.keep, self.preview):
            button.setEnabled(is_running)
        self._show_apply()

    def show_total(self, total: int) -> None:
        """Show the number of steps, unless the artist is changing it."""
        if not self.steps.isModified():
            self.steps.setText(str(total))

    def _show_learning_rate(self) -> None:
        """Show the rate of the last step in the empty field."""
        rate = self._monitor.latest("learning rate")
        self.learning_rate.setPlaceholderText("" if rate is None else f"now {rate:.3g}")

    def _fill_prompts(self) -> None:
        if self._filled or not self._monitor.previews:
            return
        self._filled = True
        prompts = self._monitor.previews[-1].prompts
        if not self.prompts.toPlainText():
            self.prompts.setPlainText("\n".join(prompts))
            self.prompts.document().setModified(False)
        self._form.setRowVisible(self.prompts, bool(prompts))
        self._show_apply()

    def _show_apply(self) -> None:
        fields = (self.steps, self.learning_rate)
        is_valid = all(field.hasAcceptableInput() or not field.isModified() for field in fields)
        is_changed = any(field.isModified() for field in fields) or self.prompts.document().isModified()
        self.apply.setEnabled(is_valid and is_changed)

    def _apply(self) -> None:
        if not self.apply.isEnabled():
            return
        values: dict[str, object] = {}
        if self.steps.isModified() and self.steps.text():
            values["steps"] = int(self.steps.text())
        if self.learning_rate.isModified() and self.learning_rate.text():
            values["learning_rate"] = float(self.learning_rate.text())
        if self.prompts.document().isModified():
            values["prompts"] = [line.strip() for line in self.prompts.toPlainText().splitlines() if line.strip()]
        self._attempt(lambda: self._monitor.change(**values))
        for field in (self.steps, self.learning_rate):
            field.setModified(False)
        self.prompts.document().setModified(False)
        self._show_apply()

    def _toggle_pause(self) -> None:
        job = self.job
        if job is None:
            return
        if job.state is JobState.PAUSED:
            self._session.controls.resume(job)
        else:
            self._session.controls.pause(job)

    def _finish(self) -> None:
        self._attempt(self._monitor.finish)
        self.finish.setEnabled(False)

    def _request_preview(self) -> None:
        self._attempt(self._monitor.request_preview)

    def _request_model(self) -> None:
        self._attempt(self._monitor.request_model)

    def _ask_cancel(self) -> None:
        if job := self.job:
            ask_before_cancel(self._session, [job], self)

    def _attempt(self, act: Callable[[], None]) -> None:
        try:
            act()
        except StudioError as error:
            self._session.notices.report(error)


def _make_button(text: str, hint: str, run: Callable[[], None]) -> QPushButton:
    button = QPushButton(text)
    labels.describe(button, text.removesuffix("…"), hint)
    button.clicked.connect(lambda _=False: run())
    return button
