"""The editors of all kinds of fields."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QGuiApplication, QImage, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from studio.core import params_schema
from studio.core.descriptor import Field, ToolDescriptor, Widget
from studio.core.paths import Home
from studio.library.index.file_reader import FileReader
from studio.library.library import Library
from studio.state.notices import Notices
from studio.ui.form.base import Editor, FormServices, ModelOption
from studio.ui.form.choice_field import ChipsEditor, ComboEditor, SegmentsEditor, SwitchEditor
from studio.ui.form.form import Form, make_editor
from studio.ui.form.image_field import DropWellEditor
from studio.ui.form.list_field import FilesEditor, FoldersEditor, ModelsEditor, PicturesEditor, make_list_editor
from studio.ui.form.mask_field import MaskEditor
from studio.ui.form.number_field import NumberEditor
from studio.ui.form.pad import Pad
from studio.ui.form.path_field import ModelEditor, PathEditor
from studio.ui.form.path_list import Role
from studio.ui.form.text_field import ColourEditor, LineEditor, LinesEditor, MultilineEditor
from studio.ui.widgets.thumbnail_loader import ThumbnailLoader
from tests.fixtures import engine


class Model:
    def __init__(self, name: str, title: str) -> None:
        self.name, self.title = name, title
        self.kind = self.summary = self.licence = self.picture = ""


MODELS = (Model("vae-spatial", "Spatial starter"), Model("0123abc", "My faces"))


@pytest.fixture
def cleared() -> list[tuple[str, Any]]:
    return []


@pytest.fixture
def added() -> list[tuple[str, Sequence[str]]]:
    return []


@pytest.fixture
def services(
    qtbot: QtBot, tmp_path: Path, cleared: list[tuple[str, Any]], added: list[tuple[str, Sequence[str]]]
) -> Iterator[FormServices]:
    def offers(kind: str, then: Callable[[Sequence[ModelOption]], None]) -> None:
        then(MODELS)

    def take(image: QImage, then: Callable[[Path], None]) -> None:
        path = tmp_path / "pasted.png"
        image.save(str(path))
        then(path)

    reader, folders = FileReader(), Notices()
    thumbnails = ThumbnailLoader(reader)
    yield FormServices(
        thumbnails=thumbnails,
        list_models=offers,
        models_changed=folders.changed,
        save_image=take,
        clear_value=lambda name, empty: cleared.append((name, empty)),
        add_to_list=lambda name, values: added.append((name, values)),
        paint_mask=lambda field: None,
        picture_path_of=str,
        set_points=lambda field: None,
        generate_from_drop=lambda name, choice, paths: None,
        training_tools=lambda: [],
        choose_tool=lambda id: None,
    )
    reader.close()
    thumbnails.close()


def drop(editor: QWidget, *paths: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    here = QPointF(5, 5)
    event = QDropEvent(here, Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    editor.dropEvent(event)


FIELDS: list[tuple[Field, type[Editor], Any]] = [
    (Field(name="a", title="A", widget=Widget.TEXT), LineEditor, "words"),
    (Field(name="a", title="A", widget=Widget.PROMPT), MultilineEditor, "a fox\nin the snow"),
    (Field(name="a", title="A", widget=Widget.NUMBER, minimum=0, maximum=2), NumberEditor, 0.8),
    (Field(name="a", title="A", widget=Widget.NUMBER), NumberEditor, -12.5),
    (Field(name="a", title="A", widget=Widget.WHOLE, minimum=1, maximum=10_000), NumberEditor, 4_000),
    (Field(name="a", title="A", widget=Widget.WHOLE, minimum=0, maximum=2**32 - 1), NumberEditor, 4_000_000_000),
    (Field(name="a", title="A", widget=Widget.WHOLE, optional=True, minimum=1, maximum=9), NumberEditor, None),
    (Field(name="a", title="A", widget=Widget.UNIT), NumberEditor, 0.85),
    (Field(name="a", title="A", widget=Widget.SWITCH), SwitchEditor, True),
    (Field(name="a", title="A", widget=Widget.CHOICE, choices=(256, 512), labels=("S", "L")), SegmentsEditor, 512),
    (
        Field(name="a", title="A", widget=Widget.CHOICE, choices=tuple("abcdef"), labels=tuple("ABCDEF")),
        ComboEditor,
        "d",
    ),
    (
        Field(name="a", title="A", widget=Widget.CHOICE, many=True, choices=("x", "y"), labels=("X", "Y")),
        ChipsEditor,
        ["x", "y"],
    ),
    (Field(name="a", title="A", widget=Widget.IMAGE), DropWellEditor, "/tmp/cup.png"),
    (Field(name="a", title="A", widget=Widget.MASK), MaskEditor, "/tmp/mask.png"),
    (Field(name="a", title="A", widget=Widget.IMAGE, many=True), PicturesEditor, ["/tmp/a.png", "/tmp/b.png"]),
    (Field(name="a", title="A", widget=Widget.FILE), PathEditor, "/tmp/clip.mp4"),
    (Field(name="a", title="A", widget=Widget.FILE, many=True), FilesEditor, ["/tmp/clip.mp4"]),
    (Field(name="a", title="A", widget=Widget.FOLDER), PathEditor, "/tmp"),
    (Field(name="a", title="A", widget=Widget.MODEL), ModelEditor, "0123abc"),
    (Field(name="a", title="A", widget=Widget.MODEL), ModelEditor, "someone/some-model"),
    (Field(name="a", title="A", widget=Widget.FOLDER, many=True), FoldersEditor, ["/tmp/faces", "/tmp"]),
    (Field(name="a", title="A", widget=Widget.MODEL, many=True), ModelsEditor, ["vae-spatial", "someone/some-model"]),
    (Field(name="a", title="A", widget=Widget.COLOUR), ColourEditor, "#e8a33d"),
    (Field(name="a", title="A", widget=Widget.TEXT, many=True), LinesEditor, ["one", "two"]),
    (Field(name="a", title="A", widget=Widget.WHOLE, many=True), LinesEditor, [1, 2]),
]


@pytest.mark.parametrize(("field", "kind", "value"), FIELDS)
def test_an_editor_returns_the_value_that_it_shows(
    qtbot: QtBot, services: FormServices, field: Field, kind: type[Editor], value: object
) -> None:
    editor = make_editor(field, services)
    qtbot.addWidget(editor)
    heard: list[int] = []
    editor.edited.connect(lambda: heard.append(1))
    assert type(editor) is kind
    editor.show_value(value)
    assert editor.value() == value
    assert heard == []


@pytest.mark.parametrize("tool", [engine.STYLE, engine.WORDS, engine.MORPH, engine.TRAIN])
def test_an_untouched_form_gives_the_defaults(qtbot: QtBot, services: FormServices, tool: ToolDescriptor) -> None:
    fields = params_schema.read_fields(tool.schema)
    made = Form(fields, services)
    qtbot.addWidget(made)
    for field in fields:
        made.show_value(field.name, field.default)
        if not field.required:
            assert made.editor(field.name).value() == field.default


def test_a_unit_value_is_shown_in_per_cent_and_follows_its_slider(qtbot: QtBot, services: FormServices) -> None:
    editor = NumberEditor(Field(name="a", title="Strength", widget=Widget.UNIT))
    qtbot.addWidget(editor)
    editor.show_value(0.85)
    assert editor.number.text() == "85 %"
    assert editor.slider is not None
    with qtbot.waitSignal(editor.edited):
        qtbot.keyClick(editor.slider, Qt.Key.Key_Left)
    assert editor.value() == 0.84
    with qtbot.waitSignal(editor.edited):
        editor.number.setValue(30)
    assert editor.slider.value() == 30


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        (Field(name="a", title="A", widget=Widget.NUMBER, minimum=1e-7, maximum=1, optional=True), 2e-4, "0.0002"),
        (Field(name="a", title="A", widget=Widget.NUMBER, minimum=0, maximum=0.99999, default=0.999), 0.999, "0.999"),
        (Field(name="a", title="A", widget=Widget.UNIT, default=0.07), 0.07, "7 %"),
    ],
)
def test_a_small_number_is_shown_with_all_its_decimals(qtbot: QtBot, field: Field, value: float, text: str) -> None:
    editor = NumberEditor(field)
    qtbot.addWidget(editor)
    editor.show_value(value)
    assert editor.number.text() == text
    assert editor.value() == value


def test_a_wheel_scrolls_the_form_and_not_the_value(qtbot: QtBot) -> None:
    editor = NumberEditor(Field(name="a", title="A", widget=Widget.UNIT))
    qtbot.addWidget(editor)
    editor.show_value(0.5)
    assert editor.slider is not None
    here = QPointF(5, 5)
    wheel = QWheelEvent(
        here, here, QPoint(), QPoint(0, 120), Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(editor.slider, wheel)
    assert editor.value() == 0.5


def test_a_well_takes_a_drop_a_paste_and_a_click_on_clear(
    qtbot: QtBot, services: FormServices, picture: Path, cleared: list[tuple[str, Any]]
) -> None:
    editor = DropWellEditor(Field(name="image", title="Image", widget=Widget.IMAGE), services)
    qtbot.addWidget(editor)
    editor.show()
    with qtbot.waitSignals([editor.edited, services.thumbnails.ready]):
        drop(editor.well, picture)
    assert editor.value() == str(picture)
    assert editor.well._caption_text().startswith("64 × 48")
    pasted = QImage(8, 6, QImage.Format.Format_RGB32)
    pasted.fill(Qt.GlobalColor.red)
    QGuiApplication.clipboard().setImage(pasted)
    with qtbot.waitSignal(services.thumbnails.ready):
        qtbot.keyClick(editor.well, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
    assert Path(editor.value()).name == "pasted.png"
    qtbot.keyClick(editor.well, Qt.Key.Key_Delete)
    assert cleared == [("image", None)]


def test_a_picture_of_the_library_has_its_original_name(qtbot: QtBot, services: FormServices, tmp_path: Path) -> None:
    library = Library(Home(tmp_path / "home"))
    library.open()
    QImage(8, 6, QImage.Format.Format_RGB32).save(str(tmp_path / "girl.png"))
    kept = str(library.import_file(tmp_path / "girl.png").path)
    library.close()
    assert Path(kept).name.startswith("girl-")
    well = DropWellEditor(Field(name="image", title="Image", widget=Widget.IMAGE), services)
    listed = make_list_editor(Field(name="images", title="Images", widget=Widget.IMAGE, many=True), services)
    for editor, value in ((well, kept), (listed, [kept])):
        qtbot.addWidget(editor)
        editor.show_value(value)
        assert editor.value() == value
    assert isinstance(listed, PicturesEditor)
    assert (well.well._name, listed.list.item(0).text()) == ("girl.png", "girl.png")
    own = tmp_path / "girl-0123456789.png"
    well.show_value(str(own))
    assert well.well._name == own.name


def test_an_unreadable_picture_is_reported_in_its_field(qtbot: QtBot, services: FormServices, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"nothing")
    editor = DropWellEditor(Field(name="image", title="Image", widget=Widget.IMAGE), services)
    qtbot.addWidget(editor)
    with qtbot.waitSignal(services.thumbnails.ready):
        editor.show_value(str(broken))
    assert "broken.png" in editor.well._caption_text()


def test_a_list_of_pictures_is_filled_reordered_and_shortened(
    qtbot: QtBot,
    services: FormServices,
    pictures: list[Path],
    cleared: list[tuple[str, Any]],
    added: list[tuple[str, Sequence[str]]],
) -> None:
    editor = make_list_editor(
        Field(name="images", title="Images", widget=Widget.IMAGE, many=True, max_items=3), services
    )
    qtbot.addWidget(editor)
    drop(editor.list, *pictures)
    names = [str(path) for path in pictures]
    assert added == [("images", names)]
    editor.show_value(names[:3])
    assert editor.value() == names[:3]
    editor.list.setCurrentRow(0)
    with qtbot.waitSignal(editor.edited):
        qtbot.keyClick(editor.list, Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier)
    assert editor.value() == [names[1], names[0], names[2]]
    editor.list.clearSelection()
    editor.list.setCurrentRow(2)
    qtbot.keyClick(editor.list, Qt.Key.Key_Delete)
    assert cleared == [("images", [names[1], names[0]])]


def test_a_list_of_folders_takes_folders_only(
    qtbot: QtBot,
    services: FormServices,
    picture: Path,
    tmp_path: Path,
    cleared: list[tuple[str, Any]],
    added: list[tuple[str, Sequence[str]]],
) -> None:
    editor = make_list_editor(
        Field(name="folders", title="Folders", widget=Widget.FOLDER, many=True, max_items=2), services
    )
    qtbot.addWidget(editor)
    folders = [tmp_path / name for name in ("cats", "dogs", "birds")]
    for folder in folders:
        folder.mkdir()
    drop(editor.list, picture, *folders)
    assert added == [("folders", [str(folder) for folder in folders])]
    editor.show_value([str(folder) for folder in folders[:2]])
    assert editor.value() == [str(folder) for folder in folders[:2]]
    assert not editor.adder.isEnabled()
    assert [editor.list.item(row).text() for row in (0, 1)] == ["cats", "dogs"]
    assert editor.list.item(0).data(Role.CAPTION) == str(tmp_path)
    editor.list.setCurrentRow(0)
    editor.remove.click()
    assert cleared == [("folders", [str(folders[1])])]


def test_models_of_a_list_are_chosen_or_typed(
    qtbot: QtBot, services: FormServices, added: list[tuple[str, Sequence[str]]]
) -> None:
    editor = make_list_editor(Field(name="models", title="Models", widget=Widget.MODEL, many=True), services)
    qtbot.addWidget(editor)
    assert isinstance(editor, ModelsEditor)
    editor.show_value(["vae-spatial"])
    assert editor.list.item(0).text() == "Spatial starter"
    combo = editor.chooser.combo
    combo.setCurrentIndex(0)
    combo.activated.emit(0)
    assert added == [("models", ["vae-spatial"])]
    assert combo.currentText() == "", "ready for the next"
    line = combo.lineEdit()
    assert line is not None
    line.setText("someone/some-model")
    line.editingFinished.emit()
    assert added[1:] == [("models", ["someone/some-model"])]
    editor.show_value(["vae-spatial", "vae-spatial", "someone/some-model"])
    assert editor.list.item(2).data(Role.CAPTION) == "someone/some-model"


def test_a_group_of_advanced_fields_opens_for_an_error(qtbot: QtBot, services: FormServices) -> None:
    made = Form(params_schema.read_fields(engine.STYLE.schema), services)
    qtbot.addWidget(made)
    made.show()
    tile = made.editor("tile")
    assert not tile.isVisible()
    made.set_errors({"tile": "Tile must be between 64 and 2048, not 3."})
    assert tile.isVisible()


def test_a_group_of_advanced_fields_counts_its_changes(qtbot: QtBot, services: FormServices) -> None:
    fields = [
        Field(name="skip", title="Skip", advanced=True, group="Speed", default="off"),
        Field(name="prompt", title="Prompt"),
        Field(name="schedule", title="Schedule", advanced=True, default=""),
    ]
    form = Form(fields, services, open_groups=["Speed"])
    qtbot.addWidget(form)
    form.show()
    heads = [button for button in form.findChildren(QPushButton) if button.property("role") == "fold"]
    assert [head.text() for head in heads] == ["More settings", "Speed"]
    assert [head.isChecked() for head in heads] == [False, True]
    assert form.editor("skip").isVisible()
    told: list[tuple[str, bool]] = []
    form.group_toggled.connect(lambda group, on: told.append((group, on)))
    heads[0].click()
    assert told == [("", True)]
    form.show_value("skip", "much")
    assert heads[1].text() == "Speed · 1 changed"
    form.show_value("skip", "off")
    assert heads[1].text() == "Speed"


def test_the_wheel_never_focuses_an_editor(qtbot: QtBot, services: FormServices) -> None:
    number = NumberEditor(Field(name="a", title="A", widget=Widget.UNIT))
    choice = ComboEditor(Field(name="b", title="B", widget=Widget.CHOICE, choices=("one", "two")))
    model = ModelEditor(Field(name="c", title="C", widget=Widget.MODEL), services)
    for editor in (number, choice, model):
        qtbot.addWidget(editor)
    assert number.slider is not None
    wheel_alone = Qt.FocusPolicy.WheelFocus & ~Qt.FocusPolicy.StrongFocus
    for widget in (number.slider, number.number, choice.combo, model.combo):
        assert not widget.focusPolicy() & wheel_alone, widget


def test_field_texts_are_plain_text(qtbot: QtBot, services: FormServices) -> None:
    editor = MultilineEditor(Field(name="prompt", title="<b>Prompt</b>", widget=Widget.PROMPT, help="<img src=x>"))
    qtbot.addWidget(editor)
    data = QMimeData()
    data.setHtml("<b>bold</b>")
    data.setText("<b>bold</b>")
    editor.edit.insertFromMimeData(data)
    assert editor.value() == "<b>bold</b>"
    assert "&lt;img" in editor.edit.toolTip()


def test_calls_without_a_result_keep_the_references_to_none(qtbot: QtBot) -> None:
    """PySide 6.12 on Python 3.11 drops a reference to None at each such call, and finally crashes."""
    widget = QLabel()
    qtbot.addWidget(widget)
    before = sys.getrefcount(None)
    for _ in range(1_000):
        widget.setVisible(False)
    assert sys.getrefcount(None) > before - 500


def test_a_pad_sets_two_numbers_and_follows_them(qtbot: QtBot, services: FormServices) -> None:
    x = Field(name="x", title="X", widget=Widget.NUMBER, minimum=-1, maximum=1, step=0.1, default=0.0, pad="y")
    y = Field(name="y", title="Y", widget=Widget.NUMBER, minimum=-1, maximum=1, step=0.1, default=0.0, advanced=True)
    form = Form([x, y], services)
    qtbot.addWidget(form)
    edits: list[tuple[str, object]] = []
    form.edited.connect(lambda name, value: edits.append((name, value)))
    pad = form.findChild(Pad)
    assert pad is not None
    QTest.keyClick(pad, Qt.Key.Key_Up)
    QTest.keyClick(pad, Qt.Key.Key_Right)
    assert edits == [("y", 0.1), ("x", 0.1)]
    assert form.editor("y").value() == 0.1
    form.show_value("x", -0.5)
    assert pad.axes[0].value == -0.5
    editor = form.editor("x")
    assert isinstance(editor, NumberEditor)
    editor.number.setValue(0.8)
    assert pad.axes[0].value == 0.8
