"""The canvas: shows pictures, animations, texts and model cards."""

from studio.ui.canvas.canvas import Canvas

__all__ = ["Canvas"]
