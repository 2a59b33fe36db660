"""A page as a file for others: nothing in it is taken for markup, and its pictures come along."""

from __future__ import annotations

import zipfile
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import docx
import pytest
from PIL import Image

from studio.core.errors import BadInput
from studio.core.manuscript import Author, Run
from studio.library.page_export import Illustration, export, parted

TEXT = "1. The fox <b>\n\n# No *heading* & שלום"
RUNS = [Run(TEXT, Author.HUMAN), Run(" It ran.\n- Home\x07.", Author.MACHINE)]


@pytest.fixture
def picture(tmp_path: Path) -> Illustration:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "p.png")
    return Illustration(tmp_path / "p.png", 10, 'The "fox"\nran')


def test_paragraphs_and_their_pictures(picture: Illustration) -> None:
    found = list(parted(RUNS, [picture]))
    assert [one.text for one in found] == ["1. The fox <b>", "# No *heading* & שלום It ran.", "- Home\x07."]
    assert [len(one.pictures) for one in found] == [1, 0, 0]
    assert list(parted([], [])) == []


def test_markdown(tmp_path: Path, picture: Illustration) -> None:
    export(RUNS, [picture], "The fox", tmp_path / "tale.md")
    assert (tmp_path / "tale.md").read_text("utf-8") == (
        "1\\. The fox \\<b\\>\n\n"
        '![The "fox" ran](<tale pictures/picture-1.png>)\n\n'
        '\\# No \\*heading\\* &amp; שלום<span class="machine"> It ran.</span>\n\n'
        '<span class="machine">- Home\x07.</span>\n'
    )
    assert (tmp_path / "tale pictures" / "picture-1.png").read_bytes() == picture.path.read_bytes()


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_html(tmp_path: Path, picture: Illustration) -> None:
    export(RUNS, [picture], "<i>", tmp_path / "tale.html")
    reader = Reader()
    reader.feed((tmp_path / "tale.html").read_text("utf-8"))
    assert [tag for tag in reader.tags if tag in ("p", "img", "b", "i")] == ["p", "img", "p", "p"]
    assert "1. The fox <b>" in reader.texts
    assert "<i>" in reader.texts


def test_epub(tmp_path: Path, picture: Illustration) -> None:
    export(RUNS, [picture], "A & B", tmp_path / "tale.epub")
    with zipfile.ZipFile(tmp_path / "tale.epub") as book:
        first = book.infolist()[0]
        assert (first.filename, first.compress_type) == ("mimetype", zipfile.ZIP_STORED)
        assert book.read("mimetype") == b"application/epub+zip"
        for name in book.namelist():
            if name.endswith(("xml", "opf", "xhtml")):
                ElementTree.fromstring(book.read(name))
        text = ElementTree.fromstring(book.read("EPUB/text.xhtml"))
        image = next(text.iter("{http://www.w3.org/1999/xhtml}img"))
        assert image.get("alt") == 'The "fox" ran'
        assert f"EPUB/{image.get('src')}" in book.namelist()


def test_docx(tmp_path: Path, picture: Illustration) -> None:
    webp = Illustration(tmp_path / "q.webp", 40, "It ran")
    Image.new("RGB", (4000, 100), "blue").save(webp.path)
    export(RUNS, [picture, webp], "A & B\x07", tmp_path / "tale.docx")
    book = docx.Document(str(tmp_path / "tale.docx"))
    texts = [one.text for one in book.paragraphs if one.text]
    assert texts == ["1. The fox <b>", "# No *heading* & שלום It ran.", "- Home."]
    assert [run.style.name for run in book.paragraphs[2].runs] == ["Default Paragraph Font", "Written by a model"]
    assert book.core_properties.title == "A & B"
    shapes = book.inline_shapes
    assert [one._inline.docPr.get("descr") for one in shapes] == ['The "fox" ran', "It ran"]
    assert shapes[1].width < 7 * 914400
    export([], [], "", tmp_path / "empty.docx")
    assert docx.Document(str(tmp_path / "empty.docx")).paragraphs == []


def test_a_picture_that_is_gone_is_left_out(tmp_path: Path) -> None:
    gone = Illustration(tmp_path / "gone.png", 3, "fox")
    for name in ("a.md", "a.html", "a.epub", "a.docx"):
        export([Run("A fox", Author.HUMAN)], [gone], "A", tmp_path / name)
    assert (tmp_path / "a.md").read_text() == "A fox\n"


def test_another_ending_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot be saved as \.txt"):
        export([], [], "", tmp_path / "a.txt")
