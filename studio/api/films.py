"""Read the frames of animated images and videos, each with the time for which it is shown."""

from __future__ import annotations

from studio.core.films import Film, Frame, open_film, picture_of, to_rate

__all__ = ["Film", "Frame", "open_film", "picture_of", "to_rate"]
