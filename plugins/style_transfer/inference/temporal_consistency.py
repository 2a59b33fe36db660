"""Paintings of frames, held steady: what did not change in the film must not flicker in its painting.

Each painting is mixed with the one before it, moved as the film moves (after Lai et al. 2018). How it moves is
told by dense inverse search (Kroeger et al. 2016). Where the moved frame does not look like the new one, something
appeared there, and the new painting is taken as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE = 640
"""Pixels along the long side at which movement is looked for."""
ALIKE = 10.0
"""Of 255: frames that differ by so much are trusted to exp(-1)."""


class Steadied:
    """`steadiness` 0..1 is the share of the painting before that stays where nothing changed."""

    def __init__(self, steadiness: float) -> None:
        self._steadiness = steadiness
        self._frame: NDArray[np.uint8] | None = None
        self._painting: NDArray[np.uint8] | None = None

    def next(self, frame: NDArray[np.uint8], painting: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The painting [h, w, 3] of a frame [h, w, 3], held steady. Frames come in their order."""
        import numpy as np

        before, latest = self._frame, self._painting
        self._frame, self._painting = frame, painting
        if before is None or latest is None or before.shape != frame.shape or not self._steadiness:
            return painting
        moved, trust = _moved(before, frame, latest)
        share = np.float32(self._steadiness) * trust[..., None]
        self._painting = (np.clip(painting + (moved - painting) * share, 0, 255) + 0.5).astype(np.uint8)
        return self._painting

    def resume(self, frame: NDArray[np.uint8], steadied: NDArray[np.uint8]) -> None:
        """Goes on behind a frame that was held steady before."""
        self._frame, self._painting = frame, steadied


def _moved(
    before: NDArray[np.uint8], frame: NDArray[np.uint8], painting: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The painting of the frame before in the pose of this one, and where that can be trusted (0..1)."""
    import cv2
    import numpy as np

    height, width = frame.shape[:2]
    flow = _flow(frame, before)
    across, down = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    across, down = across + flow[..., 0], down + flow[..., 1]
    more: dict[str, Any] = {"interpolation": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REPLICATE}
    seen = cv2.remap(before, across, down, **more)
    apart = cv2.blur(cv2.absdiff(seen, frame).max(-1).astype(np.float32), (5, 5))
    inside = (across >= 0) & (across <= width - 1) & (down >= 0) & (down <= height - 1)
    trust = np.exp(-((apart / ALIKE) ** 2)) * inside
    more["interpolation"] = cv2.INTER_CUBIC
    return cv2.remap(painting.astype(np.float32), across, down, **more), trust.astype(np.float32)


def _flow(frame: NDArray[np.uint8], before: NDArray[np.uint8]) -> NDArray[np.float32]:
    """For each pixel of a frame, how far away it was in the one before: [h, w, 2] in px."""
    import cv2
    import numpy as np

    height, width = frame.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = (max(16, round(width * scale)), max(16, round(height * scale)))
    grey = [
        cv2.resize(cv2.cvtColor(one, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA) for one in (frame, before)
    ]
    found = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)
    flow = cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR)
    flow *= np.asarray([width / size[0], height / size[1]], np.float32)
    return flow
