"""The canvas: pictures, animations, pages of text and model cards, looked at closely."""

from studio.ui.canvas.canvas import Canvas

__all__ = ["Canvas"]
