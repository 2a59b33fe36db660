"""Recall, false detections, landmark error and processor time of the face detection.

`tests/fixtures/face_truth.json` has faces that were labelled by eye, without seeing what the networks find: boxes, and
on 35 faces the centres of the eyes, the tip of the nose and the corners of the mouth. Its images are found by name and
hash in the folder that `STUDIO_FACE_DATA` names.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from plugins.face_swap.faces import finder, mesh, networks
from plugins.face_swap.faces.networks import FaceNetworks
from studio.core.digests import sha256
from studio.core.errors import BadInput
from studio.core.paths import Home
from studio.library.models import model_packages
from tests.benchmarks.figure import MIN_SAMPLES, Figure, Unavailable

if TYPE_CHECKING:
    from plugins.face_swap.faces.finder import Face

TRUTH = Path(__file__).parents[1] / "fixtures" / "face_truth.json"
VARIABLE = "STUDIO_FACE_DATA"


class LabelledFace(Struct, frozen=True):
    box: tuple[float, float, float, float]
    landmarks: tuple[tuple[float, float], ...] = ()


class LabelledImage(Struct, frozen=True):
    file: str
    sha256: str
    faces: list[LabelledFace]


def run() -> Iterator[Figure]:
    try:
        folder = model_packages.find_package(Home.default(), networks.PACKAGE)
    except BadInput as error:
        raise Unavailable(str(error)) from error
    loaded = networks.open_networks(folder)
    images = list(load_images())
    if not images:
        raise Unavailable(f"{VARIABLE} must name the folder of the labelled images.")
    found = [(label, pixels, finder.find_faces(loaded, pixels)) for label, pixels in images]
    yield from _measure_detection([(label, faces) for label, _, faces in found])
    yield from _measure_landmarks([(label, faces) for label, _, faces in found])
    yield from _measure_time(loaded, [pixels for label, pixels in images if label.file.startswith("portraits/")])


def load_truth() -> list[LabelledImage]:
    return msgspec.json.decode(TRUTH.read_bytes(), type=list[LabelledImage])


def load_images() -> Iterator[tuple[LabelledImage, NDArray[np.uint8]]]:
    """Yield the labelled images that are there, unchanged."""
    from PIL import Image

    root = os.environ.get(VARIABLE)
    for label in load_truth() if root else ():
        path = Path(str(root)) / label.file
        if path.is_file() and sha256(path) == label.sha256:
            with Image.open(path) as image:
                yield label, np.asarray(image.convert("RGB"))


def match_faces(labels: list[LabelledFace], faces: list[Face]) -> list[tuple[LabelledFace, Face]]:
    """Match labels with found faces: the centre lies in the labelled box, and the sides are similar."""
    pairs, left = [], list(faces)
    for label in labels:
        x0, y0, x1, y1 = label.box
        side = max(x1 - x0, y1 - y0)
        for face in left:
            x, y = (face.left + face.right) / 2, (face.top + face.bottom) / 2
            if x0 <= x <= x1 and y0 <= y <= y1 and 0.4 <= face.size / side <= 2.5:
                pairs.append((label, face))
                left.remove(face)
                break
    return pairs


def measure_errors(label: LabelledFace, face: Face) -> NDArray[np.float64]:
    """Return the distances of the five landmarks, relative to the labelled distance of the eyes."""
    truth = np.array(label.landmarks)
    distances = np.linalg.norm(mesh.five_points(face.points) - truth, axis=1)
    return np.asarray(distances / np.linalg.norm(truth[1] - truth[0]), np.float64)


def _measure_detection(results: list[tuple[LabelledImage, list[Face]]]) -> Iterator[Figure]:
    for kind in ("portraits", "paintings"):
        own = [(label, faces) for label, faces in results if label.file.startswith(kind)]
        labelled = sum(len(label.faces) for label, _ in own)
        missed = labelled - sum(len(match_faces(label.faces, faces)) for label, faces in own)
        yield Figure(title=f"{kind}: missed of {labelled} faces", unit="%", samples=(100 * missed / labelled,), bound=5)
    total = sum(len(faces) for _, faces in results)
    false = total - sum(len(match_faces(label.faces, faces)) for label, faces in results)
    yield Figure(title=f"false of {total} found faces", unit="%", samples=(100 * false / total,), bound=2)


def _measure_landmarks(results: list[tuple[LabelledImage, list[Face]]]) -> Iterator[Figure]:
    for kind in ("portraits", "paintings"):
        errors = [
            100 * float(measure_errors(label, face).mean())
            for image, faces in results
            if image.file.startswith(kind)
            for label, face in match_faces([one for one in image.faces if one.landmarks], faces)
        ]
        title = f"{kind}: landmark error of {len(errors)} faces, of the eye distance"
        yield Figure(title=title, unit="%", samples=tuple(errors), bound=5, statistic="median")


def _measure_time(loaded: FaceNetworks, portraits: list[NDArray[np.uint8]]) -> Iterator[Figure]:
    for count, bound in ((1, 150), (3, 150), (6, 150), (30, None)):
        group = _compose_group(portraits, count)
        samples = []
        for _ in range(MIN_SAMPLES + 1):
            start = time.process_time()
            faces = finder.find_faces(loaded, group)
            samples.append((time.process_time() - start) * 1000)
        backend = "LiteRT" if networks.has_litert() else "OpenCV"
        title = f"{count} faces at 1 megapixel with {backend} ({len(faces)} found), processor time"
        yield Figure(title=title, samples=tuple(samples[1:]), bound=bound, statistic="median")


def _compose_group(portraits: list[NDArray[np.uint8]], count: int) -> NDArray[np.uint8]:
    """Put `count` portraits into a grid on a grey image of 1000 × 1000 px."""
    import cv2

    group = np.full((1000, 1000, 3), 128, np.uint8)
    columns = 6 if count > 6 else 3
    side = 1000 // columns if count > 1 else 600
    for index, portrait in enumerate(portraits[:count]):
        y, x = divmod(index, columns)
        group[y * side : (y + 1) * side, x * side : (x + 1) * side] = cv2.resize(
            portrait, (side, side), interpolation=cv2.INTER_AREA
        )
    return group
