"""Notices below the canvas: one sentence each, with a button for its action."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QGuiApplication, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QFrame, QHBoxLayout, QPushButton, QToolButton, QVBoxLayout, QWidget

from studio.core.notices import NoticeLevel
from studio.state.notices import Notice, Notices
from studio.ui.theme import icons
from studio.ui.widgets import labels

MOST_SHOWN = 3
NARROW = 480
"""Width in pixels below which the buttons do not fit beside the sentence."""
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
        self._content = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._content.setSpacing(8)
        self._content.addWidget(sentence, 1)
        self._content.addLayout(self._make_buttons(notices))
        close = QToolButton()
        close.setProperty("role", "ghost")
        close.setIcon(icons.icon("close"))
        close.setIconSize(QSize(16, 16))
        labels.describe(close, "Dismiss", notice.text)
        close.clicked.connect(lambda: notices.dismiss(notice.id))
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 6, 6, 6)
        row.setSpacing(8)
        row.addWidget(icon)
        row.addLayout(self._content, 1)
        row.addWidget(close)
        self.setAccessibleName(notice.text)

    def _make_buttons(self, notices: Notices) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addStretch(1)
        if self.notice.action is not None:
            action = QPushButton(self.notice.action_label)
            labels.describe(action, self.notice.action_label, self.notice.text)
            action.clicked.connect(lambda: self._run_action(notices))
            row.addWidget(action)
        if self.notice.details:
            copy = QPushButton("Copy details")
            copy.setProperty("role", "ghost")
            labels.describe(copy, "Copy details", self.notice.text)
            copy.clicked.connect(self._copy)
            row.addWidget(copy)
        return row

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Place the buttons below the sentence if the row is narrow."""
        super().resizeEvent(event)
        narrow = self.width() < NARROW
        direction = QBoxLayout.Direction.TopToBottom if narrow else QBoxLayout.Direction.LeftToRight
        self._content.setDirection(direction)

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
        newest = {notice.id: notice for notice in self._notices.items[-MOST_SHOWN:]}
        for id in [id for id in self._rows if id not in newest]:
            row = self._rows.pop(id)
            self._column.removeWidget(row)
            row.hide()
            row.deleteLater()
        for id, notice in newest.items():
            if id not in self._rows:
                self._rows[id] = NoticeRow(notice, self._notices)
                self._column.addWidget(self._rows[id])
        self.setVisible(bool(newest))
