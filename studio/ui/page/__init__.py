"""The page of text on the canvas."""

from studio.ui.page.view import PageView

__all__ = ["PageView"]
