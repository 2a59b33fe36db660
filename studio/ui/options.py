"""The chips above Generate: seed, count and file format."""

from __future__ import annotations

from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from studio.core.settings import Settings
from studio.state.workspace import SEEDS, Workspace
from studio.ui import icons, words
from studio.ui.flow import FlowLayout
from studio.ui.form.choices import Combo, Switch
from studio.ui.form.numbers import Number

MOST = 64
FORMATS = {
    "image": (("png", "PNG"), ("webp", "WebP"), ("jpg", "JPEG"), ("avif", "AVIF")),
    "animation": (("mp4", "MP4"), ("webp", "WebP"), ("gif", "GIF")),
}


def grouped(number: int) -> str:
    """As in "41 882", with thin spaces."""
    return f"{number:,}".replace(",", "\u202f")


class SeedPopup(QFrame):
    def __init__(self, workspace: Workspace, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setProperty("role", "popup")
        self._workspace = workspace
        self._fixed = Switch()
        words.name(self._fixed, "Keep this seed", "The same seed and settings give the same result")
        self._number = Number(0)
        self._number.setRange(0, SEEDS - 1)
        words.name(self._number, "Seed")
        again = QPushButton("New")
        again.setIcon(icons.icon("dice-5-outline"))
        words.name(again, "New seed")
        row = QHBoxLayout()
        row.addWidget(words.label("Keep this seed"))
        row.addStretch(1)
        row.addWidget(self._fixed)
        numbers = QHBoxLayout()
        numbers.addWidget(self._number, 1)
        numbers.addWidget(again)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 12, 16, 16)
        column.setSpacing(12)
        column.addLayout(row)
        column.addLayout(numbers)
        column.addWidget(words.label("The same seed and settings give the same result.", "caption"))
        self._show()
        workspace.seed_changed.connect(self._show)
        self._fixed.clicked.connect(lambda on: workspace.set_seed(workspace.seed, fixed=on))
        self._number.valueChanged.connect(lambda seed: workspace.set_seed(int(seed), fixed=True))
        again.clicked.connect(self._renew)

    def _show(self) -> None:
        self._fixed.setChecked(self._workspace.seed_fixed)
        self._number.blockSignals(True)
        self._number.setValue(self._workspace.seed)
        self._number.blockSignals(False)

    def _renew(self) -> None:
        import secrets

        self._workspace.set_seed(secrets.randbelow(SEEDS), fixed=True)


class Options(QWidget):
    def __init__(self, workspace: Workspace, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._workspace, self._settings = workspace, settings
        self.seed = QPushButton()
        self.count = Number(0)
        self.count.setRange(1, MOST)
        self.count.setPrefix("Count ")
        words.name(self.count, "Count", "How many results, each with the next seed")
        self.format = Combo()
        words.name(self.format, "File format")
        row = FlowLayout(self)
        for chip in (self.seed, self.count, self.format):
            row.addWidget(chip)
        self._popup: SeedPopup | None = None
        self.seed.clicked.connect(self._open_seed)
        self.count.valueChanged.connect(lambda count: workspace.set_count(int(count)))
        self.format.activated.connect(lambda row: workspace.set_format(self.format.itemData(row)))
        workspace.seed_changed.connect(self._show_seed)
        workspace.options_changed.connect(self._show_options)
        workspace.tool_changed.connect(self._show_tool)
        self._show_seed()
        self._show_tool()

    def _show_seed(self) -> None:
        workspace = self._workspace
        self.seed.setText(f"Seed {grouped(workspace.seed)}" if workspace.seed_fixed else "New seed")
        hint = "The seed stays the same" if workspace.seed_fixed else f"New each time; last: {grouped(workspace.seed)}"
        words.name(self.seed, self.seed.text(), hint)
        self.seed.setIcon(icons.icon("lock-outline" if workspace.seed_fixed else "dice-5-outline"))

    def _show_tool(self) -> None:
        tool = self._workspace.tool
        output = tool.output if tool else "image"
        self.format.clear()
        for extension, title in FORMATS.get(output, ()):
            self.format.addItem(title, extension)
        self.format.setVisible(output in FORMATS)
        self.count.setVisible(output != "model")
        self._show_options()

    def _show_options(self) -> None:
        self.count.blockSignals(True)
        self.count.setValue(self._workspace.count)
        self.count.blockSignals(False)
        tool = self._workspace.tool
        animated = tool is not None and tool.output == "animation"
        default = self._settings.animation_format if animated else self._settings.image_format
        row = self.format.findData(self._workspace.format or default)
        self.format.setCurrentIndex(max(0, row))

    def _open_seed(self) -> None:
        self._popup = self._popup or SeedPopup(self._workspace, self)
        self._popup.adjustSize()
        self._popup.move(self.seed.mapToGlobal(QPoint(0, -self._popup.height() - 4)))
        self._popup.show()
