"""Checks a pair of faces before a swap: what prevents it, and what will look wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..faces.finder import Face

MAX_TURN = 40.0
"""Difference of the yaw in degrees above which a swap is refused."""
WARN_TURN = 20.0
MAX_TILT = 35.0
"""Difference of the pitch in degrees above which a swap is refused."""
MIN_SIZE = 24.0
"""Smallest face in pixels."""
MAX_OUTSIDE = 0.15
MAX_OCCLUSION = 0.45
LIGHT_DIFFERENCE = 14.0
"""Difference between the lightness (Lab) of the two cheeks, seen from one face to the other, that is noticed."""


@dataclass
class PairCheck:
    """`refusal` is a sentence, or empty. `score` is 0..100, what remains after the `reasons`."""

    refusal: str = ""
    reasons: list[str] = field(default_factory=list)
    score: int = 100

    def lower(self, points: float, reason: str) -> None:
        self.score = max(0, self.score - round(points))
        self.reasons.append(reason)

    def describe(self) -> dict[str, Any]:
        return {"score": self.score, "reasons": self.reasons}


def check_face(face: Face, name: str) -> str:
    """Return why a face cannot be used for a swap, as a sentence; empty if it can."""
    if face.confidence < 0.5:
        return f"{name} is not clearly a face: it may be a strict profile, covered, or an animal."
    if face.size < MIN_SIZE:
        return f"{name} is only {face.size:.0f} px large; it needs {MIN_SIZE:.0f}."
    if face.outside > MAX_OUTSIDE:
        return f"{name} is cut by the border of the image."
    if face.occlusion > MAX_OCCLUSION:
        return f"{name} seems to be covered, such as by a hand, a mask or sunglasses."
    return ""


def check_pair(
    source: Face, source_image: NDArray[np.uint8], target: Face, target_image: NDArray[np.uint8]
) -> PairCheck:
    """Check a source face, mirrored if that fits better, against a target face."""
    check = PairCheck(check_face(source, "The source face") or check_face(target, "The target face"))
    turn = abs(source.pose.yaw - target.pose.yaw)
    tilt = abs(source.pose.pitch - target.pose.pitch)
    if not check.refusal and turn > MAX_TURN:
        check.refusal = f"The faces are turned {turn:.0f}° apart, which cannot be bridged (at most {MAX_TURN:.0f}°)."
    if not check.refusal and tilt > MAX_TILT:
        check.refusal = f"One face looks up and the other down: {tilt:.0f}° apart (at most {MAX_TILT:.0f}°)."
    if turn > WARN_TURN / 2:
        reason = f"the faces are turned {turn:.0f}° apart"
        check.lower(turn, reason)
    if source.size < 0.6 * target.size:
        check.lower(25 * (1 - source.size / target.size), "the source face is smaller and will look soft")
    elif source.sharpness < 0.5 * target.sharpness:
        check.lower(15, "the source face is less sharp")
    for face, name in ((source, "source"), (target, "target")):
        if face.occlusion > 0.2:
            check.lower(40 * face.occlusion, f"the {name} face is partly covered or bearded")
    lights = measure_light(source_image, source.points), measure_light(target_image, target.points)
    if lights[0] * lights[1] < 0 and abs(lights[0] - lights[1]) > LIGHT_DIFFERENCE:
        check.lower(15, "the light comes from the other side")
    return check


def measure_light(image: NDArray[np.uint8], points: NDArray[np.float32]) -> float:
    """Return how much lighter (Lab) the right cheek in the image is than the left one."""
    import cv2
    import numpy as np

    height, width = image.shape[:2]
    means = []
    for cheek in ((50, 101, 118, 36, 205), (280, 330, 347, 266, 425)):
        at = np.rint(points[list(cheek), :2]).astype(int)
        at = np.clip(at, 0, (width - 1, height - 1))
        colours = image[at[:, 1], at[:, 0]].astype(np.float32)[None] / np.float32(255)
        means.append(float(cv2.cvtColor(colours, cv2.COLOR_RGB2LAB)[..., 0].mean()))
    return means[1] - means[0]


def prefers_mirror(source: Face, target: Face) -> bool:
    """Check whether the mirror image of the source is turned more like the target, beyond doubt."""
    return abs(-source.pose.yaw - target.pose.yaw) + 8 < abs(source.pose.yaw - target.pose.yaw)
