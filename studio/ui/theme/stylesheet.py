"""The application's style sheet. It selects widgets by their dynamic property `role`."""

from __future__ import annotations

from dataclasses import asdict
from string import Template

from studio.ui.theme.colours import Colours

_SHEET = Template("""
QWidget { color: $text; font-size: 13px; }
QMainWindow, QDialog { background: $window; }
QToolTip { background: $raised; color: $text; border: 1px solid $border; padding: 4px 8px; }

*[role="panel"] { background: $panel; }
*[role="window"] { background: $window; }
*[role="canvas"] { background: $canvas; }
*[role="bar"] { background: $window; border-top: 1px solid $border; }
*[role="top"] { background: $window; border-bottom: 1px solid $border; }
*[role="popup"] { background: $panel; border: 1px solid $border; border-radius: 8px; }
*[role="card"] { background: $field; border: 1px solid $border; border-radius: 6px; }
*[role="notice"] { background: $raised; border: 1px solid $border; border-radius: 6px; }
*[role="notice"][level="error"] { border: 1px solid $danger; }

QLabel { background: transparent; }
QLabel[role="title"] { font-size: 16px; font-weight: 600; }
QLabel[role="heading"] { font-weight: 600; }
QLabel[role="dim"] { color: $dim; }
QLabel[role="hint"] { color: $dim; }
QLabel[role="caption"] { color: $dim; font-size: 11px; }
QLabel[role="error"] { color: $danger; font-size: 11px; }
QLabel[short="true"] { color: $warning; }
QLabel[stale="true"] { color: $faint; }

QPushButton, QToolButton {
    background: $raised; color: $text; border: 1px solid transparent; border-radius: 6px;
    padding: 5px 11px; min-height: 16px;
}
QToolButton { padding: 4px; }
QPushButton:hover, QToolButton:hover { background: $hover; }
QPushButton:pressed, QToolButton:pressed { background: $border; }
QPushButton:checked, QToolButton:checked { background: $chosen; }
QPushButton:focus, QToolButton:focus { border: 1px solid $faint; }
QPushButton:disabled, QToolButton:disabled { color: $faint; background: $window; }
QPushButton[role="ghost"], QToolButton[role="ghost"] { background: transparent; }
QPushButton[role="ghost"]:hover, QToolButton[role="ghost"]:hover { background: $raised; }
QPushButton[role="ghost"]:checked, QToolButton[role="ghost"]:checked { background: $chosen; }
QPushButton[role="chip"] { padding: 4px 10px; }
QToolButton::menu-indicator { image: none; }
QPushButton[role="fold"] {
    background: transparent; color: $dim; text-align: left; padding: 4px 0px; border-radius: 3px;
}
QPushButton[role="fold"]:hover { color: $text; }
QPushButton[role="primary"] {
    background: $accent; color: $on_accent; font-weight: 600; padding: 9px 16px; min-height: 20px;
}
QPushButton[role="primary"]:hover { background: $accent_hover; }
QPushButton[role="primary"]:focus { border: 1px solid $text; }
QPushButton[role="primary"]:disabled { background: $raised; color: $faint; }

QLabel[role="verb"] { color: $on_accent; font-weight: 600; }
QLabel[role="key"] { color: $on_accent; font-size: 11px; }
QLabel[role="verb"]:disabled, QLabel[role="key"]:disabled { color: $faint; }

QPushButton[role="search"] {
    background: $raised; color: $dim; text-align: left; padding: 5px 12px;
}
QPushButton[role="search"]:hover { color: $text; }

QLineEdit, QPlainTextEdit, QTextEdit, QAbstractSpinBox, QComboBox {
    background: $field; color: $text; border: 1px solid $border; border-radius: 6px; padding: 4px 8px;
    selection-background-color: $chosen; selection-color: $text;
}
QLineEdit, QAbstractSpinBox, QComboBox { min-height: 20px; }
QPlainTextEdit, QTextEdit { padding: 4px; }
QLineEdit QToolButton { background: transparent; border: none; padding: 0px; min-height: 0px; }
QLineEdit:focus, QPlainTextEdit:focus, QTextEdit:focus, QAbstractSpinBox:focus, QComboBox:focus {
    border: 1px solid $faint;
}
QLineEdit:disabled, QPlainTextEdit:disabled, QAbstractSpinBox:disabled, QComboBox:disabled { color: $faint; }
*[invalid="true"] { border: 1px solid $danger; }
QAbstractSpinBox QLineEdit, QComboBox QLineEdit {
    background: transparent; border: none; padding: 0px; min-height: 0px; border-radius: 0px;
}
QAbstractSpinBox::up-button, QAbstractSpinBox::down-button {
    subcontrol-origin: border; subcontrol-position: top right; width: 0px; height: 0px;
}
QAbstractSpinBox[role="value"] {
    background: transparent; border: 1px solid transparent; padding: 0px 4px; min-height: 18px;
}
QAbstractSpinBox[role="value"]:hover { border: 1px solid $border; background: $field; }
QAbstractSpinBox[role="value"]:focus { border: 1px solid $faint; background: $field; }

QComboBox::drop-down { border: none; width: 24px; }
QComboBox QAbstractItemView, QMenu, QListView[role="popup"] {
    background: $raised; color: $text; border: 1px solid $border; padding: 4px; outline: none;
    selection-background-color: $chosen; selection-color: $text;
}
QComboBox QAbstractItemView::item { min-height: 24px; padding: 0px 8px; }
QMenu::item { padding: 6px 24px 6px 12px; border-radius: 4px; }
QMenu::item:selected { background: $chosen; }
QMenu::item:disabled { color: $faint; }
QMenu::separator { height: 1px; background: $border; margin: 4px 8px; }
QMenuBar { background: $window; color: $dim; padding: 0px; border: none; }
QMenuBar::item { background: transparent; padding: 5px 10px; border-radius: 4px; margin: 0px; }
QMenuBar::item:selected, QMenuBar::item:pressed { background: $raised; color: $text; }

QListView, QTreeView, QTableView { background: transparent; border: none; outline: none; }
QListWidget[role="card"] { background: $field; border: 1px solid $border; border-radius: 6px; padding: 2px; }
QListWidget[role="card"][invalid="true"] { border-color: $danger; }
QListWidget[role="card"][hovered="true"] { border-color: $accent; }
QListView[role="commands"]::item { padding: 0px 8px; border-radius: 4px; }
QListView::item:selected, QTreeView::item:selected { background: $hover; color: $text; }

QSlider { min-height: 20px; }
QSlider::groove:horizontal { height: 4px; background: $groove; border-radius: 2px; }
QSlider::sub-page:horizontal { height: 4px; background: $faint; border-radius: 2px; }
QSlider::handle:horizontal { width: 14px; height: 14px; margin: -5px 0px; border-radius: 7px; background: $knob; }
QSlider::handle:horizontal:focus { background: $accent; }
QSlider::sub-page:horizontal:disabled { background: $groove; }

QProgressBar { background: $groove; border: none; border-radius: 3px; max-height: 6px; min-height: 6px; }
QProgressBar::chunk { background: $accent; border-radius: 3px; }

QScrollArea, QScrollArea > QWidget, QScrollArea > QWidget > QWidget { border: none; background: transparent; }
QScrollBar:vertical { background: transparent; width: 10px; margin: 0px; }
QScrollBar:horizontal { background: transparent; height: 10px; margin: 0px; }
QScrollBar::handle { background: $scroll; border-radius: 3px; margin: 2px; min-height: 32px; min-width: 32px; }
QScrollBar::handle:hover { background: $faint; }
QAbstractScrollArea::corner { background: transparent; border: none; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0px; height: 0px; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }

QSplitter::handle { background: $border; }
QSplitter::handle:hover { background: $faint; }
QSplitter::handle:horizontal { width: 1px; }
QSplitter::handle:vertical { height: 1px; }
QFrame[role="line"] { background: $border; border: none; max-height: 1px; min-height: 1px; }
""")


def make_stylesheet(colours: Colours) -> str:
    """Return the application's style sheet in these colours."""
    return _SHEET.substitute(asdict(colours))
