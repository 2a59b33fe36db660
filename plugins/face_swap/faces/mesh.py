"""The dense mesh of a face: 468 points by MediaPipe's network (arXiv:1907.06724), their groups, and the head's pose."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .detector import Detection
    from .networks import Network

    Points = NDArray[np.float32]

SIDE = 192
MARGIN = 1.5
"""Side of the crop, relative to the longer side of the box."""

DOUBTFUL = 12.0
"""Logit below which a face may be upside down: upright faces have more, those upside down rarely reach 9."""
UNLIKELY = 4.0
CLEARER = 3.0
"""Margin by which the logit of the turned crop must be higher."""

# Indices of points. "Left" and "right" are those of the image.
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
LEFT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
RIGHT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
LEFT_BROW = (46, 53, 52, 65, 55, 107, 66, 105, 63, 70)
RIGHT_BROW = (276, 283, 282, 295, 285, 336, 296, 334, 293, 300)
NOSE_RIDGE = (168, 6, 197, 195, 5, 4)
NOSTRILS = (98, 97, 2, 326, 327)
NOSE_TIP = (1, 4)
"""The tip lies between these two."""
MOUTH_CORNERS = (61, 291)
EYE_CORNERS = (33, 263)
"""The outer corners."""
FOREHEAD, CHIN, LEFT_SIDE, RIGHT_SIDE = 10, 152, 234, 454


@dataclass(frozen=True)
class Pose:
    """Rotation of the head in degrees."""

    yaw: float
    """Above 0 the face is turned to the right of the image."""
    pitch: float
    """Above 0 the face looks down. Faces that look straight ahead have about 10."""
    roll: float
    """Above 0 the head is tilted clockwise."""


@dataclass(frozen=True)
class Crop:
    """A rotated square of the image."""

    x: float
    y: float
    side: float
    angle: float
    """Radians, clockwise."""

    def to_image(self) -> NDArray[np.float64]:
        """Return the matrix [2, 3] that maps pixels of the crop onto the image."""
        import numpy as np

        scale = self.side / SIDE
        cos, sin = math.cos(self.angle) * scale, math.sin(self.angle) * scale
        half = SIDE / 2
        return np.array([[cos, -sin, self.x - cos * half + sin * half], [sin, cos, self.y - sin * half - cos * half]])

    def differs(self, other: Crop) -> bool:
        """Check whether a mesh of one crop would profit from being computed in the other."""
        turn = abs((self.angle - other.angle + math.pi) % (2 * math.pi) - math.pi)
        distance = math.hypot(self.x - other.x, self.y - other.y)
        ratio = max(self.side, other.side) / max(1e-6, min(self.side, other.side))
        return turn > math.radians(8) or distance > 0.06 * self.side or ratio > 1.12


@dataclass(frozen=True)
class Mesh:
    """`points` [468, 3] in pixels of the image; z is smaller where nearer, and 0 about the centre of the head."""

    points: Points
    logit: float
    """Log odds of an upright face in the crop."""

    @property
    def confidence(self) -> float:
        """The probability of a face in the crop, 0..1."""
        return 1 / (1 + math.exp(-min(80.0, max(-80.0, self.logit))))


def find_mesh(network: Network, image: NDArray[np.uint8], detection: Detection) -> Mesh:
    """Compute the mesh of a detected face in an image [h, w, 3] (RGB).

    A face of which the network is not sure is tried upside down as well, since the detector takes the eyes of such
    faces for the wrong ones, and one that is unlikely on its sides. A second crop, from the first mesh, is used where
    it differs.
    """
    first, last = detection.points[0], detection.points[1]
    angle = math.atan2(last[1] - first[1], last[0] - first[0])
    x, y = (detection.left + detection.right) / 2, (detection.top + detection.bottom) / 2
    crop = Crop(x, y, MARGIN * detection.side, angle)
    mesh = compute_mesh(network, image, crop)
    for turn, limit in ((math.pi, DOUBTFUL), (math.pi / 2, UNLIKELY), (-math.pi / 2, UNLIKELY)):
        if mesh.logit < limit:
            turned_crop = Crop(x, y, crop.side, angle + turn)
            turned = compute_mesh(network, image, turned_crop)
            if turned.logit > mesh.logit + CLEARER:
                mesh, crop = turned, turned_crop
    again = _crop_around(mesh.points)
    if not again.differs(crop):
        return mesh
    refined = compute_mesh(network, image, again)
    return refined if refined.confidence >= 0.5 * mesh.confidence else mesh


def compute_mesh(network: Network, image: NDArray[np.uint8], crop: Crop) -> Mesh:
    """Compute the mesh in one crop."""
    import numpy as np

    matrix = crop.to_image()
    values, logit = network(cut_square(image, matrix, SIDE).astype(np.float32) / np.float32(255))
    local = values.reshape(-1, 3)
    points = np.empty_like(local)
    points[:, :2] = local[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    points[:, 2] = local[:, 2] * (crop.side / SIDE)
    return Mesh(points.astype(np.float32), float(logit[0]))


def cut_square(image: NDArray[np.uint8], matrix: NDArray[np.float64], side: int) -> NDArray[np.uint8]:
    """Cut a square out of an image, by the matrix that maps its pixels onto the image."""
    import cv2
    import numpy as np

    scale = math.hypot(matrix[0, 0], matrix[1, 0])
    if scale > 2:  # reduce first, since the warp itself does not average
        factor = 1 / (scale / 1.5)
        height, width = image.shape[:2]
        corners = np.array([[0, 0], [side, 0], [0, side], [side, side]]) @ matrix[:, :2].T + matrix[:, 2]
        left, top = np.clip(np.floor(corners.min(0)).astype(int) - 2, 0, (width - 1, height - 1))
        right, bottom = np.clip(np.ceil(corners.max(0)).astype(int) + 2, (left + 1, top + 1), (width, height))
        part = image[top:bottom, left:right]
        size = max(1, round(part.shape[1] * factor)), max(1, round(part.shape[0] * factor))
        reduced = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        ratio = np.array([size[0] / part.shape[1], size[1] / part.shape[0]])
        matrix = np.column_stack([matrix[:, :2], matrix[:, 2] - (left, top) + 0.5]) * ratio[:, None]
        matrix[:, 2] -= 0.5
        image = np.asarray(reduced, np.uint8)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(image, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def _crop_around(points: Points) -> Crop:
    """Return the crop for the second pass: around the mesh, with the outer corners of the eyes level."""
    import numpy as np

    angle = _roll(points)
    cos, sin = math.cos(angle), math.sin(angle)
    turn = np.array([[cos, sin], [-sin, cos]])
    turned = points[:, :2] @ turn.T
    low, high = turned.min(0), turned.max(0)
    x, y = ((low + high) / 2) @ turn
    return Crop(float(x), float(y), MARGIN * float((high - low).max()), angle)


def _roll(points: Points) -> float:
    left, right = points[EYE_CORNERS[0]], points[EYE_CORNERS[1]]
    return math.atan2(right[1] - left[1], right[0] - left[0])


def compute_pose(points: Points) -> Pose:
    """Compute the pose from the sides, top and bottom of the face."""
    across = points[RIGHT_SIDE] - points[LEFT_SIDE]
    down = points[CHIN] - points[FOREHEAD]
    yaw = math.atan2(across[2], math.hypot(across[0], across[1]))
    pitch = math.atan2(down[2], math.hypot(down[0], down[1]))
    return Pose(math.degrees(yaw), math.degrees(pitch), math.degrees(_roll(points)))


def eye_centers(points: Points) -> Points:
    """Return the centres of the eyes [2, 2], left in the image first."""
    import numpy as np

    return np.stack([points[list(eye), :2].mean(0) for eye in (LEFT_EYE, RIGHT_EYE)])


def five_points(points: Points) -> Points:
    """Return eye centres, nose tip and mouth corners [5, 2], as face recognition aligns by."""
    import numpy as np

    nose = points[list(NOSE_TIP), :2].mean(0, keepdims=True)
    return np.concatenate([eye_centers(points), nose, points[list(MOUTH_CORNERS), :2]])
