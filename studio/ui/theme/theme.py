"""The look: neutral greys, one accent, two type sizes and a caption, spacing in steps of 4 px.

Greys carry no tint, so that colours on the canvas are judged truly. The accent marks the one next
action and what is chosen. Everything painted by hand reads `theme.COLOURS` at paint time, since
`apply` replaces it.
"""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtGui import QColor, QFont, QFontDatabase, QPalette
from PySide6.QtWidgets import QApplication

from studio.core.paths import resources
from studio.ui.theme.stylesheet import sheet

SPACE = 4
"""Every distance is a multiple of this, in pixels."""
BODY, TITLE, CAPTION = 13, 16, 11
"""Type sizes in pixels."""
RADIUS = 6


@dataclass(frozen=True)
class Colours:
    """`raised` is a button or chip, `chosen` one that is selected; `faint` is for hints; `machine` for words that a
    model wrote, `scroll` for the handle of a scroll bar, on any ground; `shadow` is one of several layers."""

    window: str
    panel: str
    canvas: str
    field: str
    raised: str
    hover: str
    chosen: str
    border: str
    text: str
    dim: str
    faint: str
    accent: str
    accent_hover: str
    on_accent: str
    danger: str
    warning: str
    good: str
    groove: str
    knob: str
    machine: str
    scroll: str
    shadow: str


DARK = Colours(
    window="#1e1e1e",
    panel="#242424",
    canvas="#141414",
    field="#1a1a1a",
    raised="#2e2e2e",
    hover="#383838",
    chosen="#4a4a4a",
    border="#333333",
    text="#e6e6e6",
    dim="#a6a6a6",
    faint="#8c8c8c",
    accent="#e8a33d",
    accent_hover="#f0b355",
    on_accent="#1a1206",
    danger="#f0837a",
    warning="#e6cb6c",
    good="#8fc98f",
    groove="#3a3a3a",
    knob="#ececec",
    machine="#9fc6ee",
    scroll="#444444",
    shadow="#0e000000",
)
LIGHT = Colours(
    window="#ececec",
    panel="#f6f6f6",
    canvas="#d4d4d4",
    field="#ffffff",
    raised="#e2e2e2",
    hover="#d8d8d8",
    chosen="#c4c4c4",
    border="#cccccc",
    text="#1c1c1c",
    dim="#565656",
    faint="#6a6a6a",
    accent="#e09a2f",
    accent_hover="#eaa640",
    on_accent="#1a1206",
    danger="#b3261e",
    warning="#7a5900",
    good="#2e6b2e",
    groove="#c2c2c2",
    knob="#4a4a4a",
    machine="#0f4c81",
    scroll="#adadad",
    shadow="#05000000",
)
COLOURS = DARK
"""The colours in force. Read it as `theme.COLOURS`; `apply` replaces it."""

_font_loaded = False


def apply(app: QApplication, theme: str = "dark") -> None:
    """Puts `dark` or `light` on the whole application: style, palette, font and style sheet."""
    prepare(app, theme)
    app.setStyleSheet(sheet(COLOURS))


def prepare(app: QApplication, theme: str = "dark") -> None:
    """All but the style sheet, which is quicker put on a whole window than on its parts one by one."""
    global COLOURS
    COLOURS = LIGHT if theme == "light" else DARK
    if app.style().name() != "fusion":
        app.setStyle("Fusion")
    app.setFont(font())
    app.setPalette(palette(COLOURS))


def font(pixels: int = BODY, *, strong: bool = False) -> QFont:
    """The shipped face; letters that it lacks come from the system's fonts."""
    _load_fonts()
    face = QFont("Inter")
    face.setPixelSize(pixels)
    face.setWeight(QFont.Weight.DemiBold if strong else QFont.Weight.Normal)
    return face


def reading_font(pixels: int = 18) -> QFont:
    """A serif for pages of text."""
    face = QFont(["Iowan Old Style", "Charter", "Georgia", "Noto Serif", "DejaVu Serif", "serif"])
    face.setStyleHint(QFont.StyleHint.Serif)
    face.setPixelSize(pixels)
    return face


def palette(colours: Colours) -> QPalette:
    roles = {
        QPalette.ColorRole.Window: colours.window,
        QPalette.ColorRole.WindowText: colours.text,
        QPalette.ColorRole.Base: colours.field,
        QPalette.ColorRole.AlternateBase: colours.panel,
        QPalette.ColorRole.ToolTipBase: colours.raised,
        QPalette.ColorRole.ToolTipText: colours.text,
        QPalette.ColorRole.PlaceholderText: colours.faint,
        QPalette.ColorRole.Text: colours.text,
        QPalette.ColorRole.Button: colours.raised,
        QPalette.ColorRole.ButtonText: colours.text,
        QPalette.ColorRole.BrightText: colours.accent,
        QPalette.ColorRole.Highlight: colours.chosen,
        QPalette.ColorRole.HighlightedText: colours.text,
        QPalette.ColorRole.Link: colours.accent,
        QPalette.ColorRole.Light: colours.hover,
        QPalette.ColorRole.Mid: colours.border,
        QPalette.ColorRole.Dark: colours.canvas,
        QPalette.ColorRole.Accent: colours.accent,
    }
    result = QPalette()
    for role, colour in roles.items():
        result.setColor(role, QColor(colour))
    for role in (QPalette.ColorRole.WindowText, QPalette.ColorRole.Text, QPalette.ColorRole.ButtonText):
        result.setColor(QPalette.ColorGroup.Disabled, role, QColor(colours.faint))
    return result


def _load_fonts() -> None:
    global _font_loaded
    if _font_loaded:
        return
    _font_loaded = True
    for file in sorted((resources() / "fonts").glob("*.otf")):
        QFontDatabase.addApplicationFont(str(file))
