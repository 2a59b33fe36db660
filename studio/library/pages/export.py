"""A page of text as a file for others: Markdown, HTML, EPUB 3 or DOCX, with its pictures and who wrote which words.

A picture stands after the paragraph in which its words end; the words are its alternative text.
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
from studio.core.page.revisions import Run

if TYPE_CHECKING:
    from docx.section import Section
    from docx.shape import InlineShape
    from docx.text.run import Run as DocxRun

FORMATS = {".md": "Markdown", ".html": "HTML", ".epub": "EPUB", ".docx": "Word"}
_STYLE = (
    "body{max-width:34em;margin:3em auto;padding:0 1em;font:1.1em/1.6 Georgia,serif}"
    "figure{margin:1.5em 0}img{max-width:100%}figcaption{font-size:.8em;opacity:.7}.machine{color:#0f4c81}"
    "@media(prefers-color-scheme:dark){body{background:#141414;color:#e6e6e6}.machine{color:#9fc6ee}}"
)
_CONTAINER = "urn:oasis:names:tc:opendocument:xmlns:container"
_IN_BOOKS = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
}
"""Formats of pictures that every EPUB reader shows."""
_NOT_IN_XML = re.compile("[^\t\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MARKDOWN = str.maketrans({letter: f"\\{letter}" for letter in "\\`*_{}[]<>#|~"})


@dataclass(frozen=True)
class Illustration:
    """A picture, and where its words end in the text."""

    path: Path
    end: int
    words: str


@dataclass(frozen=True)
class Paragraph:
    runs: tuple[Run, ...]
    pictures: tuple[Illustration, ...]

    @property
    def text(self) -> str:
        return "".join(run.text for run in self.runs)


def export(runs: Sequence[Run], pictures: Sequence[Illustration], title: str, to: Path) -> None:
    """Writes the page in the format that the name ends in. Raises BadInput for another, CannotWrite if it cannot."""
    paragraphs = list(parted(runs, pictures))
    there = [one for one in pictures if one.path.is_file()]
    try:
        _write(paragraphs, there, title, to)
    except OSError as error:
        raise describe_write_error(to, error) from error


def _write(paragraphs: Sequence[Paragraph], there: Sequence[Illustration], title: str, to: Path) -> None:
    match to.suffix.lower():
        case ".md":
            _beside(there, to)
            write_bytes_atomically(to, markdown(paragraphs, _links(there, to)).encode())
        case ".html":
            _beside(there, to)
            write_bytes_atomically(to, page(paragraphs, title, _links(there, to)).encode())
        case ".epub":
            with atomic_write(to) as part:
                _write_epub(part, paragraphs, title, there)
        case ".docx":
            with atomic_write(to) as part:
                _write_docx(part, paragraphs, title, there)
        case other:
            raise BadInput(
                f"A page cannot be saved as {other or 'a file without an ending'}.", "Use .md, .html, .epub or .docx."
            )


def parted(runs: Sequence[Run], pictures: Sequence[Illustration]) -> Iterator[Paragraph]:
    """One paragraph a line, the empty ones left out."""
    rest = sorted(pictures, key=lambda one: one.end)
    line: list[Run] = []
    at = 0
    for run in [*runs, Run("\n", Author.HUMAN)]:
        for number, part in enumerate(run.text.split("\n")):
            if number:
                at += 1
                here = tuple(one for one in rest if one.end < at)
                rest = rest[len(here) :]
                if here or any(one.text.strip() for one in line):
                    yield Paragraph(tuple(line), here)
                line = []
            if part:
                line.append(Run(part, run.author))
                at += len(part)


def markdown(paragraphs: Sequence[Paragraph], names: dict[Path, str]) -> str:
    """Every character stands for itself. What a model wrote is in ``<span class="machine">``, as HTML reads it too."""
    lines = []
    for paragraph in paragraphs:
        words = "".join(
            f'<span class="machine">{_escaped(run.text)}</span>' if run.author is Author.MACHINE else _escaped(run.text)
            for run in paragraph.runs
        ).strip()
        lines += [_line_start(words)] if words else []
        for one in paragraph.pictures:
            if one.path in names:
                lines.append(f"![{_escaped(_short(one.words))}](<{names[one.path]}>)")
    return "\n\n".join(lines) + "\n"


def page(paragraphs: Sequence[Paragraph], title: str, names: dict[Path, str]) -> str:
    return (
        f'<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>{_xml(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f"<body>\n{_body(paragraphs, names)}</body></html>\n"
    )


def _body(paragraphs: Sequence[Paragraph], names: dict[Path, str]) -> str:
    """HTML that is XML as well."""
    lines = []
    for paragraph in paragraphs:
        words = "".join(
            f'<span class="machine">{_xml(run.text)}</span>' if run.author is Author.MACHINE else _xml(run.text)
            for run in paragraph.runs
        )
        lines += [f'<p dir="auto">{words}</p>\n'] if paragraph.text.strip() else []
        for one in paragraph.pictures:
            if one.path in names:
                source, words = html.escape(names[one.path]), _xml(_short(one.words))
                lines.append(f'<figure><img src="{source}" alt="{words}" /></figure>\n')
    return "".join(lines)


def _write_epub(part: Path, paragraphs: Sequence[Paragraph], title: str, pictures: Sequence[Illustration]) -> None:
    """EPUB 3.3: one chapter, its pictures, and the contents that readers ask for."""
    import uuid
    import zipfile

    names = {
        path: name if path.suffix.lower() in _IN_BOOKS else f"{name}.png"
        for path, name in _names(pictures, "images/").items()
    }
    said = _xml(title)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    items = "".join(
        f'<item id="i{number}" href="{html.escape(name)}" media-type="{_IN_BOOKS[Path(name).suffix]}"/>'
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
        f'<dc:identifier id="id">urn:uuid:{uuid.uuid4()}</dc:identifier><dc:title>{said}</dc:title>'
        f'<dc:language>und</dc:language><meta property="dcterms:modified">{now}</meta></metadata><manifest>'
        '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
        f'<item id="text" href="text.xhtml" media-type="application/xhtml+xml"/>{items}</manifest>'
        '<spine><itemref idref="text"/></spine></package>',
        "EPUB/nav.xhtml": f"{head}{xhtml}<head><title>{said}</title></head><body>"
        f'<nav epub:type="toc"><ol><li><a href="text.xhtml">{said}</a></li></ol></nav></body></html>',
        "EPUB/text.xhtml": f"{head}{xhtml}<head><title>{said}</title><style>{style}</style></head>"
        f"<body>{_body(paragraphs, names) or '<p></p>'}</body></html>",
    }
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        for name, content in files.items():
            book.writestr(name, content)
        for path, name in names.items():
            packed = path.read_bytes() if path.suffix.lower() in _IN_BOOKS else _png(path)
            book.writestr(f"EPUB/{name}", packed, zipfile.ZIP_STORED)


def _write_docx(part: Path, paragraphs: Sequence[Paragraph], title: str, pictures: Sequence[Illustration]) -> None:
    """Words of a model are in the character style “Written by a model”, so that they can be found and dressed."""
    import docx
    from docx.enum.style import WD_STYLE_TYPE
    from docx.shared import RGBColor

    book = docx.Document()
    book.core_properties.title, book.core_properties.author = _said(title), ""
    book.core_properties.comments = ""
    by_model = book.styles.add_style("Written by a model", WD_STYLE_TYPE.CHARACTER)
    by_model.font.color.rgb = RGBColor.from_string("0F4C81")
    width, height = _room(book.sections[0])
    names = {one.path for one in pictures}
    for paragraph in paragraphs:
        if paragraph.text.strip():
            line = book.add_paragraph()
            for run in paragraph.runs:
                line.add_run(_said(run.text), by_model if run.author is Author.MACHINE else None)
        for one in paragraph.pictures:
            if one.path in names:
                shown = _placed(book.add_paragraph().add_run(), one.path)
                share = min(1.0, width / shown.width, height / shown.height)
                shown.width, shown.height = (max(1, round(side * share)) for side in (shown.width, shown.height))
                shown._inline.docPr.set("descr", _said(_short(one.words)))
    with part.open("wb") as file:
        book.save(file)


def _room(section: Section) -> tuple[int, int]:
    """Width and height of a page between its margins, in the format's own units."""
    wide = (section.page_width or 0) - (section.left_margin or 0) - (section.right_margin or 0)
    high = (section.page_height or 0) - (section.top_margin or 0) - (section.bottom_margin or 0)
    return wide, high


def _placed(run: DocxRun, path: Path) -> InlineShape:
    """As PNG where the file is of a format that word processors do not read."""
    from docx.image.exceptions import InvalidImageStreamError, UnexpectedEndOfFileError, UnrecognizedImageError

    try:
        return run.add_picture(BytesIO(path.read_bytes()))
    except (InvalidImageStreamError, UnexpectedEndOfFileError, UnrecognizedImageError):
        return run.add_picture(BytesIO(_png(path)))


def _png(path: Path) -> bytes:
    from studio.core.images import open_picture

    made = BytesIO()
    open_picture(path).save(made, "PNG")
    return made.getvalue()


def _beside(pictures: Sequence[Illustration], to: Path) -> None:
    """Copies the pictures into a folder that is called after the file."""
    if not pictures:
        return
    folder = to.parent / _folder(to)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise describe_write_error(folder / "x", error) from error
    for path, name in _names(pictures, "").items():
        write_bytes_atomically(folder / name, path.read_bytes())


def _folder(to: Path) -> str:
    return f"{to.stem} pictures"


def _links(pictures: Sequence[Illustration], to: Path) -> dict[Path, str]:
    """As addresses, in which `#` and `?` of a file's name mean something else."""
    return {path: quote(name) for path, name in _names(pictures, f"{_folder(to)}/").items()}


def _names(pictures: Sequence[Illustration], folder: str) -> dict[Path, str]:
    paths = dict.fromkeys(one.path for one in pictures)
    return {path: f"{folder}picture-{number}{path.suffix.lower()}" for number, path in enumerate(paths, 1)}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").translate(_MARKDOWN)


def _line_start(line: str) -> str:
    """What would begin a list, a rule or a heading at the beginning of a line is taken at its word."""
    digits = len(line) - len(line.lstrip("0123456789"))
    if digits and line[digits : digits + 1] in (".", ")"):
        return f"{line[:digits]}\\{line[digits:]}"
    return f"\\{line}" if line[:1] in ("-", "+", "=") else line


def _xml(text: str) -> str:
    return html.escape(_said(text))


def _said(text: str) -> str:
    """Without control characters and the like, which XML cannot hold at all."""
    return _NOT_IN_XML.sub("", text)


def _short(words: str) -> str:
    return " ".join(words.split())
