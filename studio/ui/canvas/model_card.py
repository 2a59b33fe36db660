"""The card of a trained model: its title, kind, size and README, as plain text."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct
from PySide6.QtCore import QLocale, Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPlainTextEdit, QVBoxLayout, QWidget

from studio.core import edited_json
from studio.core.errors import BadInput
from studio.core.untrusted_files import open_file, read_or_else
from studio.library.storage import model_names
from studio.ui.theme import icons, theme
from studio.ui.widgets.labels import make_label, make_line

MAX_README_BYTES = 2**20
"""Number of bytes of a README that are shown."""
WIDTH = 640


class Card(Struct, frozen=True):
    title: str
    kind: str
    details: str
    readme: str


class ModelCard(QWidget):
    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title, self.details = make_label(role="title", wrap=True), make_label(role="dim", wrap=True)
        self._picture = QLabel()
        self.readme = QPlainTextEdit()
        self.readme.setReadOnly(True)
        self.readme.setAcceptDrops(False)
        self.readme.setAccessibleName("Model card")
        self.readme.setFrameShape(QPlainTextEdit.Shape.NoFrame)

        names = QVBoxLayout()
        names.setSpacing(theme.SPACE)
        names.addWidget(self.title)
        names.addWidget(self.details)
        head = QHBoxLayout()
        head.setSpacing(3 * theme.SPACE)
        head.addWidget(self._picture, alignment=Qt.AlignmentFlag.AlignTop)
        head.addLayout(names, 1)
        column = QWidget()
        column.setMaximumWidth(WIDTH)
        inside = QVBoxLayout(column)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(4 * theme.SPACE)
        inside.addLayout(head)
        inside.addWidget(make_line())
        inside.addWidget(self.readme, 1)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(32, 72, 32, 32)
        layout.addStretch(1)
        layout.addWidget(column, 100)
        layout.addStretch(1)

    def show_card(self, card: Card) -> None:
        self.readme.setStyleSheet(f"QPlainTextEdit {{ background: {theme.COLOURS.canvas}; border: none; padding: 0; }}")
        self._picture.setPixmap(icons.pixmap("cube-outline", 32, ratio=self.devicePixelRatioF()))
        self.title.setText(card.title)
        self.details.setText(card.details)
        self.readme.setPlainText(card.readme or "This model has no card.")


def read_card(path: Path) -> Card:
    """Read the card of a model's folder, or of the folder of a weights file. Raises BadInput if it is missing."""
    if not path.exists():
        raise BadInput(f"The model {path.name} is missing.", "It may have been moved or deleted.")
    folder = path if path.is_dir() else path.parent
    about = edited_json.read(folder / "studio.json").members
    files = [file for file in (folder.rglob("*") if path.is_dir() else [path]) if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    kind = str(about.get("kind") or "model")
    details = [
        kind.replace("-", " ").capitalize(),
        QLocale.c().formattedDataSize(size, 1, QLocale.DataSizeFormat.DataSizeSIFormat),
    ]
    if len(files) > 1:
        details.append(f"{len(files)} files")
    if licence := about.get("licence"):
        details.append(str(licence))
    return Card(model_names.read_name(path), kind, "  ·  ".join(details), _read_readme(folder))


def _read_readme(folder: Path) -> str:
    return read_or_else("", _read_beginning, folder / "README.md").strip()


def _read_beginning(path: Path) -> str:
    with open_file(path) as file:
        return file.read(MAX_README_BYTES).decode("utf-8", errors="replace")
