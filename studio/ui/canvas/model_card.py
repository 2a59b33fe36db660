"""The card of a model: what it is, what it makes, how it was trained and how it is used."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct
from PySide6.QtCore import QLocale, Qt, Signal, SignalInstance
from PySide6.QtGui import QImage, QImageReader
from PySide6.QtWidgets import QHBoxLayout, QLabel, QMenu, QPushButton, QVBoxLayout, QWidget

from studio.core import edited_json, training_record
from studio.core.errors import BadInput
from studio.core.humanize import describe_model_kind, group_digits
from studio.core.licences import describe_licence
from studio.core.untrusted_files import open_file, read_or_else
from studio.library.creation import Creation, find_tile_image
from studio.library.storage import model_names
from studio.state.library.model_uses import ModelUse
from studio.ui.canvas.markdown_view import MarkdownView
from studio.ui.theme import icons, theme
from studio.ui.widgets.labels import describe, make_label, make_line

MAX_README_BYTES = 2**20
"""Number of bytes of a README that are shown."""
MAX_IMAGE_SIDE = 4096
"""Longer side in pixels of the largest image that is shown."""
MIN_IMAGE_WIDTH = 256
"""Width in pixels to which a smaller image is enlarged."""
WIDTH = 640
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n.*?\n---[ \t]*(?:\n|\Z)", re.DOTALL)


class Card(Struct, frozen=True):
    """`readme` is Markdown without the title. `sample` is an image that the model made, with a caption."""

    title: str
    kind: str
    details: str
    readme: str
    licences: str = ""
    sample: QImage | None = None
    caption: str = ""


class ModelCard(QWidget):
    use_chosen = Signal(object, object)
    """The shown model and a `ModelUse`."""
    train_further_requested = Signal(Creation)
    training_requested = Signal(Creation)
    rename_requested = Signal(Creation)
    export_requested = Signal(Creation)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.list_uses: Callable[[str], list[ModelUse]] = lambda _: []
        self.write_command: Callable[[Creation, ModelUse], str] = lambda *_: ""
        self.can_train_further: Callable[[Creation], bool] = lambda _: False
        self._model: Creation | None = None
        self.title, self.details = make_label(role="title", wrap=True), make_label(role="dim", wrap=True)
        self.licences = make_label(role="dim", wrap=True)
        self._picture = QLabel()
        self.readme = MarkdownView()
        self.readme.setAccessibleName("Model card")
        self.use_button = QPushButton("Use in…")
        self.use_menu = QMenu(self.use_button)
        self.use_button.setMenu(self.use_menu)
        describe(self.use_button, "Use in…", "Put this model into the form of a tool")
        self.use_menu.aboutToShow.connect(self._fill_use_menu)
        self.further = self._add_button("Train further…", self.train_further_requested, "Start from this model")
        self.training = self._add_button("Show training", self.training_requested, "Plots and previews of the training")
        self.rename = self._add_button("Rename…", self.rename_requested)
        self.export = self._add_button("Export…", self.export_requested, "Write one file or a folder")
        self.command = make_label(role="dim", wrap=True)
        self.command.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._lay_out()

    def _add_button(self, text: str, signal: SignalInstance, hint: str = "") -> QPushButton:
        button = QPushButton(text)
        describe(button, text, hint)
        button.clicked.connect(lambda: signal.emit(self._model) if self._model else None)
        return button

    def _lay_out(self) -> None:
        names = QVBoxLayout()
        names.setSpacing(theme.SPACE)
        for label in (self.title, self.details, self.licences):
            names.addWidget(label)
        head = QHBoxLayout()
        head.setSpacing(3 * theme.SPACE)
        head.addWidget(self._picture, alignment=Qt.AlignmentFlag.AlignTop)
        head.addLayout(names, 1)
        buttons = QHBoxLayout()
        buttons.setSpacing(2 * theme.SPACE)
        for button in (self.use_button, self.further, self.training, self.rename, self.export):
            buttons.addWidget(button)
        buttons.addStretch(1)
        column = QWidget()
        column.setMaximumWidth(WIDTH)
        inside = QVBoxLayout(column)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(4 * theme.SPACE)
        inside.addLayout(head)
        inside.addLayout(buttons)
        inside.addWidget(self.command)
        inside.addWidget(make_line())
        inside.addWidget(self.readme, 1)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(32, 72, 32, 32)
        layout.addStretch(1)
        layout.addWidget(column, 100)
        layout.addStretch(1)

    def show_card(self, card: Card, model: Creation | None = None) -> None:
        """Show a card. Of a creation, `model`, it also shows what can be done with it."""
        self._model = model
        self._picture.setPixmap(icons.pixmap("cube-outline", 32, ratio=self.devicePixelRatioF()))
        self.title.setText(card.title)
        self.details.setText(card.details)
        self.licences.setText(card.licences)
        self.licences.setVisible(bool(card.licences))
        self.readme.show_markdown(card.readme or "This model has no card.")
        if card.sample is not None:
            self.readme.insert_image(card.sample, card.caption)
        uses = self.list_uses(card.kind) if model else []
        for button in (self.rename, self.export):
            button.setVisible(model is not None)
        self.use_button.setVisible(bool(uses))
        self.further.setVisible(model is not None and self.can_train_further(model))
        self.training.setVisible(model is not None and training_record.of_model(Path(model.path)).exists())
        self.command.setVisible(bool(uses))
        if model and uses:
            self.command.setText(f"On the command line: {self.write_command(model, uses[0])}")

    def _fill_use_menu(self) -> None:
        if self._model is not None:
            fill_use_menu(self.use_menu, self.list_uses(self._model.model_kind), self._model, self.use_chosen.emit)


def fill_use_menu(
    menu: QMenu, uses: list[ModelUse], model: Creation, choose: Callable[[Creation, ModelUse], object]
) -> None:
    """Fill a menu with the tools that a model can be used in."""
    menu.clear()
    for use in uses:
        menu.addAction(use.title.replace("&", "&&")).triggered.connect(
            lambda _=False, use=use: choose(model, use),
        )


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
        describe_model_kind(kind),
        QLocale.c().formattedDataSize(size, 1, QLocale.DataSizeFormat.DataSizeSIFormat),
    ]
    if len(files) > 1:
        details.append(f"{len(files)} files")
    if licence := about.get("licence"):
        details.append(str(licence))
    name = model_names.read_name(path)
    sample, caption = _find_sample(folder)
    return Card(
        title=name,
        kind=kind,
        details="  ·  ".join(details),
        readme=_remove_title(_read_readme(folder), {name, str(about.get("title"))}),
        licences=_describe_licences(about.get("recipe")),
        sample=sample,
        caption=caption,
    )


def _find_sample(folder: Path) -> tuple[QImage | None, str]:
    """Return the last preview of the training, or the image of the tile, and its caption."""
    record = training_record.of_model(folder)
    for entry in reversed(read_or_else([], record.read_previews)):
        if (image := _read_image(record.preview_path(entry))) is not None:
            parts = [entry.label or f"Step {group_digits(entry.step)}"]
            parts += ["prompts: " + " · ".join(entry.prompts)] if entry.prompts else []
            return image, ", ".join(parts)
    return _read_image(find_tile_image(folder)), ""


def _describe_licences(recipe: object) -> str:
    """Return the licences of the models that a model was trained from."""
    models = recipe.get("models") if isinstance(recipe, dict) else None
    if not isinstance(models, list):
        return ""
    pairs = [(one.get("name"), one.get("licence")) for one in models if isinstance(one, dict) and one.get("licence")]
    return " ".join(describe_licence(str(name), str(licence)) for name, licence in pairs)


def _read_image(path: Path | None) -> QImage | None:
    """Read an image and scale it to the width of the card; None if it is missing, damaged or very large."""
    if path is None or not path.is_file():
        return None
    reader = QImageReader(str(path), path.suffix.removeprefix(".").encode())
    reader.setAutoDetectImageFormat(False)
    size = reader.size()
    if size.isEmpty() or max(size.width(), size.height()) > MAX_IMAGE_SIDE or (image := reader.read()).isNull():
        return None
    width = min(WIDTH - 2 * theme.SPACE, max(size.width(), MIN_IMAGE_WIDTH))
    return image.scaledToWidth(width, Qt.TransformationMode.SmoothTransformation)


def _remove_title(readme: str, titles: set[str]) -> str:
    """Remove front matter, and the heading of the first line if it is the title, which is shown above."""
    readme = _FRONT_MATTER.sub("", readme, count=1).lstrip()
    heading, _, rest = readme.partition("\n")
    is_title = heading.startswith("# ") and heading.removeprefix("# ").strip() in titles
    return rest.strip() if is_title else readme


def _read_readme(folder: Path) -> str:
    return read_or_else("", _read_beginning, folder / "README.md").strip()


def _read_beginning(path: Path) -> str:
    with open_file(path) as file:
        return file.read(MAX_README_BYTES).decode("utf-8", errors="replace")
