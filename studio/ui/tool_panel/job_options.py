"""The options above Generate: seed, count and file format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QMenu, QPushButton, QVBoxLayout, QWidget

from studio.core.humanize import group_digits
from studio.core.recipe import SEEDS
from studio.core.settings import Settings
from studio.state.form.workspace import Workspace
from studio.ui.form.choice_field import Switch
from studio.ui.form.number_field import NumberSpinBox
from studio.ui.theme import icons
from studio.ui.widgets import labels
from studio.ui.widgets.flow_layout import FlowLayout

T = TypeVar("T")

COUNTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
FORMATS = {
    "image": (("png", "PNG"), ("webp", "WebP"), ("jpg", "JPEG"), ("avif", "AVIF")),
    "animation": (("mp4", "MP4"), ("webp", "WebP"), ("gif", "GIF"), ("apng", "APNG")),
}


class SeedPopup(QFrame):
    def __init__(self, workspace: Workspace, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setProperty("role", "popup")
        self._workspace = workspace
        self._fixed = Switch()
        labels.describe(self._fixed, "Fixed seed", "Use this seed for every job")
        self._number = NumberSpinBox(0)
        self._number.setRange(0, SEEDS - 1)
        labels.describe(self._number, "Seed")
        new_seed = QPushButton("New seed")
        new_seed.setIcon(icons.icon("dice-5-outline"))
        labels.describe(new_seed, "New seed", "Choose a random seed")
        row = QHBoxLayout()
        row.addWidget(labels.make_label("Fixed seed"))
        row.addStretch(1)
        row.addWidget(self._fixed)
        numbers = QHBoxLayout()
        numbers.addWidget(self._number, 1)
        numbers.addWidget(new_seed)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 12, 16, 16)
        column.setSpacing(12)
        column.addLayout(row)
        column.addLayout(numbers)
        column.addWidget(labels.make_label("The same seed and settings give the same result.", "caption"))
        self._show()
        workspace.seed_changed.connect(self._show)
        self._fixed.clicked.connect(lambda on: workspace.set_seed(workspace.seed, fixed=on))
        self._number.valueChanged.connect(lambda seed: workspace.set_seed(int(seed), fixed=True))
        new_seed.clicked.connect(self._draw_seed)

    def _show(self) -> None:
        self._fixed.setChecked(self._workspace.seed_fixed)
        self._number.blockSignals(True)
        self._number.setValue(self._workspace.seed)
        self._number.blockSignals(False)

    def _draw_seed(self) -> None:
        import secrets

        self._workspace.set_seed(secrets.randbelow(SEEDS), fixed=True)


class OptionChip(QPushButton):
    """A button with a value, which opens a menu or popup above itself."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "chip")


class JobOptions(QWidget):
    def __init__(self, workspace: Workspace, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._workspace, self._settings = workspace, settings
        self.seed, self.count, self.format = OptionChip(), OptionChip(), OptionChip()
        row = FlowLayout(self)
        for chip in (self.seed, self.count, self.format):
            row.addWidget(chip)
        self._seed_popup: SeedPopup | None = None
        self.seed.clicked.connect(self._open_seed)
        self.count.clicked.connect(self._open_counts)
        self.format.clicked.connect(self._open_formats)
        workspace.seed_changed.connect(self._show_seed)
        workspace.options_changed.connect(self._show_options)
        workspace.tool_changed.connect(self._show_options)
        self._show_seed()
        self._show_options()

    def set_settings(self, settings: Settings) -> None:
        """Use the file formats of the settings for tools without a chosen format."""
        self._settings = settings
        self._show_options()

    def _show_seed(self) -> None:
        workspace = self._workspace
        seed, fixed = group_digits(workspace.seed), workspace.seed_fixed
        self.seed.setText(f"Seed {seed}" if fixed else "Random seed")
        hint = "Every job uses this seed" if fixed else f"Every job gets a new seed. Last seed: {seed}"
        labels.describe(self.seed, self.seed.text(), hint)

    def _show_options(self) -> None:
        tool, count = self._workspace.tool, self._workspace.count
        self.count.setVisible(tool is None or tool.output != "model")
        self.count.setText(f"Count {count}")
        labels.describe(self.count, f"Count {count}", "Number of results, each with the next seed")
        self.format.setVisible(bool(self._formats))
        chosen = dict(self._formats).get(self._format, "")
        self.format.setText(chosen)
        labels.describe(self.format, f"File format {chosen}", "File format of the results")

    @property
    def _formats(self) -> tuple[tuple[str, str], ...]:
        tool = self._workspace.tool
        return FORMATS.get(tool.output, ()) if tool else ()

    @property
    def _format(self) -> str:
        tool = self._workspace.tool
        animated = tool is not None and tool.output == "animation"
        return self._workspace.format or (self._settings.animation_format if animated else self._settings.image_format)

    def _open_seed(self) -> None:
        self._seed_popup = self._seed_popup or SeedPopup(self._workspace, self)
        self._seed_popup.adjustSize()
        self._seed_popup.move(self.seed.mapToGlobal(QPoint(0, -self._seed_popup.height() - 4)))
        self._seed_popup.show()

    def _open_counts(self) -> None:
        choices = [(count, str(count)) for count in COUNTS]
        self._open_menu(self.count, choices, self._workspace.count, self._workspace.set_count)

    def _open_formats(self) -> None:
        self._open_menu(self.format, self._formats, self._format, self._workspace.set_format)

    def _open_menu(
        self, chip: OptionChip, choices: Sequence[tuple[T, str]], current: T, choose: Callable[[T], None]
    ) -> None:
        menu = QMenu(chip)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for choice, text in choices:
            action = menu.addAction(text, partial(choose, choice))
            action.setCheckable(True)
            action.setChecked(choice == current)
        menu.popup(chip.mapToGlobal(QPoint(0, -menu.sizeHint().height() - 4)))
