"""The queue: every job with its state, put in order, paused, cancelled, tried again."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QSize, Qt, QTimer
from PySide6.QtGui import QDropEvent, QKeyEvent
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
from studio.core.job import Job, JobState
from studio.core.messages import JobProgress
from studio.state.session import Session
from studio.ui.theme import icons
from studio.ui.widgets import labels

SIZE = QSize(440, 420)
_ID = Qt.ItemDataRole.UserRole
_STATES: dict[JobState, tuple[str, icons.Tone, str]] = {
    JobState.RUNNING: ("progress-wrench", "accent", "Running"),
    JobState.QUEUED: ("clock-outline", "dim", "Waiting"),
    JobState.PAUSED: ("pause-circle-outline", "dim", "Paused"),
    JobState.DONE: ("check-circle-outline", "dim", "Done"),
    JobState.FAILED: ("alert-circle-outline", "danger", "Failed"),
    JobState.CANCELLED: ("cancel", "dim", "Cancelled"),
    JobState.SET_ASIDE: ("alert-octagon-outline", "danger", "Set aside: it took the worker down twice"),
}
RETRY = (JobState.FAILED, JobState.CANCELLED, JobState.SET_ASIDE)


class JobRow(QWidget):
    """One job, with the buttons for what can be done with it now."""

    def __init__(self, session: Session, job: Job) -> None:
        super().__init__()
        self._session, self.job = session, job
        tool = session.workspace.catalogue.tools.get(job.recipe.tool)
        name, tone, state = _STATES[job.state]
        icon = labels.make_label()
        icon.setPixmap(icons.pixmap(name, 18, tone, self.devicePixelRatioF()))
        title = tool.title if tool else job.recipe.tool
        self._state = labels.make_label(self._sentence(state), "caption")
        if job.failure is not None:
            self._state.setToolTip(labels.make_tool_tip(job.failure.sentence))
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setRange(0, 0)
        self.bar.setVisible(job.state is JobState.RUNNING)
        labels.describe(self.bar, f"Progress of {title}")
        middle = QVBoxLayout()
        middle.setSpacing(2)
        middle.addStretch(1)
        middle.addWidget(labels.make_label(f"{title}  ·  seed {group_digits(job.recipe.seed)}"))
        middle.addWidget(self._state)
        middle.addWidget(self.bar)
        middle.addStretch(1)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 6, 8, 6)
        row.setSpacing(12)
        row.addWidget(icon)
        row.addLayout(middle, 1)
        for button in self._buttons(title, pausable=tool is not None and tool.pausable):
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

    def _sentence(self, state: str) -> str:
        failure = self.job.failure
        text = f"{state}: {failure.sentence}" if failure is not None and self.job.state is JobState.FAILED else state
        return text if len(text) <= 58 else text[:57] + "…"

    def _buttons(self, title: str, *, pausable: bool) -> list[QToolButton]:
        job, session = self.job, self._session
        engine, revocable = session.engine, session.revocable
        found = []
        if job.state is JobState.RUNNING and pausable:
            found.append(_button("pause", f"Pause {title}", lambda: engine.pause(job.id)))
        if job.state is JobState.PAUSED:
            found.append(_button("play", f"Go on with {title}", lambda: session.resume(job)))
        if job.state in RETRY:
            found.append(_button("restart", f"Try {title} again", lambda: session.resume(job)))
        if job.state.ended:
            found.append(_button("close", f"Take {title} off the list", lambda: revocable.forget([job])))
        else:
            found.append(_button("cancel", f"Cancel {title}", lambda: revocable.cancel([job])))
        return found


def _button(icon: str, name: str, act: Callable[[], object]) -> QToolButton:
    button = QToolButton()
    button.setProperty("role", "ghost")
    button.setIcon(icons.icon(icon))
    button.setIconSize(QSize(18, 18))
    labels.describe(button, name)
    button.clicked.connect(lambda _=False: act())
    return button


class JobList(QListWidget):
    """Waiting jobs are put in order by drag, or with Alt+↑ and Alt+↓."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        labels.describe(self, "Jobs", "Alt+Up and Alt+Down put waiting jobs in order, Delete cancels or removes")

    def chosen(self) -> Job | None:
        item = self.currentItem()
        return self._session.queue.job(str(item.data(_ID))) if item is not None else None

    def keyPressEvent(self, event: QKeyEvent) -> None:
        job = self.chosen()
        alt = bool(event.modifiers() & Qt.KeyboardModifier.AltModifier)
        if job is not None and alt and event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            self._shift(job, up=event.key() == Qt.Key.Key_Up)
        elif job is not None and event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            (self._session.revocable.forget if job.state.ended else self._session.revocable.cancel)([job])
        else:
            super().keyPressEvent(event)

    def dropEvent(self, event: QDropEvent) -> None:
        """The engine puts them in order; the list follows when it says so."""
        job, target = self.chosen(), self.itemAt(event.position().toPoint())
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

    def _shift(self, job: Job, *, up: bool) -> None:
        before, after, beyond = self._session.queue.neighbours(job.id)
        if up and before is not None:
            self._session.engine.move(job.id, before.id)
        elif not up and after is not None:
            self._session.engine.move(job.id, beyond.id if beyond else None)


class QueuePanel(QFrame):
    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self._session = session
        self.setProperty("role", "popup")
        self.setFixedSize(SIZE)
        self.setAccessibleName("Queue")
        self.list = JobList(session)
        self._empty = labels.make_label("Nothing waits. What you generate is listed here.", "dim")
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.pause_button = QPushButton("Hold")
        self.pause_button.setCheckable(True)
        labels.describe(self.pause_button, "Hold the queue", "What runs goes on; nothing else begins")
        self.cancel_all = QPushButton("Cancel all")
        labels.describe(self.cancel_all, "Cancel all", "Cancel what runs and what waits")
        self.clear = QPushButton("Clear finished")
        labels.describe(self.clear, "Clear finished", "Take what has ended off the list; results stay in the history")
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
        column.addWidget(self._empty, 1)
        self.pause_button.clicked.connect(session.engine.hold)
        self.cancel_all.clicked.connect(lambda: session.revocable.cancel(session.queue.jobs()))
        self.clear.clicked.connect(lambda: session.revocable.forget(session.queue.jobs()))
        self._stale = QTimer(self, singleShot=True, interval=0)
        self._stale.timeout.connect(self._fill)
        session.queue.changed.connect(self._stale.start)
        session.queue.dataChanged.connect(self._progressed)
        self._fill()

    def rows(self) -> list[JobRow]:
        found = [self.list.itemWidget(self.list.item(row)) for row in range(self.list.count())]
        return [row for row in found if isinstance(row, JobRow)]

    def _fill(self) -> None:
        """All rows anew, with the same one chosen. The engine keeps the list short."""
        chosen = self.list.chosen()
        self.list.clear()
        for job in self._session.queue.jobs():
            item = QListWidgetItem()
            item.setData(_ID, job.id)
            item.setData(Qt.ItemDataRole.AccessibleTextRole, f"{job.recipe.tool}, {job.state.value}")
            row = JobRow(self._session, job)
            item.setSizeHint(QSize(10, max(52, row.sizeHint().height())))
            self.list.addItem(item)
            self.list.setItemWidget(item, row)
            if chosen is not None and job.id == chosen.id:
                self.list.setCurrentItem(item)
        jobs = self._session.queue.jobs()
        self.list.setVisible(bool(jobs))
        self._empty.setVisible(not jobs)
        self.pause_button.setChecked(self._session.engine.held)
        self.cancel_all.setEnabled(any(not job.state.ended for job in jobs))
        self.clear.setEnabled(any(job.state.ended for job in jobs))

    def _progressed(self, first: QModelIndex | QPersistentModelIndex, last: QModelIndex, roles: list[int]) -> None:
        del first, last, roles
        for row in self.rows():
            if progress := self._session.queue.progress(row.job.id):
                row.show_progress(progress)
