"""The page of text."""

from studio.ui.page.page_view import PageView

__all__ = ["PageView"]
