"""Exports a page of text as Markdown, HTML, EPUB 3 or DOCX, with its illustrations and marks for machine-written text.

An illustration follows the paragraph in which its words end; the words are its alternative text.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from studio.core.errors import BadInput
from studio.core.files import atomic_write, describe_write_error, write_bytes_atomically
from studio.core.page.edits import Author
from studio.core.page.revisions import AuthorRun
from studio.library.storage.export_contents import read_without_paths

if TYPE_CHECKING:
    from docx.section import Section
    from docx.shape import InlineShape
    from docx.text import run as docx_run

FORMATS = {".md": "Markdown", ".html": "HTML", ".epub": "EPUB", ".docx": "Word"}
_STYLESHEET = (
    "body{max-width:34em;margin:3em auto;padding:0 1em;font:1.1em/1.6 Georgia,serif}"
    "figure{margin:1.5em 0}img{max-width:100%}figcaption{font-size:.8em;opacity:.7}.machine{color:#0f4c81}"
    "@media(prefers-color-scheme:dark){body{background:#141414;color:#e6e6e6}.machine{color:#9fc6ee}}"
)
_CONTAINER = "urn:oasis:names:tc:opendocument:xmlns:container"
_EPUB_IMAGE_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
}
"""Media types of the image formats that every EPUB reader shows."""
_INVALID_XML = re.compile("[^\t\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MARKDOWN_ESCAPES = str.maketrans({letter: f"\\{letter}" for letter in "\\`*_{}[]<>#|~"})


@dataclass(frozen=True)
class Illustration:
    """An image, the words that it shows, and the position where they end in the text."""

    path: Path
    end: int
    words: str


@dataclass(frozen=True)
class Paragraph:
    runs: tuple[AuthorRun, ...]
    pictures: tuple[Illustration, ...]

    @property
    def text(self) -> str:
        return "".join(run.text for run in self.runs)


def export_page(runs: Sequence[AuthorRun], pictures: Sequence[Illustration], title: str, to: Path) -> None:
    """Write a page in the format of the file extension. Raises BadInput for an unknown one, CannotWrite on failure."""
    paragraphs = list(split_paragraphs(runs, pictures))
    present = [picture for picture in pictures if picture.path.is_file()]
    try:
        _write_format(paragraphs, present, title, to)
    except OSError as error:
        raise describe_write_error(to, error) from error


def _write_format(paragraphs: Sequence[Paragraph], pictures: Sequence[Illustration], title: str, to: Path) -> None:
    match to.suffix.lower():
        case ".md":
            _copy_images(pictures, to)
            write_bytes_atomically(to, build_markdown(paragraphs, _build_links(pictures, to)).encode())
        case ".html":
            _copy_images(pictures, to)
            write_bytes_atomically(to, build_html(paragraphs, title, _build_links(pictures, to)).encode())
        case ".epub":
            with atomic_write(to) as part:
                _write_epub(part, paragraphs, title, pictures)
        case ".docx":
            with atomic_write(to) as part:
                _write_docx(part, paragraphs, title, pictures)
        case other:
            raise BadInput(
                f"A page cannot be saved as {other or 'a file without an extension'}.",
                "Use .md, .html, .epub or .docx.",
            )


def split_paragraphs(runs: Sequence[AuthorRun], pictures: Sequence[Illustration]) -> Iterator[Paragraph]:
    """Split the text into paragraphs, one per line, with the pictures whose words end in them. Skips empty lines."""
    rest = sorted(pictures, key=lambda picture: picture.end)
    line: list[AuthorRun] = []
    at = 0
    for run in [*runs, AuthorRun("\n", Author.HUMAN)]:
        for number, part in enumerate(run.text.split("\n")):
            if number:
                at += 1
                here = tuple(picture for picture in rest if picture.end < at)
                rest = rest[len(here) :]
                if here or any(words.text.strip() for words in line):
                    yield Paragraph(tuple(line), here)
                line = []
            if part:
                line.append(AuthorRun(part, run.author))
                at += len(part)


def build_markdown(paragraphs: Sequence[Paragraph], names: dict[Path, str]) -> str:
    """Build Markdown with all special characters escaped. Machine-written text is in ``<span class="machine">``."""
    lines = []
    for paragraph in paragraphs:
        words = "".join(
            f'<span class="machine">{_escape_markdown(run.text)}</span>'
            if run.author is Author.MACHINE
            else _escape_markdown(run.text)
            for run in paragraph.runs
        ).strip()
        lines += [_escape_line_start(words)] if words else []
        for picture in paragraph.pictures:
            if picture.path in names:
                lines.append(f"![{_escape_markdown(_collapse_spaces(picture.words))}](<{names[picture.path]}>)")
    return "\n\n".join(lines) + "\n"


def build_html(paragraphs: Sequence[Paragraph], title: str, names: dict[Path, str]) -> str:
    return (
        f'<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>{_escape_xml(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLESHEET}</style></head>\n'
        f"<body>\n{_build_body(paragraphs, names)}</body></html>\n"
    )


def _build_body(paragraphs: Sequence[Paragraph], names: dict[Path, str]) -> str:
    """Build HTML that is also valid XML."""
    lines = []
    for paragraph in paragraphs:
        words = "".join(
            f'<span class="machine">{_escape_xml(run.text)}</span>'
            if run.author is Author.MACHINE
            else _escape_xml(run.text)
            for run in paragraph.runs
        )
        lines += [f'<p dir="auto">{words}</p>\n'] if paragraph.text.strip() else []
        for picture in paragraph.pictures:
            if picture.path in names:
                source, words = html.escape(names[picture.path]), _escape_xml(_collapse_spaces(picture.words))
                lines.append(f'<figure><img src="{source}" alt="{words}" /></figure>\n')
    return "".join(lines)


def _write_epub(part: Path, paragraphs: Sequence[Paragraph], title: str, pictures: Sequence[Illustration]) -> None:
    """Write an EPUB 3.3 with one chapter, its images, and the navigation document that readers require."""
    import uuid
    import zipfile

    names = {
        path: name if path.suffix.lower() in _EPUB_IMAGE_TYPES else f"{name}.png"
        for path, name in _name_images(pictures, "images/").items()
    }
    escaped_title = _escape_xml(title)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    items = "".join(
        f'<item id="i{number}" href="{html.escape(name)}" media-type="{_EPUB_IMAGE_TYPES[Path(name).suffix]}"/>'
        for number, name in enumerate(names.values())
    )
    head = '<?xml version="1.0" encoding="utf-8"?>\n'
    xhtml = '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops">'
    style = ".machine{color:#0f4c81}img{max-width:100%}"
    files = {
        "META-INF/container.xml": f"{head}<container version='1.0' xmlns='{_CONTAINER}'><rootfiles>"
        "<rootfile full-path='EPUB/book.opf' media-type='application/oebps-package+xml'/></rootfiles></container>",
        "EPUB/book.opf": f'{head}<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f'<dc:identifier id="id">urn:uuid:{uuid.uuid4()}</dc:identifier><dc:title>{escaped_title}</dc:title>'
        f'<dc:language>und</dc:language><meta property="dcterms:modified">{now}</meta></metadata><manifest>'
        '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
        f'<item id="text" href="text.xhtml" media-type="application/xhtml+xml"/>{items}</manifest>'
        '<spine><itemref idref="text"/></spine></package>',
        "EPUB/nav.xhtml": f"{head}{xhtml}<head><title>{escaped_title}</title></head><body>"
        f'<nav epub:type="toc"><ol><li><a href="text.xhtml">{escaped_title}</a></li></ol></nav></body></html>',
        "EPUB/text.xhtml": f"{head}{xhtml}<head><title>{escaped_title}</title><style>{style}</style></head>"
        f"<body>{_build_body(paragraphs, names) or '<p></p>'}</body></html>",
    }
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        for name, content in files.items():
            book.writestr(name, content)
        for path, name in names.items():
            packed = read_without_paths(path) if path.suffix.lower() in _EPUB_IMAGE_TYPES else _encode_png(path)
            book.writestr(f"EPUB/{name}", packed, zipfile.ZIP_STORED)


def _write_docx(part: Path, paragraphs: Sequence[Paragraph], title: str, pictures: Sequence[Illustration]) -> None:
    """Write a Word document. Machine-written text has the character style “Written by a model”, which can be edited."""
    import docx
    from docx.enum.style import WD_STYLE_TYPE
    from docx.shared import RGBColor

    book = docx.Document()
    book.core_properties.title, book.core_properties.author = _remove_invalid_xml(title), ""
    book.core_properties.comments = ""
    by_model = book.styles.add_style("Written by a model", WD_STYLE_TYPE.CHARACTER)
    by_model.font.color.rgb = RGBColor.from_string("0F4C81")
    width, height = _text_area(book.sections[0])
    present = {picture.path for picture in pictures}
    for paragraph in paragraphs:
        if paragraph.text.strip():
            line = book.add_paragraph()
            for run in paragraph.runs:
                line.add_run(_remove_invalid_xml(run.text), by_model if run.author is Author.MACHINE else None)
        for picture in paragraph.pictures:
            if picture.path in present:
                shape = _add_image(book.add_paragraph().add_run(), picture.path)
                scale = min(1.0, width / shape.width, height / shape.height)
                shape.width, shape.height = (max(1, round(side * scale)) for side in (shape.width, shape.height))
                shape._inline.docPr.set("descr", _remove_invalid_xml(_collapse_spaces(picture.words)))
    with part.open("wb") as file:
        book.save(file)


def _text_area(section: Section) -> tuple[int, int]:
    """Return width and height between the margins, in EMU."""
    width = (section.page_width or 0) - (section.left_margin or 0) - (section.right_margin or 0)
    height = (section.page_height or 0) - (section.top_margin or 0) - (section.bottom_margin or 0)
    return width, height


def _add_image(run: docx_run.Run, path: Path) -> InlineShape:
    """Add an image to a run, converted to PNG if Word cannot read its format."""
    from docx.image.exceptions import InvalidImageStreamError, UnexpectedEndOfFileError, UnrecognizedImageError

    try:
        return run.add_picture(BytesIO(read_without_paths(path)))
    except (InvalidImageStreamError, UnexpectedEndOfFileError, UnrecognizedImageError):
        return run.add_picture(BytesIO(_encode_png(path)))


def _encode_png(path: Path) -> bytes:
    from studio.core.images import open_picture

    encoded = BytesIO()
    open_picture(path).save(encoded, "PNG")
    return encoded.getvalue()


def _copy_images(pictures: Sequence[Illustration], to: Path) -> None:
    """Copy the images into a folder named after the file."""
    if not pictures:
        return
    folder = to.parent / _images_folder_name(to)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise describe_write_error(folder / "x", error) from error
    for path, name in _name_images(pictures, "").items():
        write_bytes_atomically(folder / name, read_without_paths(path))


def _images_folder_name(to: Path) -> str:
    return f"{to.stem} images"


def _build_links(pictures: Sequence[Illustration], to: Path) -> dict[Path, str]:
    """Return links to the copied images, with `#` and `?` of file names quoted."""
    return {path: quote(name) for path, name in _name_images(pictures, f"{_images_folder_name(to)}/").items()}


def _name_images(pictures: Sequence[Illustration], folder: str) -> dict[Path, str]:
    """Number the images, each file once."""
    paths = dict.fromkeys(picture.path for picture in pictures)
    return {path: f"{folder}image-{number}{path.suffix.lower()}" for number, path in enumerate(paths, 1)}


def _escape_markdown(text: str) -> str:
    return text.replace("&", "&amp;").translate(_MARKDOWN_ESCAPES)


def _escape_line_start(line: str) -> str:
    """Escape characters that would start a list, a rule or a heading at the beginning of a line."""
    digits = len(line) - len(line.lstrip("0123456789"))
    if digits and line[digits : digits + 1] in (".", ")"):
        return f"{line[:digits]}\\{line[digits:]}"
    return f"\\{line}" if line[:1] in ("-", "+", "=") else line


def _escape_xml(text: str) -> str:
    return html.escape(_remove_invalid_xml(text))


def _remove_invalid_xml(text: str) -> str:
    """Remove control characters and others that XML cannot hold."""
    return _INVALID_XML.sub("", text)


def _collapse_spaces(words: str) -> str:
    return " ".join(words.split())
