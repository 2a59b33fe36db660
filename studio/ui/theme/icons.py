"""Material Design Icons, drawn from the font that qtawesome ships.

The font is read directly: importing qtawesome costs 160 ms at start, this costs 15. An icon
reads its colour from the theme whenever it is painted, so a new theme needs no new icons.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import msgspec
from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontDatabase, QIcon, QIconEngine, QPainter, QPixmap

from studio.ui.theme import theme

Tone = Literal["text", "dim", "accent", "on_accent", "danger", "faint"]
FALLBACK = "puzzle-outline"


def icon(name: str, tone: Tone = "dim", *, checked: Tone | None = None) -> QIcon:
    """Return an icon by its name, with or without the prefix ``mdi6.``; a puzzle piece if it is unknown.

    `checked` is the tone while its button is checked.
    """
    return QIcon(_Glyph(_read_letter(name), tone, checked or tone))


def pixmap(name: str, size: int, tone: Tone = "dim", ratio: float = 1.0) -> QPixmap:
    """Return an icon as a pixmap. `size` is in device-independent pixels, `ratio` is the screen's pixel ratio."""
    return icon(name, tone).pixmap(QSize(size, size), ratio)


class _Glyph(QIconEngine):
    def __init__(self, letter: str, tone: Tone, checked: Tone) -> None:
        super().__init__()
        self._letter, self._tone, self._checked = letter, tone, checked

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        tone = self._checked if state is QIcon.State.On else self._tone
        colour = theme.COLOURS.faint if mode is QIcon.Mode.Disabled else getattr(theme.COLOURS, tone)
        face = QFont(_load_family())
        face.setPixelSize(max(1, rect.height()))
        painter.save()
        painter.setFont(face)
        painter.setPen(QColor(colour))
        painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, self._letter)
        painter.restore()

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        return self.scaledPixmap(size, mode, state, 1.0)

    def scaledPixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State, scale: float) -> QPixmap:
        """Return the glyph. Qt passes `size` in device pixels."""
        result = QPixmap(size)
        result.fill(Qt.GlobalColor.transparent)
        painter = QPainter(result)
        self.paint(painter, QRect(QPoint(0, 0), size), mode, state)
        painter.end()
        result.setDevicePixelRatio(scale)
        return result

    def clone(self) -> QIconEngine:
        return _Glyph(self._letter, self._tone, self._checked)


@cache
def _read_letter(name: str) -> str:
    codes = _read_codes()
    code = codes.get(name.removeprefix("mdi6.").removeprefix("mdi."), codes.get(FALLBACK, "f0432"))
    return chr(int(code, 16))


@cache
def _read_codes() -> dict[str, str]:
    file = _find_font_file(".json")
    return msgspec.json.decode(file.read_bytes(), type=dict[str, str]) if file else {}


@cache
def _load_family() -> str:
    file = _find_font_file(".ttf")
    if file is None:
        return ""
    families = QFontDatabase.applicationFontFamilies(QFontDatabase.addApplicationFont(str(file)))
    return families[0] if families else ""


@cache
def _find_font_file(suffix: str) -> Path | None:
    """Return qtawesome's font file with this suffix, without importing the package."""
    spec = find_spec("qtawesome")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "fonts"
    return next(iter(sorted(folder.glob(f"materialdesignicons6-*{suffix}"))), None)
