"""Draws found faces into an image: boxes, numbers and the mesh."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import mesh

if TYPE_CHECKING:
    from PIL.Image import Image

    from .finder import Face

BOX = "#2f7cf6"
DOUBTFUL = "#d98200"
"""Colour of faces that are covered, cut by the border or uncertain."""
_LINES = (mesh.LEFT_EYE, mesh.RIGHT_EYE, mesh.LIPS, mesh.INNER_LIPS, mesh.OVAL)


def draw_faces(picture: Image, faces: Sequence[Face], *, show_mesh: bool) -> Image:
    """Return a copy of an RGB image with the faces drawn into it."""
    from PIL import ImageDraw, ImageFont

    drawn = picture.copy()
    draw = ImageDraw.Draw(drawn)
    width = max(1, round(max(picture.size) / 400))
    for face in faces:
        colour = DOUBTFUL if is_doubtful(face) else BOX
        if show_mesh:
            _draw_mesh(draw, face, max(1, width // 2))
        draw.rectangle((face.left, face.top, face.right, face.bottom), outline=colour, width=width)
        font = ImageFont.load_default(max(11.0, min(face.size / 4, max(picture.size) / 24)))
        text = str(face.number)
        left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
        pad = width + 2
        x = min(max(face.left, 0), picture.width - (right - left) - 2 * pad)
        y = min(max(face.top, 0), picture.height - (bottom - top) - 2 * pad)
        draw.rectangle((x, y, x + right - left + 2 * pad, y + bottom - top + 2 * pad), fill=colour)
        draw.text((x + pad - left, y + pad - top), text, fill="#ffffff", font=font)
    return drawn


def is_doubtful(face: Face) -> bool:
    """Check whether a face is covered, cut by the border, or not confirmed by the mesh."""
    return face.occlusion > 0.3 or face.outside > 0.1 or face.confidence < 0.5


def _draw_mesh(draw: object, face: Face, width: int) -> None:
    from PIL.ImageDraw import ImageDraw

    assert isinstance(draw, ImageDraw)
    for x, y, _ in face.points:
        draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill="#7bdc8a")
    for indices in _LINES:
        points = [(float(face.points[index][0]), float(face.points[index][1])) for index in (*indices, indices[0])]
        draw.line(points, fill="#7bdc8a", width=width)
