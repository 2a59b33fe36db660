"""The look of the application: palette, fonts and style sheet.

Greys have no tint, so that they do not change how colours on the canvas look. The accent marks the
primary action and the selection. Widgets that paint themselves read `theme.COLOURS` at paint time,
because `apply` replaces it.
"""

from __future__ import annotations

from PySide6.QtGui import QColor, QFont, QFontDatabase, QPalette
from PySide6.QtWidgets import QApplication

from studio.core.paths import resources_folder
from studio.ui.theme.colours import DARK, LIGHT, Colours
from studio.ui.theme.stylesheet import make_stylesheet

SPACE = 4
"""Spacing unit in pixels; every distance is a multiple of it."""
BODY, TITLE, CAPTION = 13, 16, 11
"""Type sizes in pixels."""
RADIUS = 6


COLOURS = DARK
"""Colours of the current theme. Read them as `theme.COLOURS`, because `apply` replaces them."""

_font_loaded = False


def apply(app: QApplication, theme: str = "dark") -> None:
    """Apply the theme `dark` or `light` to the application: style, palette, font and style sheet."""
    prepare(app, theme)
    app.setStyleSheet(make_stylesheet(COLOURS))


def prepare(app: QApplication, theme: str = "dark") -> None:
    """Apply the theme without its style sheet, which Qt applies faster to a complete window than to each part."""
    global COLOURS
    COLOURS = LIGHT if theme == "light" else DARK
    if app.style().name() != "fusion":
        app.setStyle("Fusion")
    app.setFont(font())
    app.setPalette(palette(COLOURS))


def font(pixels: int = BODY, *, strong: bool = False) -> QFont:
    """Return the interface font. Qt takes missing glyphs from the system's fonts."""
    _load_fonts()
    face = QFont("Inter")
    face.setPixelSize(pixels)
    face.setWeight(QFont.Weight.DemiBold if strong else QFont.Weight.Normal)
    return face


def reading_font(pixels: int = 18) -> QFont:
    """Return the serif font for pages of text."""
    face = QFont(["Iowan Old Style", "Charter", "Georgia", "Noto Serif", "DejaVu Serif", "serif"])
    face.setStyleHint(QFont.StyleHint.Serif)
    face.setPixelSize(pixels)
    return face


def palette(colours: Colours) -> QPalette:
    """Return Qt's palette in these colours."""
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
    for file in sorted((resources_folder() / "fonts").glob("*.otf")):
        QFontDatabase.addApplicationFont(str(file))
