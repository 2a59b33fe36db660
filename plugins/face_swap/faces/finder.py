"""Finds the faces of an image, numbers them, and measures pose, size, sharpness and occlusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import detector, mesh, quality
from .mesh import Pose

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .detector import Detection
    from .networks import FaceNetworks

CERTAIN, CERTAIN_IN_TILE = 0.75, 0.85
"""Scores of the detector from which a candidate is a face, even if the mesh is not sure, as in profiles."""
POSSIBLE = 0.03
"""Confidence of the mesh below which a candidate is no face, unless the score is above `UNDOUBTED`."""
UNDOUBTED = 0.9
CONFIRMED_SCORE, CONFIRMED = 0.5, 0.6
"""Score of the detector, and confidence of the mesh, which are enough together."""
SMALL = 0.1
"""Side of a face, relative to the long side of the image, below which there may be smaller ones to look for."""
MAX_LEVEL = 3
MIN_TILE = 256
"""Side of the smallest tiles in pixels."""
MAX_FACES = 30


@dataclass(frozen=True)
class Face:
    """A face in an image; all lengths are in pixels."""

    number: int
    """From 1, in reading order."""
    left: float
    top: float
    right: float
    bottom: float
    score: float
    """Of the detector, 0..1."""
    confidence: float
    """Of the mesh, 0..1."""
    points: NDArray[np.float32]
    """The mesh, [468, 3]; see `mesh.Mesh`."""
    pose: Pose
    sharpness: float
    """0..1, detail relative to that of a sharp face at 128 px."""
    occlusion: float
    """Estimated part of the face that something covers, 0..1."""
    outside: float
    """Part of the mesh outside of the image, 0..1."""

    @property
    def size(self) -> float:
        return max(self.right - self.left, self.bottom - self.top)

    @property
    def eye_distance(self) -> float:
        import numpy as np

        left, right = mesh.eye_centers(self.points)
        return float(np.hypot(*(right - left)))

    def describe(self) -> dict[str, Any]:
        """Return the numbers of the face as plain values."""
        box = [round(value, 1) for value in (self.left, self.top, self.right, self.bottom)]
        pose = {name: round(getattr(self.pose, name), 1) for name in ("yaw", "pitch", "roll")}
        landmarks = [[round(float(value), 1) for value in point] for point in mesh.five_points(self.points)]
        return {
            "number": self.number,
            "box": box,
            **pose,
            "size": round(self.size, 1),
            "sharpness": round(self.sharpness, 2),
            "occlusion": round(self.occlusion, 2),
            "outside": round(self.outside, 2),
            "score": round(self.score, 3),
            "confidence": round(self.confidence, 3),
            "landmarks": landmarks,
        }


def find_faces(networks: FaceNetworks, image: NDArray[np.uint8], max_faces: int = MAX_FACES) -> list[Face]:
    """Find up to `max_faces` faces in an image [h, w, 3] (RGB), the best ones if there are more.

    The image is searched as a whole, in tiles if no or only small faces are found, and upside down if there are none.
    """
    faces = _find_upright(networks, image)
    if not faces:
        turned = _find_upright(networks, image[::-1, ::-1].copy())
        faces = [_turn_back(face, image.shape[1], image.shape[0]) for face in turned]
    best = sorted(faces, key=lambda face: -face.score * face.size)[:max_faces]
    return _number(best)


def _find_upright(networks: FaceNetworks, image: NDArray[np.uint8]) -> list[Face]:
    long_side = max(image.shape[:2])
    meshes: dict[int, mesh.Mesh] = {}

    def accept(candidates: list[Detection]) -> list[Detection]:
        accepted = []
        for one in candidates:
            if id(one) not in meshes:
                meshes[id(one)] = mesh.find_mesh(networks.mesh, image, one)
            if _is_face(one, meshes[id(one)]):
                accepted.append(one)
        return accepted

    found = accept(detector.detect(networks.detector, image))
    for level in range(1, MAX_LEVEL + 1):
        smallest = min((one.side for one in found), default=0.0)
        if smallest > SMALL * long_side / 2 ** (level - 1) or long_side / 2**level < MIN_TILE:
            break
        finer = accept(detector.detect(networks.detector, image, level))
        merged = detector.merge([*found, *finer])
        if len(merged) == len(found):
            break
        found = merged
    return [_measure(image, one, meshes[id(one)]) for one in found]


def _is_face(one: Detection, found: mesh.Mesh) -> bool:
    if one.score >= CONFIRMED_SCORE and found.confidence >= CONFIRMED:
        return True
    certain = CERTAIN if one.level == 0 else CERTAIN_IN_TILE
    return one.score >= UNDOUBTED or (one.score >= certain and found.confidence >= POSSIBLE)


def _measure(image: NDArray[np.uint8], one: Detection, found: mesh.Mesh) -> Face:
    points = found.points
    return Face(
        number=0,
        left=one.left,
        top=one.top,
        right=one.right,
        bottom=one.bottom,
        score=one.score,
        confidence=found.confidence,
        points=points,
        pose=mesh.compute_pose(points),
        sharpness=quality.measure_sharpness(image, points),
        occlusion=quality.estimate_occlusion(image, points, found.confidence),
        outside=quality.measure_outside(points, image.shape[1], image.shape[0]),
    )


def _turn_back(face: Face, width: int, height: int) -> Face:
    """Turn a face of the image upside down by 180 degrees."""
    from dataclasses import replace

    points = face.points.copy()
    points[:, 0], points[:, 1] = width - 1 - points[:, 0], height - 1 - points[:, 1]
    return replace(
        face,
        left=width - 1 - face.right,
        right=width - 1 - face.left,
        top=height - 1 - face.bottom,
        bottom=height - 1 - face.top,
        points=points,
        pose=mesh.compute_pose(points),
    )


def _number(faces: list[Face]) -> list[Face]:
    """Number faces in reading order: rows from the top, in each row from the left."""
    from dataclasses import replace

    rows: list[list[Face]] = []
    for face in sorted(faces, key=lambda face: face.top + face.bottom):
        center = (face.top + face.bottom) / 2
        if rows and center < max(one.bottom for one in rows[-1][:1]):
            rows[-1].append(face)
        else:
            rows.append([face])
    ordered = [face for row in rows for face in sorted(row, key=lambda face: face.left)]
    return [replace(face, number=number) for number, face in enumerate(ordered, 1)]
