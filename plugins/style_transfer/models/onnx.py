"""Image-to-image networks in ONNX files, such as AnimeGAN3, run by OpenCV.

Shape and type of the input are read from the file itself (onnx.proto, version 3: ModelProto.graph, GraphProto.input
and initializer, ValueInfoProto.type). Such a network gets the whole image at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from studio import api

from ..image_io import image16
from .value_range import ValueRangeName, detect_value_range
from .weight_files import check_weight_file

if TYPE_CHECKING:
    import cv2
    import numpy as np
    from numpy.typing import NDArray

SUFFIX = ".onnx"
STRIDE = 32
"""Where the file leaves the sides open, they are padded to multiples of this."""
MAX_PIXELS = 6_000_000
MAX_BYTES = 2**31
_FLOAT = 1
"""TensorProto.DataType of float32."""
_FRACTIONS = {1: "<f4", 10: "<f2", 11: "<f8"}
"""Types of numpy by TensorProto.DataType."""
_OWN_FIELDS: Mapping[str | None, tuple[int, ...]] = {"<f4": (4,), "<f8": (10,)}
"""Fields of a TensorProto beside `raw_data` (9) that hold such numbers."""
_SAMPLE = 1 << 16
"""Numbers of each weight that are looked at."""
_GRADIENT_SIDE = 128
"""Side of the gradient in px by which the value range is detected."""
Field: TypeAlias = int | memoryview
"""Value of a protocol buffer field."""


@dataclass(frozen=True)
class InputLayout:
    """Input of a network. A side of 0 means any."""

    height: int
    width: int
    channels_last: bool


class OnnxStyle:
    """Stylizes like `style.Style`, but whole images only."""

    architecture = "onnx"

    def __init__(self, path: Path) -> None:
        self.title = path.stem
        self.config: dict[str, Any] = {"network": "onnx"}
        self.last_result: tuple[str, NDArray[np.uint16]] | None = None
        """The cached last result and its key."""
        self._content = _read_file(path)
        self._name = path.name
        self.layout = read_input_layout(self._content, path.name)
        check_weights(self._content, path.name)
        self._network = self._load_network()
        self.value_range: ValueRangeName = self._detect_value_range()

    def fingerprint(self) -> str:
        """Return a hash of the file."""
        return hashlib.sha256(self._content).hexdigest()

    def stylize(self, rgb: NDArray[Any], report_progress: Callable[[float], None]) -> NDArray[np.uint16]:
        """Stylize [h, w, 3] of uint8 or uint16; the result is uint16.

        A network with a fixed input size gets the image at that size, and its output is enlarged. Raises BadInput for
        more than `MAX_PIXELS`, and where the network cannot process the image.
        """
        import numpy as np

        height, width = rgb.shape[:2]
        if not self.layout.height and width * height > MAX_PIXELS:
            raise api.BadInput(
                f"{self.title} can process at most {MAX_PIXELS / 1e6:.0f} megapixels.",
                "Lower the “Processing resolution”.",
            )
        padded_height, padded_width = self.layout.height, self.layout.width
        small = rgb
        if padded_height:
            scale = min(padded_height / height, padded_width / width)
            small = image16.resize(rgb, (max(1, round(width * scale)), max(1, round(height * scale))))
        rows, columns = small.shape[:2]
        padded_height, padded_width = (
            padded_height or rows + -rows % STRIDE,
            padded_width or columns + -columns % STRIDE,
        )
        mirrored = np.ix_(image16.mirror_indices(rows, padded_height), image16.mirror_indices(columns, padded_width))
        padded = small[mirrored].astype(np.float32)
        output = self._run(self._to_input(padded / np.float32(np.iinfo(rgb.dtype).max)))
        result = (self._from_output(output)[:rows, :columns] * 65535 + 0.5).astype(np.uint16)
        report_progress(1.0)
        return result if result.shape == rgb.shape else image16.resize(result, (width, height))

    def _load_network(self) -> cv2.dnn.Net:
        import cv2
        import numpy as np

        try:
            return cv2.dnn.readNetFromONNX(np.frombuffer(self._content, np.uint8))
        except cv2.error as error:
            raise api.BadInput(
                f"{self._name} is damaged, or has layers that cannot be run here.", "Choose another style."
            ) from error

    def _to_input(self, unit: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert [h, w, 3] in 0..1 to the network's input."""
        import numpy as np

        values = unit * 2 - 1 if self.value_range == "signed" else unit * (255 if self.value_range == "bytes" else 1)
        if not self.layout.channels_last:
            values = values.transpose(2, 0, 1)
        return np.ascontiguousarray(values[None], np.float32)

    def _from_output(self, output: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert the network's output to [h, w, 3] in 0..1."""
        import numpy as np

        values = output[0] if output.shape[-1] == 3 else output[0].transpose(1, 2, 0)
        values = (
            (values + 1) / 2 if self.value_range == "signed" else values / (255 if self.value_range == "bytes" else 1)
        )
        return np.asarray(np.clip(values, 0, 1), np.float32)

    def _run(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        import cv2
        import numpy as np

        try:
            self._network.setInput(values)
            output = np.asarray(self._network.forward(), np.float32)
        except cv2.error as error:
            raise api.BadInput(
                f"{self._name} cannot process an image of this size.", "Choose another style."
            ) from error
        if not np.isfinite(output).all():
            raise api.BadInput(
                f"{self._name} gives numbers that are not finite (NaN or infinity) instead of an image.",
                "Download it again, or choose another style.",
            )
        sides = values.shape[1:3] if self.layout.channels_last else values.shape[2:]
        if output.ndim != 4 or (output.shape[1:] != (*sides, 3) and output.shape[1:] != (3, *sides)):
            raise api.BadInput(f"The output of {self._name} is not an image.", "Choose another style.")
        return output

    def _detect_value_range(self) -> ValueRangeName:
        """Detect the value range from the output for a gradient from black to white."""
        import numpy as np

        height, width = self.layout.height or _GRADIENT_SIDE, self.layout.width or _GRADIENT_SIDE
        self.value_range = "bytes"
        gradient = np.broadcast_to(np.linspace(0, 1, width, dtype=np.float32)[None, :, None], (height, width, 3))
        return detect_value_range(self._run(self._to_input(gradient)))


def read_input_layout(content: bytes, name: str) -> InputLayout:
    """Read the input layout from the content of an ONNX file.

    Raises BadInput, calling the file `name`, where it is damaged or takes something else than one RGB image.
    """
    try:
        (graph,) = (value for number, value in _read_fields(content) if number == 7)
        parts = [(number, value) for number, value in _read_fields(graph) if number in (5, 11)]
        weights = {_read_name(value, 8) for number, value in parts if number == 5}
        inputs = [value for number, value in parts if number == 11 and _read_name(value, 1) not in weights]
        types = [_read_type(value) for value in inputs]
    except (ValueError, IndexError, TypeError) as error:
        raise api.BadInput(f"{name} is no ONNX file, or damaged.", "Download it again.") from error
    if len(types) == 1 and len(types[0][1]) == 4 and types[0][0] == _FLOAT:
        _, first, second, third = types[0][1]
        if first == 3:
            return InputLayout(second if third else 0, third if second else 0, channels_last=False)
        if third == 3:
            return InputLayout(first if second else 0, second if first else 0, channels_last=True)
    raise api.BadInput(f"The input of {name} is not one colour image.", "Choose another style.")


def check_weights(content: bytes, name: str) -> None:
    """Check that a sample of each weight in an ONNX file is finite. Raises BadInput, calling the file `name`.

    Infinity beside zeros alone is a mask, and in a single number a bound.
    """
    import numpy as np

    try:
        (graph,) = (value for number, value in _read_fields(content) if number == 7)
        weights = [(_read_name(value, 8), _read_numbers(value)) for number, value in _read_fields(graph) if number == 5]
    except (ValueError, IndexError, TypeError) as error:
        raise api.BadInput(f"{name} is no ONNX file, or damaged.", "Download it again.") from error
    for tensor, numbers in weights:
        sample = numbers[:: max(1, len(numbers) // _SAMPLE)]
        is_finite = np.isfinite(sample)
        is_mask = len(sample) == 1 or not sample[is_finite].any()
        if np.isnan(sample).any() or not (is_finite.all() or is_mask):
            raise api.BadInput(
                f"{name} is damaged: {tensor} holds numbers that are not finite (NaN or infinity).",
                "Download it again, or choose another style.",
            )


def _read_numbers(tensor: Field) -> NDArray[Any]:
    """Read the numbers of a TensorProto with fractions; none of another type. Raises ValueError."""
    import numpy as np

    fields = list(_read_fields(tensor))
    kind = next((_FRACTIONS.get(value) for number, value in fields if number == 2 and isinstance(value, int)), None)
    raw = [
        value for number, value in fields if number in (9, *_OWN_FIELDS.get(kind, ())) and not isinstance(value, int)
    ]
    return np.concatenate([np.frombuffer(value, kind) for value in raw]) if kind and raw else np.zeros(0, np.float32)


def _read_file(path: Path) -> bytes:
    check_weight_file(path, MAX_BYTES)
    try:
        return path.read_bytes()
    except OSError as error:
        raise api.BadInput(f"{path.name} cannot be read: {error.strerror or error}.") from error


def _read_type(value: Field) -> tuple[int, list[int]]:
    """Return the data type and the sides of a ValueInfoProto; 0 for sides that are left open."""
    (of_type,) = (inner for number, inner in _read_fields(value) if number == 2)
    (tensor,) = (inner for number, inner in _read_fields(of_type) if number == 1)
    data_type, sides = 0, []
    for number, inner in _read_fields(tensor):
        if number == 1:
            data_type = int(inner)
        elif number == 2:
            dimensions = [dict(_read_fields(dim)).get(1) for tag, dim in _read_fields(inner) if tag == 1]
            sides = [max(0, side) if isinstance(side, int) and side < 2**31 else 0 for side in dimensions]
    return data_type, sides


def _read_name(value: Field, number: int) -> str:
    names = (bytes(inner) for tag, inner in _read_fields(value) if tag == number)
    return next(names, b"").decode("utf-8", "replace")


def _read_fields(message: Field | bytes) -> Iterator[tuple[int, Field]]:
    """Read the fields of a protocol buffer: integers as they are, all else as views of bytes. Raises ValueError."""
    if isinstance(message, int):
        raise ValueError
    view = memoryview(message)
    position = 0
    while position < len(view):
        key, position = _read_varint(view, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == 0:
            value, position = _read_varint(view, position)
            yield number, value
            continue
        if wire_type == 2:
            length, position = _read_varint(view, position)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise ValueError
        if position + length > len(view):
            raise ValueError
        yield number, view[position : position + length]
        position += length


def _read_varint(view: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(view) or shift > 63:
            raise ValueError
        byte = view[position]
        value |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            return value, position
