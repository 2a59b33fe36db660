"""An exported page contains its text, escaped, and its images."""

from __future__ import annotations

import io
import re
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import docx
import pytest
from PIL import Image

from studio.core.errors import BadInput, StudioError
from studio.core.page.edits import Author
from studio.core.page.revisions import AuthorRun
from studio.library.pages.export import Illustration, export_page, split_paragraphs

OPF = "{http://www.idpf.org/2007/opf}"

TEXT = "1. The fox <b>\n\n# No *heading* & שלום"
RUNS = [AuthorRun(TEXT, Author.HUMAN), AuthorRun(" It ran.\n- Home\x07.", Author.MACHINE)]


@pytest.fixture
def picture(tmp_path: Path) -> Illustration:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "p.png")
    return Illustration(tmp_path / "p.png", 10, 'The "fox"\nran')


def test_paragraphs_and_their_pictures(picture: Illustration) -> None:
    found = list(split_paragraphs(RUNS, [picture]))
    assert [one.text for one in found] == ["1. The fox <b>", "# No *heading* & שלום It ran.", "- Home\x07."]
    assert [len(one.pictures) for one in found] == [1, 0, 0]
    assert list(split_paragraphs([], [])) == []


def test_markdown(tmp_path: Path, picture: Illustration) -> None:
    export_page(RUNS, [picture], "The fox", tmp_path / "tale.md")
    assert (tmp_path / "tale.md").read_text("utf-8") == (
        "1\\. The fox \\<b\\>\n\n"
        '![The "fox" ran](<tale%20images/image-1.png>)\n\n'
        '\\# No \\*heading\\* &amp; שלום<span class="machine"> It ran.</span>\n\n'
        '<span class="machine">- Home\x07.</span>\n'
    )
    assert (tmp_path / "tale images" / "image-1.png").read_bytes() == picture.path.read_bytes()


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
    export_page(RUNS, [picture], "<i>", tmp_path / "tale.html")
    reader = Reader()
    reader.feed((tmp_path / "tale.html").read_text("utf-8"))
    assert [tag for tag in reader.tags if tag in ("p", "img", "b", "i")] == ["p", "img", "p", "p"]
    assert "1. The fox <b>" in reader.texts
    assert "<i>" in reader.texts


def test_epub(tmp_path: Path, picture: Illustration) -> None:
    export_page(RUNS, [picture], "A & B", tmp_path / "tale.epub")
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
    export_page(RUNS, [picture, webp], "A & B\x07", tmp_path / "tale.docx")
    book = docx.Document(str(tmp_path / "tale.docx"))
    texts = [one.text for one in book.paragraphs if one.text]
    assert texts == ["1. The fox <b>", "# No *heading* & שלום It ran.", "- Home."]
    assert [run.style.name for run in book.paragraphs[2].runs] == ["Default Paragraph Font", "Written by a model"]
    assert book.core_properties.title == "A & B"
    shapes = book.inline_shapes
    assert [one._inline.docPr.get("descr") for one in shapes] == ['The "fox" ran', "It ran"]
    assert shapes[1].width < 7 * 914400
    export_page([], [], "", tmp_path / "empty.docx")
    assert docx.Document(str(tmp_path / "empty.docx")).paragraphs == []


ODD = "a\uffffb\ufffe\x08c\ud800"
FORMATS = ("md", "html", "epub", "docx")


@pytest.mark.parametrize("ending", FORMATS[2:])
def test_invalid_xml_characters_are_removed(ending: str, tmp_path: Path, picture: Illustration) -> None:
    odd = Illustration(picture.path, 2, ODD)
    export_page([AuthorRun(ODD, Author.MACHINE)], [odd], ODD, tmp_path / f"odd.{ending}")
    with zipfile.ZipFile(tmp_path / f"odd.{ending}") as book:
        name = "EPUB/text.xhtml" if ending == "epub" else "word/document.xml"
        text = "".join(ElementTree.fromstring(book.read(name)).itertext())
    assert text.strip().removeprefix("abc.machine{color:#0f4c81}img{max-width:100%}") == "abc"


def test_image_links_work_for_any_file_name(tmp_path: Path, picture: Illustration) -> None:
    export_page(RUNS, [picture], "A", tmp_path / "50% #1: why?.html")
    (link,) = re.findall('src="([^"]*)"', (tmp_path / "50% #1: why?.html").read_text("utf-8"))
    assert urlsplit(link).path == link
    assert (tmp_path / unquote(link)).read_bytes() == picture.path.read_bytes()
    export_page(RUNS, [picture], "A", tmp_path / "a <b>.md")
    (link,) = re.findall(r"]\(<(.*)>\)", (tmp_path / "a <b>.md").read_text("utf-8"))
    assert (tmp_path / unquote(link)).is_file()


def test_epub_images_have_supported_formats(tmp_path: Path) -> None:
    pictures = []
    for number, ending in enumerate(("png", "webp", "avif", "jpg", "tif")):
        pictures.append(Illustration(tmp_path / f"{number}.{ending}", 1, ending))
        Image.new("RGB", (16, 16), "red").save(pictures[-1].path)
    export_page(RUNS, pictures, "A", tmp_path / "a.epub")
    with zipfile.ZipFile(tmp_path / "a.epub") as book:
        package = ElementTree.fromstring(book.read("EPUB/book.opf"))
        items = [(item.get("href", ""), item.get("media-type", "")) for item in package.iter(f"{OPF}item")]
        images = {name: media_type for name, media_type in items if name.startswith("images/")}
        assert sorted(images.values()) == ["image/jpeg", *["image/png"] * 3, "image/webp"]
        for name, media_type in images.items():
            with Image.open(io.BytesIO(book.read(f"EPUB/{name}"))) as image:
                assert image.get_format_mimetype() == media_type


def test_a_tall_picture_fits_on_a_page_of_a_document(tmp_path: Path) -> None:
    tall, ink = Illustration(tmp_path / "tall.png", 1, "tall"), Illustration(tmp_path / "ink.jpg", 1, "ink")
    Image.new("RGB", (500, 2000), "blue").save(tall.path)
    Image.new("CMYK", (20, 10), "blue").save(ink.path)
    export_page(RUNS, [tall, ink], "A", tmp_path / "a.docx")
    shapes = docx.Document(str(tmp_path / "a.docx")).inline_shapes
    assert shapes[0].height <= 9 * 914400
    assert shapes[0].height == pytest.approx(4 * shapes[0].width, rel=1e-3)
    assert len(shapes) == 2


@pytest.mark.parametrize("ending", FORMATS)
def test_a_damaged_image_is_reported_or_copied(ending: str, tmp_path: Path) -> None:
    broken = Illustration(tmp_path / "broken.png", 1, "fox")
    broken.path.write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    if ending == "docx":
        with pytest.raises(BadInput, match=r"broken\.png"):
            export_page(RUNS, [broken], "A", tmp_path / f"a.{ending}")
        assert not (tmp_path / f"a.{ending}").exists()
    else:
        export_page(RUNS, [broken], "A", tmp_path / f"a.{ending}")


@pytest.mark.parametrize("ending", FORMATS)
def test_an_unreadable_image_is_reported(
    ending: str, tmp_path: Path, picture: Illustration, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_missing(path: Path) -> bytes:
        raise FileNotFoundError(2, "No such file or directory", str(path))

    monkeypatch.setattr(Path, "read_bytes", raise_missing)
    with pytest.raises(StudioError, match=f"Could not save a.{ending}"):
        export_page(RUNS, [picture], "A", tmp_path / f"a.{ending}")


def test_a_missing_image_is_left_out(tmp_path: Path) -> None:
    gone = Illustration(tmp_path / "gone.png", 3, "fox")
    for name in ("a.md", "a.html", "a.epub", "a.docx"):
        export_page([AuthorRun("A fox", Author.HUMAN)], [gone], "A", tmp_path / name)
    assert (tmp_path / "a.md").read_text() == "A fox\n"


def test_an_unknown_extension_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot be saved as \.txt"):
        export_page([], [], "", tmp_path / "a.txt")
