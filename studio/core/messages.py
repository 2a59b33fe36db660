"""Messages between the studio and a worker: one frozen struct each.

A frame is a 4-byte big-endian length and that many bytes of MessagePack. Pixels travel raw
inside it.
"""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct

from studio.core.data_report import DataReport
from studio.core.descriptor import Catalogue, DeviceReport
from studio.core.errors import Failure
from studio.core.notices import NoticeLevel
from studio.core.page.token_budget import TokenBudget
from studio.core.recipe import Recipe

MAX_FRAME = 1 << 30
_LENGTH = struct.Struct(">I")


# To the worker
class RunJob(Struct, frozen=True, tag=True, kw_only=True):
    """Run a recipe. `files` maps each reference in it (``sha256:…``) to a path.

    A draft shows previews and saves nothing. `checkpoint_dir` is a folder that outlives the worker.
    """

    job: str
    recipe: Recipe
    files: dict[str, str] = {}
    format: str = ""
    draft: bool = False
    checkpoint_dir: str = ""


class EstimateRequest(Struct, frozen=True, tag=True):
    """Estimate a job's memory and time. `values` are checked, with paths for files. A newer request for the same
    tool replaces one that still waits."""

    id: str
    tool: str
    values: dict[str, Any]


class InspectRequest(Struct, frozen=True, tag=True):
    """Inspect the training data that the values of a tool name, with paths for files. It ends an earlier inspection."""

    id: str
    tool: str
    values: dict[str, Any]


class CancelInspection(Struct, frozen=True, tag=True):
    """End an inspection, without an answer."""

    id: str


class Cancel(Struct, frozen=True, tag=True):
    job: str


class Pause(Struct, frozen=True, tag=True):
    job: str


class FreeMemory(Struct, frozen=True, tag=True):
    """Drop cached models and release their memory."""


class Reload(Struct, frozen=True, tag=True):
    """Look for plugins again."""


class Shutdown(Struct, frozen=True, tag=True):
    """Cancel all jobs and end."""


# From the worker
class Hello(Struct, frozen=True, tag=True):
    """The worker runs and reads messages; plugins are still being imported."""

    pid: int


class Ready(Struct, frozen=True, tag=True):
    """Plugins are loaded and jobs can run. Also the answer to `Reload`."""

    catalogue: Catalogue
    device: DeviceReport


class Heartbeat(Struct, frozen=True, tag=True):
    """Sent once a second. `memory` is the number of bytes that the worker uses."""

    memory: int
    device: DeviceReport | None = None


class JobProgress(Struct, frozen=True, tag=True):
    """`total` is 0 where the end is not known. `seconds_left` is below 0 while it is not known."""

    job: str
    step: float
    total: float
    text: str = ""
    seconds_left: float = -1.0


class PreviewFrame(Struct, frozen=True, tag=True, kw_only=True):
    """An unfinished picture as rows of 8-bit RGB or RGBA, or an unfinished text when `text` is set."""

    job: str
    width: int = 0
    height: int = 0
    channels: int = 3
    pixels: bytes = b""
    text: str | None = None
    label: str = ""


class ResultSaved(Struct, frozen=True, tag=True, kw_only=True):
    """A result is on disk, whole, recipe inside or beside it. `digest` is its id, which the writer knows already."""

    job: str
    path: str
    digest: str


class JobNotice(Struct, frozen=True, tag=True):
    """A sentence for the artist. `job` is empty for a notice about the studio itself."""

    job: str
    text: str
    level: NoticeLevel = NoticeLevel.INFO


class ImageCaptioned(Struct, frozen=True, tag=True):
    """A job has captioned an image. The caption is on disk, unless the job is a draft."""

    job: str
    path: str
    text: str


class EstimateResult(Struct, frozen=True, tag=True, kw_only=True):
    """The answer to `EstimateRequest`, with the fields of `api.Estimate` for `device`; empty where nothing is known."""

    id: str
    memory: int = 0
    work: float = 0.0
    rate: str = ""
    notes: dict[str, str] = {}
    budget: TokenBudget | None = None
    device: str = ""
    disk: int = 0


class InspectionProgress(Struct, frozen=True, tag=True):
    """Number of files that an inspection has looked at."""

    id: str
    done: int
    total: int


class InspectionResult(Struct, frozen=True, tag=True, kw_only=True):
    """The answer to `InspectRequest`: a report, or a sentence that says why there is none."""

    id: str
    report: DataReport | None = None
    sentence: str = ""


class JobTiming(Struct, frozen=True, kw_only=True):
    """Seconds that an amount of work took on a device, without loading models."""

    rate: str
    work: float
    seconds: float
    device: str


class WorkMeasured(Struct, frozen=True, tag=True):
    """How long a part of a job's work took, while it runs."""

    job: str
    timing: JobTiming


class JobFinished(Struct, frozen=True, tag=True):
    job: str
    timing: JobTiming | None = None


class JobFailed(Struct, frozen=True, tag=True):
    job: str
    failure: Failure


class JobCancelled(Struct, frozen=True, tag=True):
    """A cancelled job has ended."""

    job: str


class JobPaused(Struct, frozen=True, tag=True):
    """A paused job has saved its state and freed the device."""

    job: str
    failure: Failure | None = None
    """Says why the job cannot go on for now, where the artist did not ask for the pause."""


class MemoryFreed(Struct, frozen=True, tag=True):
    """Memory was released; `bytes` is how much less the worker uses now."""

    bytes: int


ToWorker = (
    RunJob | EstimateRequest | InspectRequest | CancelInspection | Cancel | Pause | FreeMemory | Reload | Shutdown
)
FromWorker = (
    Hello
    | Ready
    | Heartbeat
    | JobProgress
    | PreviewFrame
    | ResultSaved
    | ImageCaptioned
    | JobNotice
    | EstimateResult
    | WorkMeasured
    | InspectionProgress
    | InspectionResult
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
    """Write one frame and flush. The caller holds a lock if threads share the stream."""
    try:
        body = _encode(message)
    except UnicodeEncodeError:
        body = _encode(replace_surrogates(message))
    stream.write(_LENGTH.pack(len(body)))
    stream.write(body)
    stream.flush()


def replace_surrogates(value: Any) -> Any:
    """Replace characters that UTF-8 cannot encode by question marks, such as in file names from another system.

    Looks into structs, dictionaries, lists and tuples, and returns other values unchanged.
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
    """Read the next message for the worker, or None at the end of the stream."""
    body = _read_frame(stream)
    return None if body is None else _to_worker.decode(body)


def read_from_worker(stream: BinaryIO) -> FromWorker | None:
    """Read the next message of the worker, or None at the end of the stream."""
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
