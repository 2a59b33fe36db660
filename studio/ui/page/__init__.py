"""The page of text on the canvas."""

from studio.ui.page.page_view import PageView

__all__ = ["PageView"]
