"""The queue popup: reorder, pause, resume, cancel and retry jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QDropEvent, QKeyEvent, QShowEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from studio.core.humanize import format_seconds, group_digits
from studio.core.job import Job, JobState, Lane
from studio.core.messages import JobProgress
from studio.state.session import Session
from studio.ui.theme import icons
from studio.ui.widgets import labels

SIZE = QSize(440, 420)
FILL_MILLISECONDS = 50
"""Milliseconds between changes of the queue and the list that shows them."""
MAX_ROWS = 25
"""Waiting jobs that have a row, and ended ones: the others are counted below the list."""
_ID = Qt.ItemDataRole.UserRole
_STATES: dict[JobState, tuple[str, icons.Tone, str]] = {
    JobState.RUNNING: ("progress-wrench", "accent", "Running"),
    JobState.QUEUED: ("clock-outline", "dim", "Waiting"),
    JobState.PAUSED: ("pause-circle-outline", "dim", "Paused"),
    JobState.DONE: ("check-circle-outline", "dim", "Done"),
    JobState.FAILED: ("alert-circle-outline", "danger", "Failed"),
    JobState.CANCELLED: ("cancel", "dim", "Cancelled"),
    JobState.SET_ASIDE: ("alert-octagon-outline", "danger", "Set aside: it crashed the worker twice"),
}
RETRY = (JobState.FAILED, JobState.CANCELLED, JobState.SET_ASIDE)


class JobRow(QWidget):
    """A job with its state, and buttons for the actions that the state allows."""

    training_requested = Signal(Job)

    def __init__(self, session: Session, job: Job) -> None:
        super().__init__()
        self._session, self.job = session, job
        tool = session.workspace.catalogue.tools.get(job.recipe.tool)
        name, tone, state = _STATES[job.state]
        icon = labels.make_label()
        icon.setPixmap(icons.pixmap(name, 18, tone, self.devicePixelRatioF()))
        title = tool.title if tool else job.recipe.tool
        self._state = labels.make_label(self._describe_state(state), "caption")
        if job.failure is not None:
            self._state.setToolTip(labels.make_tool_tip(job.failure.sentence))
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setRange(0, 0)
        self.bar.setVisible(job.state is JobState.RUNNING)
        labels.describe(self.bar, f"Progress of {title}")
        texts = QVBoxLayout()
        texts.setSpacing(2)
        texts.addStretch(1)
        texts.addWidget(labels.make_label(f"{title}  ·  seed {group_digits(job.recipe.seed)}"))
        texts.addWidget(self._state)
        texts.addWidget(self.bar)
        texts.addStretch(1)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 6, 8, 6)
        row.setSpacing(12)
        row.addWidget(icon)
        row.addLayout(texts, 1)
        for button in self._buttons(title):
            row.addWidget(button)
        if progress := session.queue.progress(job.id):
            self.show_progress(progress)

    def show_progress(self, progress: JobProgress) -> None:
        parts = ["Running"]
        if progress.total > 0:
            self.bar.setRange(0, 1000)
            self.bar.setValue(round(1000 * min(1.0, progress.step / progress.total)))
            parts.append(f"{progress.step / progress.total:.0%}".replace("%", " %"))
        if progress.seconds_left >= 0:
            parts.append(f"{format_seconds(progress.seconds_left)} left")
        self._state.setText(" · ".join(parts))

    def _describe_state(self, state: str) -> str:
        failure = self.job.failure if self.job.state in (JobState.FAILED, JobState.PAUSED) else None
        text = f"{state}: {failure.sentence}" if failure else state
        return text if len(text) <= 58 else text[:57] + "…"

    def _buttons(self, title: str) -> list[QToolButton]:
        job, session = self.job, self._session
        controls, undoable = session.controls, session.undoable
        buttons = []
        if job.lane is Lane.TRAINING:
            buttons.append(_make_button("chart-line", f"Show {title}", lambda: self.training_requested.emit(job)))
        if job.state is JobState.RUNNING and controls.can_pause(job):
            buttons.append(_make_button("pause", f"Pause {title}", lambda: controls.pause(job)))
        if job.state is JobState.PAUSED:
            buttons.append(_make_button("play", f"Resume {title}", lambda: controls.resume(job)))
        if job.state in RETRY:
            hint = " from its checkpoint" if job.lane is Lane.TRAINING else ""
            buttons.append(_make_button("restart", f"Retry {title}{hint}", lambda: controls.resume(job)))
        if job.state.ended:
            buttons.append(_make_button("close", f"Remove {title} from the list", lambda: undoable.forget([job])))
        else:
            buttons.append(_make_button("cancel", f"Cancel {title}", lambda: session.cancel([job])))
        return buttons


def _make_button(icon: str, name: str, run: Callable[[], object]) -> QToolButton:
    button = QToolButton()
    button.setProperty("role", "ghost")
    button.setIcon(icons.icon(icon))
    button.setIconSize(QSize(18, 18))
    labels.describe(button, name)
    button.clicked.connect(lambda _=False: run())
    return button


class JobList(QListWidget):
    """A list of jobs. Waiting jobs are reordered by dragging, or with Alt+↑ and Alt+↓."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        labels.describe(self, "Jobs", "Alt+Up and Alt+Down reorder waiting jobs. Delete cancels or removes a job.")

    def current_job(self) -> Job | None:
        item = self.currentItem()
        return self._session.queue.job(str(item.data(_ID))) if item is not None else None

    def keyPressEvent(self, event: QKeyEvent) -> None:
        job = self.current_job()
        alt = bool(event.modifiers() & Qt.KeyboardModifier.AltModifier)
        if job is not None and alt and event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            self._move(job, up=event.key() == Qt.Key.Key_Up)
        elif job is not None and event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            (self._session.undoable.forget if job.state.ended else self._session.cancel)([job])
        else:
            super().keyPressEvent(event)

    def dropEvent(self, event: QDropEvent) -> None:
        """Ask the engine to move the job. The list is filled again when the queue has changed."""
        job, target = self.current_job(), self.itemAt(event.position().toPoint())
        event.setDropAction(Qt.DropAction.IgnoreAction)
        event.accept()
        if job is None or job.state is not JobState.QUEUED:
            return
        over = self._session.queue.job(str(target.data(_ID))) if target is not None else None
        if target is None or over is None or over.state.ended:
            self._session.engine.move(job.id, None)
        elif over.state is JobState.QUEUED and over.id != job.id:
            below = event.position().y() > self.visualItemRect(target).center().y()
            following = self._session.queue.neighbours(over.id)[1] if below else over
            if following is None or following.id != job.id:
                self._session.engine.move(job.id, following.id if following else None)

    def _move(self, job: Job, *, up: bool) -> None:
        before, after, beyond = self._session.queue.neighbours(job.id)
        if up and before is not None:
            self._session.engine.move(job.id, before.id)
        elif not up and after is not None:
            self._session.engine.move(job.id, beyond.id if beyond else None)


def _choose_rows(jobs: Sequence[Job]) -> tuple[list[Job], int, int]:
    """Return the jobs that get a row, and how many others wait and have ended. All running jobs are among them."""
    live = [job for job in jobs if not job.state.ended]
    ended = [job for job in jobs if job.state.ended]
    running = sum(job.state is JobState.RUNNING for job in live)
    shown = live[: running + MAX_ROWS]
    rest = ended[:MAX_ROWS]
    return shown + rest, len(live) - len(shown), len(ended) - len(rest)


class QueuePanel(QFrame):
    training_requested = Signal(Job)
    """Emitted with a training whose window is wanted."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self._session = session
        self._shown: list[Job] = []
        self.setProperty("role", "popup")
        self.setFixedSize(SIZE)
        self.setAccessibleName("Queue")
        self.list = JobList(session)
        self._empty = labels.make_label("No jobs. Jobs that you start appear here.", "dim")
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._rest = labels.make_label("", "dim")
        self._rest.setContentsMargins(16, 4, 16, 4)
        self.pause_button = QPushButton()
        self.cancel_all = QPushButton("Cancel all")
        labels.describe(self.cancel_all, "Cancel all", "Cancel running and waiting jobs")
        self.clear = QPushButton("Clear finished")
        labels.describe(
            self.clear, "Clear finished", "Remove finished jobs from the list. Results stay in the history."
        )
        head = QHBoxLayout()
        head.setContentsMargins(16, 12, 12, 8)
        head.setSpacing(8)
        head.addWidget(labels.make_label("Queue", "heading"))
        head.addStretch(1)
        for button in (self.pause_button, self.cancel_all, self.clear):
            head.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(1, 1, 1, 8)
        column.setSpacing(0)
        column.addLayout(head)
        column.addWidget(labels.make_line())
        column.addWidget(self.list, 1)
        column.addWidget(self._rest)
        column.addWidget(self._empty, 1)
        self.pause_button.clicked.connect(self._toggle_pause)
        self.cancel_all.clicked.connect(lambda: session.cancel(session.queue.jobs()))
        self.clear.clicked.connect(lambda: session.undoable.forget(session.queue.jobs()))
        self._refresh_timer = QTimer(self, singleShot=True, interval=FILL_MILLISECONDS)
        self._refresh_timer.timeout.connect(self._fill)
        session.queue.changed.connect(self._request_fill)
        session.queue.dataChanged.connect(self._show_progress)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._fill()

    def _toggle_pause(self) -> None:
        self._session.controls.set_queue_paused(not self._session.controls.queue_paused)
        self._show_pause()

    def _show_training(self, job: Job) -> None:
        self.hide()
        self.training_requested.emit(job)

    def _show_pause(self) -> None:
        is_paused = self._session.controls.queue_paused
        title = "Resume queue" if is_paused else "Pause queue"
        hint = "Start waiting jobs again" if is_paused else "Running jobs continue, waiting jobs do not start"
        self.pause_button.setText(title)
        labels.describe(self.pause_button, title, hint)

    def rows(self) -> list[JobRow]:
        widgets = [self.list.itemWidget(self.list.item(row)) for row in range(self.list.count())]
        return [widget for widget in widgets if isinstance(widget, JobRow)]

    def _request_fill(self) -> None:
        if self.isVisible() and not self._refresh_timer.isActive():
            self._refresh_timer.start()

    def _fill(self) -> None:
        """Fill the list and keep the current job. It has the first jobs of each kind, since a row is a widget."""
        if not self.isVisible():
            return
        jobs = self._session.queue.jobs()
        shown, waiting, ended = _choose_rows(jobs)
        if shown != self._shown:
            self._fill_list(shown)
        parts = [f"{group_digits(waiting)} more wait"] if waiting else []
        parts += [f"{group_digits(ended)} more ended"] if ended else []
        self._rest.setText(", ".join(parts))
        self._rest.setVisible(bool(parts))
        self.list.setVisible(bool(jobs))
        self._empty.setVisible(not jobs)
        self._show_pause()
        self.cancel_all.setEnabled(any(not job.state.ended for job in jobs))
        self.clear.setEnabled(any(job.state.ended for job in jobs))

    def _fill_list(self, jobs: list[Job]) -> None:
        current = self.list.current_job()
        self._shown = jobs
        self.list.clear()
        for job in jobs:
            item = QListWidgetItem()
            item.setData(_ID, job.id)
            item.setData(Qt.ItemDataRole.AccessibleTextRole, f"{job.recipe.tool}, {job.state.value}")
            row = JobRow(self._session, job)
            row.training_requested.connect(self._show_training)
            item.setSizeHint(QSize(10, max(52, row.sizeHint().height())))
            self.list.addItem(item)
            self.list.setItemWidget(item, row)
            if current is not None and job.id == current.id:
                self.list.setCurrentItem(item)

    def _show_progress(self, first: QModelIndex | QPersistentModelIndex, last: QModelIndex, roles: list[int]) -> None:
        del first, last, roles
        for row in self.rows():
            if progress := self._session.queue.progress(row.job.id):
                row.show_progress(progress)
