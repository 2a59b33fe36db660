"""The question which settings of a file from outside to put into the form."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QGridLayout,
    QHBoxLayout,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from studio.engine.foreign_values import FittedField
from studio.state.library.settings_reader import SettingsOffer, describe_problem
from studio.ui.theme import theme
from studio.ui.widgets import labels

SIZE = QSize(620, 560)
TICK_OFFSET = 2
"""Pixels by which the title of a tick is below its top."""
MAX_TEXT = 600
"""Number of characters of a value that are shown; the tool tip has more."""
MAX_TOOL_TIP = 4_000
MAX_SHOWN_ONLY = 200
"""Number of settings without a use here that are listed."""


class SettingsOfferDialog(QDialog):
    """Lists the settings with a tick for each that can be used. Enter uses the ticked ones, Esc does nothing."""

    used = Signal(list)
    """Emitted with the names of the ticked settings."""
    import_chosen = Signal()

    def __init__(self, offer: SettingsOffer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._offer = offer
        self.ticks: dict[str, QCheckBox] = {}
        self.setWindowTitle("Use settings")
        self.resize(SIZE)
        self.all = QCheckBox("All")
        labels.describe(self.all, "All settings", "Tick or clear every setting")
        self.use = QPushButton("Use")
        self.import_button = QPushButton("Only import the image")
        self.cancel = QPushButton("Cancel")
        self._describe_buttons()
        self._lay_out()
        self.all.clicked.connect(lambda _=False: self._tick_all())
        self.use.clicked.connect(self._use)
        self.import_button.clicked.connect(self._import_only)
        self.cancel.clicked.connect(self.reject)
        self._update()
        self.use.setFocus()

    def _describe_buttons(self) -> None:
        offer = self._offer
        self.use.setProperty("role", "primary")
        self.use.setDefault(True)
        more = " and import the file" if offer.imports_when_used else ""
        labels.describe(self.use, "Use", f"Put the ticked settings into the form of {offer.tool.title}{more}")
        labels.describe(self.import_button, "Only import the image", "Leave the form as it is")
        self.import_button.setVisible(offer.can_import)
        labels.describe(self.cancel, "Cancel")
        for button in (self.import_button, self.cancel):
            button.setAutoDefault(False)

    def _lay_out(self) -> None:
        offer = self._offer
        foot = QHBoxLayout()
        foot.setSpacing(2 * theme.SPACE)
        foot.addWidget(self.cancel)
        foot.addStretch(1)
        foot.addWidget(self.import_button)
        foot.addWidget(self.use)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(self._make_list())
        labels.describe(scroll, "Settings")
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 20, 24, 20)
        column.setSpacing(12)
        column.addWidget(labels.make_label(offer.title, "title", wrap=True))
        column.addWidget(labels.make_label(f"{offer.file_name}, for {offer.tool.title}", "dim", wrap=True))
        column.addWidget(self.all)
        column.addWidget(scroll, 1)
        column.addLayout(foot)

    def _make_list(self) -> QWidget:
        inside = QWidget()
        grid = QGridLayout(inside)
        grid.setContentsMargins(0, 0, 8, 0)
        grid.setHorizontalSpacing(16)
        grid.setVerticalSpacing(8)
        grid.setColumnStretch(1, 1)
        usable = [setting for setting in self._offer.settings if setting.is_usable]
        others = [setting for setting in self._offer.settings if not setting.is_usable]
        for setting in usable:
            self._add_row(grid, setting, self._make_tick(setting))
        if others:
            row = grid.rowCount()
            grid.addWidget(labels.make_line(), row, 0, 1, 2)
            grid.addWidget(labels.make_label("Not used", "heading"), row + 1, 0, 1, 2)
        for setting in others[:MAX_SHOWN_ONLY]:
            self._add_row(grid, setting, labels.make_label(_shorten(setting.field.title, 60), "dim"))
        grid.setRowStretch(grid.rowCount(), 1)
        return inside

    def _make_tick(self, setting: FittedField) -> QCheckBox:
        tick = self.ticks[setting.field.name] = QCheckBox(setting.field.title)
        tick.setChecked(setting.field.name not in self._offer.choices[1:])
        labels.describe(tick, f"Use {setting.field.title}", _shorten(setting.field.text, MAX_TOOL_TIP))
        tick.toggled.connect(lambda on: self._on_toggled(setting.field.name, on))
        return tick

    def _on_toggled(self, name: str, on: bool) -> None:
        """Clear the other ticks of a choice."""
        choices = self._offer.choices
        if on and name in choices:
            for other in choices:
                self.ticks[other].setChecked(other == name)
        self._update()

    def _add_row(self, grid: QGridLayout, setting: FittedField, name: QWidget) -> None:
        row, top = grid.rowCount(), Qt.AlignmentFlag.AlignTop
        text = labels.make_label(_shorten(setting.field.text, MAX_TEXT), "" if setting.is_usable else "dim", wrap=True)
        text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        text.setToolTip(labels.make_tool_tip(_shorten(setting.field.text, MAX_TOOL_TIP)))
        text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.MinimumExpanding)
        if setting.is_usable:
            text.setContentsMargins(0, TICK_OFFSET, 0, 0)
        grid.addWidget(name, row, 0, top)
        grid.addWidget(text, row, 1, top)
        if problem := describe_problem(setting):
            grid.addWidget(labels.make_label(problem, "error", wrap=True), row + 1, 1, top)

    def _tick_all(self) -> None:
        """Tick everything that can be used together, or nothing if that is ticked."""
        on = not self._has_all()
        chosen = [name for name in self._offer.choices if self.ticks[name].isChecked()] or self._offer.choices[:1]
        for name, tick in self.ticks.items():
            tick.setChecked(on and (name not in self._offer.choices or name in chosen))
        self._update()

    def _has_all(self) -> bool:
        choices = self._offer.choices
        others = [tick for name, tick in self.ticks.items() if name not in choices]
        has_choice = not choices or any(self.ticks[name].isChecked() for name in choices)
        return has_choice and all(tick.isChecked() for tick in others)

    def _update(self) -> None:
        ticked = any(tick.isChecked() for tick in self.ticks.values())
        some = Qt.CheckState.PartiallyChecked if ticked else Qt.CheckState.Unchecked
        self.all.setCheckState(Qt.CheckState.Checked if self._has_all() else some)
        self.use.setEnabled(ticked)

    def _use(self) -> None:
        self.used.emit([name for name, tick in self.ticks.items() if tick.isChecked()])
        self.accept()

    def _import_only(self) -> None:
        self.import_chosen.emit()
        self.accept()


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
