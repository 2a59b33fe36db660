"""Loads and runs MediaPipe's TensorFlow Lite networks, with LiteRT if it is installed, else with OpenCV.

OpenCV 5's importer gives all outputs only with the classic engine and from a file path. It takes [n, c, h, w], LiteRT
[n, h, w, c]; the outputs of both agree within 4e-4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from studio import api

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = NDArray[np.float32]

PACKAGE = "face-detection"
DETECTOR = ("face_detection_back.tflite", ("regressors", "classificators"))
"""File and output names. Input 1×256×256×3 in -1..1; outputs 1×896×16 and 1×896×1."""
MESH = ("face_landmark.tflite", ("conv2d_20", "conv2d_30"))
"""Input 1×192×192×3 in 0..1; outputs 1404 = 468 × (x, y, z), and the logit that there is a face."""
IRIS = ("iris_landmark.tflite", ("output_eyes_contours_and_brows", "output_iris"))
"""Input 1×64×64×3 in 0..1; outputs 213 = 71 × (x, y, z) and 15 = 5 × (x, y, z)."""


class Network(Protocol):
    def __call__(self, image: Values) -> list[Values]:
        """Run the network on one image [h, w, 3] (RGB) and return its outputs, flattened."""


@dataclass(frozen=True)
class FaceNetworks:
    detector: Network
    mesh: Network
    iris: Network


def load_networks(ctx: api.Context) -> FaceNetworks:
    """Load the networks, once for all jobs. Raises BadInput if their model package is not on this computer."""
    folder = ctx.package(PACKAGE)
    files = [folder / name for name, _ in (DETECTOR, MESH, IRIS)]
    key = f"face.networks:{folder}:{api.model_files.file_stamp(*files)}"
    return ctx.models.load(key, partial(open_networks, folder))


def open_networks(folder: Path) -> FaceNetworks:
    """Open the networks in a folder. Raises BadInput for files that cannot be read."""
    opened = []
    for name, outputs in (DETECTOR, MESH, IRIS):
        try:
            path = folder / name
            opened.append(_LiteRt(path, outputs) if has_litert() else _OpenCv(path, outputs))
        except Exception as error:  # each library fails in its own way
            raise api.BadInput(f"{name} cannot be read.", f"Check it with `studio models verify {PACKAGE}`.") from error
    return FaceNetworks(*opened)


def has_litert() -> bool:
    """Check whether LiteRT (the extra `litert`) is installed, which is several times as fast as OpenCV."""
    return find_spec("ai_edge_litert") is not None


class _OpenCv:
    def __init__(self, path: Path, outputs: Sequence[str]) -> None:
        import cv2

        engine = getattr(cv2.dnn, "ENGINE_CLASSIC", None)  # OpenCV 4 has one engine
        read: Any = cv2.dnn.readNetFromTFLite
        self._network = read(str(path)) if engine is None else read(str(path), engine)
        self._outputs = list(outputs)

    def __call__(self, image: Values) -> list[Values]:
        import numpy as np

        self._network.setInput(np.ascontiguousarray(image.transpose(2, 0, 1)[None]))
        return [np.asarray(values, np.float32).ravel() for values in self._network.forward(self._outputs)]


class _LiteRt:
    def __init__(self, path: Path, outputs: Sequence[str]) -> None:
        import os

        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_path=str(path), num_threads=min(4, os.cpu_count() or 1))
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        indices = {detail["name"]: detail["index"] for detail in self._interpreter.get_output_details()}
        self._outputs = [indices[name] for name in outputs]

    def __call__(self, image: Values) -> list[Values]:
        import numpy as np

        self._interpreter.set_tensor(self._input, np.ascontiguousarray(image[None]))
        self._interpreter.invoke()
        return [np.asarray(self._interpreter.get_tensor(index), np.float32).ravel() for index in self._outputs]
