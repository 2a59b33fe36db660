"""Image-to-image networks in ONNX files, such as AnimeGAN3, run by OpenCV.

What goes in and comes out is read from the file itself (the protocol of onnx.proto, version 3: ModelProto.graph,
GraphProto.input and initializer, ValueInfoProto.type). Such a network sees the whole picture at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from ..image_io import image16
from .value_range import Values, told_by

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SUFFIX = ".onnx"
STRIDE = 32
"""Where the file leaves the sides open, they are made multiples of this."""
MOST_PIXELS = 6_000_000
MAX_BYTES = 2**31
_FLOAT = 1
_TRIED = 128


@dataclass(frozen=True)
class Entrance:
    """How a network wants its picture. A side is 0 where any will do."""

    height: int
    width: int
    channels_last: bool


class OnnxStyle:
    """Paints like `models.Style`, but whole pictures alone."""

    kind = "onnx"

    def __init__(self, path: Path) -> None:
        self.title = path.stem
        self.config: dict[str, Any] = {"network": "onnx"}
        self.latest: tuple[str, NDArray[np.uint16]] | None = None
        """A painting that is remembered, and by which name."""
        self._bytes = _content(path)
        self._name = path.name
        self.entrance = entrance(self._bytes, path.name)
        self._network = self._read()
        self.values = self._tried()

    def fingerprint(self) -> str:
        """Changes with the file."""
        return hashlib.sha256(self._bytes).hexdigest()

    def paint(self, rgb: NDArray[Any], tick: Callable[[float], None]) -> NDArray[np.uint16]:
        """[h, w, 3] of uint8 or uint16 in the style, as uint16.

        Where the network knows one size alone, the picture is painted at that and enlarged again. Raises BadInput
        for more than `MOST_PIXELS`, and where the network cannot paint it.
        """
        import numpy as np

        height, width = rgb.shape[:2]
        if not self.entrance.height and width * height > MOST_PIXELS:
            raise api.BadInput(
                f"{self.title} paints at most {MOST_PIXELS / 1e6:.0f} megapixels.",
                "Choose fewer pixels at “Painted at”.",
            )
        tall, wide = self.entrance.height, self.entrance.width
        small = rgb
        if tall:
            share = min(tall / height, wide / width)
            small = image16.scaled(rgb, (max(1, round(width * share)), max(1, round(height * share))))
        rows, columns = small.shape[:2]
        tall, wide = tall or rows + -rows % STRIDE, wide or columns + -columns % STRIDE
        whole = small[np.ix_(image16.mirrored(rows, tall), image16.mirrored(columns, wide))].astype(np.float32)
        made = self._run(self._entering(whole / np.float32(np.iinfo(rgb.dtype).max)))
        painting = (self._left(made)[:rows, :columns] * 65535 + 0.5).astype(np.uint16)
        tick(1.0)
        return painting if painting.shape == rgb.shape else image16.scaled(painting, (width, height))

    def _read(self) -> Any:
        import cv2
        import numpy as np

        try:
            return cv2.dnn.readNetFromONNX(np.frombuffer(self._bytes, np.uint8))
        except cv2.error as error:
            raise api.BadInput(
                f"{self._name} is damaged, or made of layers that cannot be run here.", "Choose another style."
            ) from error

    def _entering(self, unit: NDArray[np.float32]) -> NDArray[np.float32]:
        import numpy as np

        values = unit * 2 - 1 if self.values == "signed" else unit * (255 if self.values == "bytes" else 1)
        if not self.entrance.channels_last:
            values = values.transpose(2, 0, 1)
        return np.ascontiguousarray(values[None], np.float32)

    def _left(self, made: NDArray[np.float32]) -> NDArray[np.float32]:
        """[h, w, 3] in 0..1."""
        import numpy as np

        values = made[0] if made.shape[-1] == 3 else made[0].transpose(1, 2, 0)
        values = (values + 1) / 2 if self.values == "signed" else values / (255 if self.values == "bytes" else 1)
        return np.clip(values, 0, 1)

    def _run(self, given: NDArray[np.float32]) -> NDArray[np.float32]:
        import cv2

        try:
            self._network.setInput(given)
            made: NDArray[np.float32] = self._network.forward()
        except cv2.error as error:
            raise api.BadInput(f"{self._name} cannot paint a picture of this size.", "Choose another style.") from error
        sides = given.shape[1:3] if self.entrance.channels_last else given.shape[2:]
        if made.ndim != 4 or (made.shape[1:] != (*sides, 3) and made.shape[1:] != (3, *sides)):
            raise api.BadInput(f"{self._name} makes no picture out of a picture.", "Choose another style.")
        return made

    def _tried(self) -> Values:
        """By what it makes of a slope from black to white."""
        import numpy as np

        height, width = self.entrance.height or _TRIED, self.entrance.width or _TRIED
        self.values: Values = "bytes"
        slope = np.broadcast_to(np.linspace(0, 1, width, dtype=np.float32)[None, :, None], (height, width, 3))
        return told_by(self._run(self._entering(slope)))


def entrance(content: bytes, name: str) -> Entrance:
    """How the network in an ONNX file wants its picture. Raises BadInput, calling the file `name`, for others."""
    try:
        (graph,) = (value for number, value in _fields(content) if number == 7)
        parts = [(number, value) for number, value in _fields(graph) if number in (5, 11)]
        weights = {_named(value, 8) for number, value in parts if number == 5}
        given = [value for number, value in parts if number == 11 and _named(value, 1) not in weights]
        shapes = [_shape(value) for value in given]
    except (ValueError, IndexError, TypeError) as error:
        raise api.BadInput(f"{name} is no ONNX file, or damaged.", "Download it again.") from error
    if len(shapes) == 1 and len(shapes[0][1]) == 4 and shapes[0][0] == _FLOAT:
        _, first, second, third = shapes[0][1]
        if first == 3:
            return Entrance(second if third else 0, third if second else 0, channels_last=False)
        if third == 3:
            return Entrance(first if second else 0, second if first else 0, channels_last=True)
    raise api.BadInput(f"{name} takes something else than one colour picture.", "Choose another style.")


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise api.BadInput(f"{path.name} is far larger than a style network.", "Choose another style.")
        content = path.read_bytes()
    except OSError as error:
        raise api.BadInput(f"{path.name} cannot be read: {error.strerror or error}.") from error
    if content.startswith(b"version https://git-lfs"):
        raise api.BadInput(
            f"{path.name} is a Git LFS pointer and not the style itself.",
            "Fetch the real file with `git lfs pull`, or download it again.",
        )
    return content


def _shape(value: Any) -> tuple[int, list[int]]:
    """The kind of its numbers, and its sides, 0 for those that are left open."""
    (of_type,) = (inner for number, inner in _fields(value) if number == 2)
    (tensor,) = (inner for number, inner in _fields(of_type) if number == 1)
    kind, sides = 0, []
    for number, inner in _fields(tensor):
        if number == 1:
            kind = int(inner)
        elif number == 2:
            dims = [dict(_fields(dim)) for at, dim in _fields(inner) if at == 1]
            sides = [max(0, dim[1]) if isinstance(dim.get(1), int) and dim[1] < 2**31 else 0 for dim in dims]
    return kind, sides


def _named(value: Any, number: int) -> str:
    return next((bytes(inner).decode("utf-8", "replace") for at, inner in _fields(value) if at == number), "")


def _fields(message: Any) -> Iterator[tuple[int, Any]]:
    """The fields of a protocol buffer: numbers as they are, all else as views of bytes. Raises ValueError."""
    message = memoryview(message)
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, place = _varint(message, place)
            yield number, value
            continue
        if wire == 2:
            length, place = _varint(message, place)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError
        if place + length > len(message):
            raise ValueError
        yield number, message[place : place + length]
        place += length


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(message) or shift > 63:
            raise ValueError
        byte = message[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
