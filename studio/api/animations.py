"""Read the frames of animated images and videos, each with the time for which it is shown."""

from __future__ import annotations

from studio.core.animations import AnimationReader, Frame, image_of, open_animation, to_rate

__all__ = ["AnimationReader", "Frame", "image_of", "open_animation", "to_rate"]
