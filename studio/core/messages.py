"""What crosses between the studio and a worker: one frozen struct per message.

A frame is a 4-byte big-endian length and that many bytes of MessagePack. Pixels travel raw
inside it.
"""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct

from studio.core.descriptor import Catalogue, DeviceReport
from studio.core.errors import Failure
from studio.core.page.token_budget import TokenBudget
from studio.core.recipe import Recipe

MAX_FRAME = 1 << 30
_LENGTH = struct.Struct(">I")


# To the worker
class RunJob(Struct, frozen=True, tag=True, kw_only=True):
    """Run a recipe. `files` maps each reference in it (``sha256:…``) to a path.

    A draft shows previews and saves nothing. `checkpoint_dir` is a folder that outlives a kill.
    """

    job: str
    recipe: Recipe
    files: dict[str, str] = {}
    format: str = ""
    draft: bool = False
    checkpoint_dir: str = ""


class EstimateRequest(Struct, frozen=True, tag=True):
    """What would this take? `values` are checked, with the paths of their files. A newer question about
    the same tool takes the place of one that is not yet being answered."""

    id: str
    tool: str
    values: dict[str, Any]


class Cancel(Struct, frozen=True, tag=True):
    job: str


class Pause(Struct, frozen=True, tag=True):
    job: str


class FreeMemory(Struct, frozen=True, tag=True):
    """Drop cached models and give their memory back."""


class Reload(Struct, frozen=True, tag=True):
    """Look for plugins again."""


class Shutdown(Struct, frozen=True, tag=True):
    """End after the running job was cancelled."""


# From the worker
class Hello(Struct, frozen=True, tag=True):
    """The worker is up and reads messages; plugins are still being imported."""

    pid: int


class Ready(Struct, frozen=True, tag=True):
    """Plugins are loaded and jobs are taken. Also the answer to Reload."""

    catalogue: Catalogue
    device: DeviceReport


class Heartbeat(Struct, frozen=True, tag=True):
    """Once a second. `memory` is what the worker holds, in bytes."""

    memory: int
    device: DeviceReport | None = None


class Started(Struct, frozen=True, tag=True):
    job: str


class JobProgress(Struct, frozen=True, tag=True):
    """`total` 0 means that the end is not known. `seconds_left` below 0 means not known yet."""

    job: str
    step: float
    total: float
    text: str = ""
    seconds_left: float = -1.0


class PreviewFrame(Struct, frozen=True, tag=True, kw_only=True):
    """A picture in the making, rows of 8-bit RGB or RGBA; or words, when `text` is set."""

    job: str
    width: int = 0
    height: int = 0
    channels: int = 3
    pixels: bytes = b""
    text: str | None = None
    label: str = ""


class ResultSaved(Struct, frozen=True, tag=True, kw_only=True):
    """A result is on disk, whole, recipe inside or beside it."""

    job: str
    path: str
    kind: str
    sha256: str


class JobNotice(Struct, frozen=True, tag=True):
    """A sentence for the artist. `level` is `info` or `warning`."""

    job: str
    text: str
    level: str = "info"


class EstimateResult(Struct, frozen=True, tag=True, kw_only=True):
    """The answer to `EstimateRequest`; empty where the tool knows nothing. As in `api.Estimate`, for `device`."""

    id: str
    memory: int = 0
    work: float = 0.0
    rate: str = ""
    notes: dict[str, str] = {}
    budget: TokenBudget | None = None
    device: str = ""


class JobTiming(Struct, frozen=True, kw_only=True):
    """How many seconds so much work took on a device, without the loading of models."""

    rate: str
    work: float
    seconds: float
    device: str


class JobFinished(Struct, frozen=True, tag=True):
    job: str
    measured: JobTiming | None = None


class JobFailed(Struct, frozen=True, tag=True):
    job: str
    failure: Failure


class JobCancelled(Struct, frozen=True, tag=True):
    """A job that was cancelled has ended."""

    job: str


class JobPaused(Struct, frozen=True, tag=True):
    """A job that was paused has kept its state and left the device."""

    job: str


class MemoryFreed(Struct, frozen=True, tag=True):
    """Memory was given back; `bytes` by how much the worker shrank."""

    bytes: int


ToWorker = RunJob | EstimateRequest | Cancel | Pause | FreeMemory | Reload | Shutdown
FromWorker = (
    Hello
    | Ready
    | Heartbeat
    | Started
    | JobProgress
    | PreviewFrame
    | ResultSaved
    | JobNotice
    | EstimateResult
    | JobFinished
    | JobFailed
    | JobCancelled
    | JobPaused
    | MemoryFreed
)

_encode = msgspec.msgpack.Encoder().encode
_to_worker = msgspec.msgpack.Decoder(ToWorker)
_from_worker = msgspec.msgpack.Decoder(FromWorker)


def write(stream: BinaryIO, message: ToWorker | FromWorker) -> None:
    """Writes one frame and flushes. The caller holds a lock if threads share the stream."""
    try:
        body = _encode(message)
    except UnicodeEncodeError:
        body = _encode(replace_surrogates(message))
    stream.write(_LENGTH.pack(len(body)))
    stream.write(body)
    stream.flush()


def replace_surrogates(value: Any) -> Any:
    """The same with question marks where UTF-8 fails, as in the names of files that another system packed.

    Looks into structs, dictionaries, lists and tuples, and leaves all else as it is.
    """
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case dict():
            return {replace_surrogates(name): replace_surrogates(inner) for name, inner in value.items()}
        case list():
            return [replace_surrogates(inner) for inner in value]
        case tuple():
            return tuple(replace_surrogates(inner) for inner in value)
        case Struct():
            return msgspec.structs.replace(
                value, **{name: replace_surrogates(getattr(value, name)) for name in value.__struct_fields__}
            )
    return value


def read_to_worker(stream: BinaryIO) -> ToWorker | None:
    """The next message for the worker, or None at the end of the stream."""
    body = _read_frame(stream)
    return None if body is None else _to_worker.decode(body)


def read_from_worker(stream: BinaryIO) -> FromWorker | None:
    """The next message of the worker, or None at the end of the stream."""
    body = _read_frame(stream)
    return None if body is None else _from_worker.decode(body)


def _read_frame(stream: BinaryIO) -> Any:
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > MAX_FRAME:
        raise ValueError(f"a frame of {length} bytes is beyond {MAX_FRAME}")
    body = stream.read(length)
    return None if len(body) < length else body
