"""The card of a model: formatted, with an image, and without a way for its text to load or open anything."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from PIL import Image
from PySide6.QtGui import QImage, QTextDocument, QTextTable
from pytestqt.qtbot import QtBot

from studio.core import training_record
from studio.core.training_record import PreviewEntry, TrainingRecord
from studio.ui.canvas import markdown_view
from studio.ui.canvas.markdown_view import MarkdownView, is_tame
from studio.ui.canvas.model_card import ModelCard, read_card


@pytest.fixture
def view(qtbot: QtBot) -> MarkdownView:
    view = MarkdownView()
    qtbot.addWidget(view)
    return view


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    models = [{"name": "base", "licence": "cc-by-nc-4.0"}]
    about = {"title": "Fox", "kind": "diffusion", "recipe": {"models": models}}
    (folder / "studio.json").write_text(json.dumps(about))
    readme = "---\nlicense: mit\n---\n# Fox\n\nA **red** fox.\n\n| A | B |\n| --- | --- |\n| 1 | 2 |\n"
    (folder / "README.md").write_text(readme)
    return folder


def test_the_card_is_formatted_and_shows_the_last_preview(qtbot: QtBot, model: Path) -> None:
    record = TrainingRecord(model / training_record.MODEL_FOLDER)
    for step in (10, 2000):
        record.add_picture(PreviewEntry(step, prompts=["a fox", "<b>b</b>"]), Image.new("RGB", (40, 20), "red"))
    card = ModelCard()
    qtbot.addWidget(card)
    card.show_card(read_card(model))
    text = card.readme.toPlainText()
    assert text.splitlines()[:2] == ["\ufffc", "Step 2\u202f000, prompts: a fox · <b>b</b>"]
    assert "A red fox." in text
    assert "Fox\n" not in text
    assert "license" not in text
    assert any(isinstance(frame, QTextTable) for frame in card.readme.document().rootFrame().childFrames())
    assert card.licences.text() == "base is under CC BY-NC 4.0, not for commercial use."
    assert card.use_button.isHidden()


@pytest.mark.parametrize("name", ["../../secret.webp", "preview-0000001.webp", ""])
def test_a_preview_that_is_none_of_the_record_is_left_out(model: Path, name: str) -> None:
    Image.new("RGB", (8, 8)).save(model.parent / "secret.webp")
    folder = model / training_record.MODEL_FOLDER
    folder.mkdir()
    (folder / "preview-0000001.webp").write_bytes(b"no image")
    (folder / "previews.jsonl").write_text(json.dumps({"step": 1, "file": name}) + "\n")
    assert read_card(model).sample is None


HOSTILE = {
    "remote": "![x](https://example.org/a.png) ![y](//example.org/b.png)",
    "local": "![x](/etc/hostname) ![y](file:///etc/hostname) ![z](preview.png)",
    "html": "<img src='/etc/hostname'><script>alert(1)</script><a href='x'>y</a>",
    "reference": "![x][1]\n\n[1]: https://example.org/a.png",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_nothing_is_loaded(view: MarkdownView, text: str) -> None:
    view.show_markdown(text)
    view.resize(400, 400)
    view.grab()
    for kind in (QTextDocument.ResourceType.ImageResource, QTextDocument.ResourceType.HtmlResource):
        found = view.document().resource(kind, "/etc/hostname")
        assert isinstance(found, QImage)
        assert found.width() == 1
    if "<script>" in text:
        assert "<script>alert(1)</script>" in view.toPlainText()


def test_links_are_not_opened(view: MarkdownView) -> None:
    view.show_markdown("[a link](https://example.org) and https://example.org")
    assert not view.textInteractionFlags() & view.textInteractionFlags().LinksAccessibleByMouse
    assert "a link" in view.toPlainText()


WILD = {
    "quotes": ">" * 50_000,
    "lists": "".join(f"{'  ' * depth}- x\n" for depth in range(200)),
    "markers": "- " * 5000,
    "columns": "|".join("x" * 1000) + "\n" + "|".join(["-"] * 1000) + "\n",
    "rows": "| a |\n| --- |\n" + "| x |\n" * 5000,
    "long": "word " * 100_000,
}


@pytest.mark.parametrize("text", WILD.values(), ids=WILD)
def test_what_would_take_long_is_shown_as_it_is(view: MarkdownView, text: str) -> None:
    assert not is_tame(text)
    start = time.process_time()
    view.show_markdown(text)
    assert view.toPlainText().strip() == text.strip()
    assert time.process_time() - start < 5


@pytest.mark.parametrize("text", ["*" * 5000, "[" * 5000, "`" * 5001, "_a" * 5000, "\\" * 5000, "# " * 3000])
def test_odd_texts_are_formatted_without_harm(view: MarkdownView, text: str) -> None:
    assert len(text) < markdown_view.MAX_FORMATTED
    view.show_markdown(text)
