"""Notices below the canvas: one sentence each, with a button for its action."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QToolButton, QVBoxLayout, QWidget

from studio.core.notices import NoticeLevel
from studio.state.notices import Notice, Notices
from studio.ui.theme import icons
from studio.ui.widgets import labels

MOST_SHOWN = 3
_ICONS: dict[NoticeLevel, tuple[str, icons.Tone]] = {
    NoticeLevel.INFO: ("information-outline", "dim"),
    NoticeLevel.WARNING: ("alert-outline", "accent"),
    NoticeLevel.ERROR: ("alert-circle-outline", "danger"),
}


class NoticeRow(QFrame):
    def __init__(self, notice: Notice, notices: Notices) -> None:
        super().__init__()
        self.notice = notice
        self.setProperty("role", "notice")
        self.setProperty("level", notice.level.value)
        icon = labels.make_label()
        name, tone = _ICONS[notice.level]
        icon.setPixmap(icons.pixmap(name, 18, tone, self.devicePixelRatioF()))
        sentence = labels.make_label(notice.text, wrap=True)
        sentence.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 6, 6, 6)
        row.setSpacing(8)
        row.addWidget(icon)
        row.addWidget(sentence, 1)
        if notice.action is not None:
            action = QPushButton(notice.action_label)
            labels.describe(action, notice.action_label, notice.text)
            action.clicked.connect(lambda: self._run_action(notices))
            row.addWidget(action)
        if notice.details:
            copy = QPushButton("Copy details")
            copy.setProperty("role", "ghost")
            labels.describe(copy, "Copy details", notice.text)
            copy.clicked.connect(self._copy)
            row.addWidget(copy)
        close = QToolButton()
        close.setProperty("role", "ghost")
        close.setIcon(icons.icon("close"))
        close.setIconSize(QSize(16, 16))
        labels.describe(close, "Dismiss", notice.text)
        close.clicked.connect(lambda: notices.dismiss(notice.id))
        row.addWidget(close)
        self.setAccessibleName(notice.text)

    def _run_action(self, notices: Notices) -> None:
        if self.notice.action is not None:
            self.notice.action()
        notices.dismiss(self.notice.id)

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(f"{self.notice.text}\n\n{self.notice.details}")


class NoticeBar(QWidget):
    """Show the newest notices. Older ones appear when these are dismissed."""

    def __init__(self, notices: Notices, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "canvas")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._notices = notices
        self._rows: dict[int, NoticeRow] = {}
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(16, 0, 16, 12)
        self._column.setSpacing(8)
        notices.changed.connect(self._show)
        self._show()

    def rows(self) -> list[NoticeRow]:
        return list(self._rows.values())

    def _show(self) -> None:
        wanted = {notice.id: notice for notice in self._notices.items[-MOST_SHOWN:]}
        for id in [id for id in self._rows if id not in wanted]:
            row = self._rows.pop(id)
            self._column.removeWidget(row)
            row.hide()
            row.deleteLater()
        for id, notice in wanted.items():
            if id not in self._rows:
                self._rows[id] = NoticeRow(notice, self._notices)
                self._column.addWidget(self._rows[id])
        self.setVisible(bool(wanted))
