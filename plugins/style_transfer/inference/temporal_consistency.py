"""Reduces flicker between stylized frames.

Each stylized frame is mixed with the one before it, warped along the motion of the video (after Lai et al. 2018). The
motion is estimated by dense inverse search optical flow (Kroeger et al. 2016). Where the warped frame differs from the
new one, something appeared, and the new stylized frame is used unchanged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FLOW_SIDE = 640
"""Long side in px at which the optical flow is estimated."""
TOLERANCE = 10.0
"""Difference of frames, of 255, at which the weight of the previous frame falls to exp(-1)."""


class TemporalFilter:
    """`strength` 0..1 is the weight of the previous stylized frame where nothing changed."""

    def __init__(self, strength: float) -> None:
        self._strength = strength
        self._frame: NDArray[np.uint8] | None = None
        self._stylized: NDArray[np.uint8] | None = None

    def filter_frame(self, frame: NDArray[np.uint8], stylized: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the filtered version of a stylized frame. Both are [h, w, 3]; frames must be given in order."""
        import numpy as np

        previous_frame, previous = self._frame, self._stylized
        self._frame, self._stylized = frame, stylized
        if previous_frame is None or previous is None or previous_frame.shape != frame.shape or not self._strength:
            return stylized
        warped, confidence = _warp(previous_frame, frame, previous)
        weight = np.float32(self._strength) * confidence[..., None]
        self._stylized = (np.clip(stylized + (warped - stylized) * weight, 0, 255) + 0.5).astype(np.uint8)
        return self._stylized

    def resume_after(self, frame: NDArray[np.uint8], filtered: NDArray[np.uint8]) -> None:
        """Resume after a frame that was filtered earlier."""
        self._frame, self._stylized = frame, filtered


def _warp(
    previous_frame: NDArray[np.uint8], frame: NDArray[np.uint8], stylized: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Warp the previous stylized frame to the new frame. Returns it and the confidence of each pixel (0..1)."""
    import cv2
    import numpy as np

    height, width = frame.shape[:2]
    flow = _estimate_flow(frame, previous_frame)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    x, y = x + flow[..., 0], y + flow[..., 1]
    options: dict[str, Any] = {"interpolation": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REPLICATE}
    expected = cv2.remap(previous_frame, x, y, **options)
    difference = cv2.blur(cv2.absdiff(expected, frame).max(-1).astype(np.float32), (5, 5))
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    confidence = np.exp(-((difference / TOLERANCE) ** 2)) * inside
    options["interpolation"] = cv2.INTER_CUBIC
    warped = np.asarray(cv2.remap(stylized.astype(np.float32), x, y, **options), np.float32)
    return warped, confidence.astype(np.float32)


def _estimate_flow(frame: NDArray[np.uint8], previous_frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Estimate the offset of each pixel to its position in the previous frame, [h, w, 2] in px."""
    import cv2
    import numpy as np

    height, width = frame.shape[:2]
    scale = min(1.0, FLOW_SIDE / max(height, width))
    size = (max(16, round(width * scale)), max(16, round(height * scale)))
    grey = [
        cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
        for image in (frame, previous_frame)
    ]
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    small_flow = estimator.calc(grey[0], grey[1], np.empty((0, 0), np.float32))
    flow = np.asarray(cv2.resize(small_flow, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    flow *= np.asarray([width / size[0], height / size[1]], np.float32)
    return flow
