"""Reads pickles of GANs into plain values, stored tensors and inert nodes, and tells what they would have run.

Nothing of a pickle is imported or called (see `pickle_machine`). Three containers are read:

- a plain pickle, as StyleGAN2-ADA, StyleGAN3, StyleGAN-XL and R3GAN save them, with a pickle inside it for each tensor;
- the format of ``torch.save`` since 1.6, a zip archive;
- the format of ``torch.save`` before, several pickles with the numbers behind them.
"""

from __future__ import annotations

import io
import pickletools
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

from .pickle_machine import Name, Node, PickleMachine
from .stored_tensors import ITEM_SIZES, STORAGE_DTYPES, Storage, StoredArray, StoredDtype, StoredTensor, read_scalar

TENSORFLOW_NAMES = ("dnnlib.tflib.network.Network", "tfutil.Network")
"""Classes of the TensorFlow versions of StyleGAN2, StyleGAN and progressive growing."""
_PERSISTENT_OBJECT = "torch_utils.persistence._reconstruct_persistent_obj"
TORCH_MAGIC = 0x1950A86A20F9469CFC6C
MAX_COPIED = 64 * 2**20
"""Maximum number of values, and of bytes of texts, that calls in one pickle may copy."""
_DICTIONARIES = ("collections.OrderedDict", "collections.defaultdict", "dnnlib.util.EasyDict", "easydict.EasyDict")
_BUILTINS = ("builtins", "__builtin__")
_STANDARD_MODULES = {*sys.stdlib_module_names, "__builtin__", "commands", "copy_reg"}
"""Modules of Python 3, and some of Python 2."""
_PLAIN = ("torch.", "collections.", "numpy.", "builtins.", "__builtin__.", "_codecs.", "copyreg.", "copy_reg.")
"""Starts of names that every file of weights has."""
_HARMLESS = {
    "argparse.Namespace",
    "collections.OrderedDict",
    "collections.defaultdict",
    "_codecs.encode",
    "copy_reg._reconstructor",
    "copyreg._reconstructor",
    *(f"pathlib.{kind}" for kind in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")),
    *(f"{module}.{name}" for module in _BUILTINS for name in ("set", "frozenset", "object", "dict", "list", "int")),
}
"""Names of the standard library that weights are saved with."""


@dataclass
class PickleReport:
    """What a pickle asks for, and what Python's own unpickler would have run of it."""

    names: set[str] = field(default_factory=set)
    """Names that it would have imported."""
    refused: set[str] = field(default_factory=set)
    """Names that weights do not need: functions that it would have called, and parts of Python itself."""
    source_classes: set[str] = field(default_factory=set)
    """Classes whose source text it carries, which would have been executed."""
    sources: set[str] = field(default_factory=set)
    """Those texts."""

    @property
    def is_tensorflow(self) -> bool:
        return any(name in self.names for name in TENSORFLOW_NAMES)

    def describe(self) -> str:
        """Return one or two sentences for the artist; none where the file holds plain tensors alone."""
        sentences = []
        if self.source_classes:
            characters = sum(len(source) for source in self.sources)
            sentences.append(
                f"The file carries {characters:,} characters of Python source, of {len(self.source_classes)} "
                f"classes such as {sorted(self.source_classes)[0]}, which other programs run. None of it was run."
            )
        elif classes := sorted(name for name in self.names if not name.startswith(_PLAIN)):
            listed = ", ".join(classes[:3]) + (" and others" if len(classes) > 3 else "")
            sentences.append(f"The file asks for {listed}, which other programs import. Nothing was imported.")
        return " ".join(sentences)


def read_pickle(content: bytes, report: PickleReport) -> Any:
    """Read a plain pickle, in which tensors are pickles of their own. Raises ValueError and others for damage."""
    table = _PlainTable(report, len(content))
    return PickleMachine(io.BytesIO(content), table).run()


def read_torch_pickle(stream: IO[bytes], report: PickleReport, find_storage: Callable[[str, str, int], Storage]) -> Any:
    """Read a pickle whose persistent ids name storages: `find_storage(key, dtype, count)` returns one."""
    return PickleMachine(stream, _TorchTable(report, find_storage)).run()


def read_legacy_file(
    stream: IO[bytes], size: int, report: PickleReport, read: Callable[[int, int], bytes | memoryview]
) -> Any:
    """Read the format of ``torch.save`` before 1.6: magic number, version, system, object, keys, and the numbers.

    `read(start, end)` returns bytes of the same stream, whose size is `size`.
    """
    magic, version, system = (PickleMachine(stream, _EmptyTable()).run() for _ in range(3))
    if magic != TORCH_MAGIC or version != 1001 or not system.get("little_endian", True):
        raise ValueError("an unknown version of torch.save")
    starts: dict[str, int] = {}
    counts: dict[str, tuple[str, int]] = {}

    def find_storage(key: str, dtype: str, count: int) -> Storage:
        if counts.setdefault(key, (dtype, count)) != (dtype, count):
            raise ValueError("a storage with two sizes")
        item = ITEM_SIZES[dtype]
        if not 0 <= count <= size // item:
            raise ValueError("a storage that is larger than the file")
        return Storage(dtype, count, lambda start, end: read(starts[key] + start, starts[key] + end))

    value = read_torch_pickle(stream, report, find_storage)
    for key in PickleMachine(stream, _EmptyTable()).run():
        dtype, count = counts[key]
        if int.from_bytes(stream.read(8), "little") != count:
            raise ValueError("a storage of another size than stated")
        starts[key] = stream.tell()
        if starts[key] + count * ITEM_SIZES[dtype] > size:
            raise EOFError("the file ends within a storage")
        stream.seek(count * ITEM_SIZES[dtype], io.SEEK_CUR)
    if counts.keys() - starts.keys():
        raise ValueError("a storage without numbers")
    return value


def is_legacy_start(start: bytes) -> bool:
    """Tell whether the first bytes of a file are those of ``torch.save`` before 1.6."""
    try:
        opcode, magic, _ = next(one for one in pickletools.genops(start) if one[0].name != "PROTO")
    except (ValueError, StopIteration):
        return False
    return opcode.name.startswith("LONG") and magic == TORCH_MAGIC


class _Table:
    """Names of tensors, arrays and plain containers, which both kinds of pickles have."""

    def __init__(self, report: PickleReport) -> None:
        self._report = report
        self._copied = 0
        self._calls: dict[str, Callable[..., Any]] = {
            "_codecs.encode": self._encode,
            "torch._utils._rebuild_tensor": _rebuild_tensor,
            "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
            "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
            "torch._utils._rebuild_parameter_with_state": lambda tensor, *_: tensor,
            "torch.Size": lambda *sides: self._copy(tuple, *sides),
            "torch.device": lambda *arguments: Node("torch.device", arguments),
            "numpy.dtype": StoredDtype,
            "dill._dill._load_type": _load_type,
            **{f"copy{kind}._reconstructor": self._reconstruct for kind in ("reg", "_reg")},
        }
        for core in ("core", "_core"):
            self._calls[f"numpy.{core}.multiarray.scalar"] = read_scalar
            self._calls[f"numpy.{core}.multiarray._reconstruct"] = lambda *_: StoredArray()
            self._calls[f"numpy.{core}.numeric._frombuffer"] = _fill_array
        for module in _BUILTINS:
            self._calls[f"{module}.set"] = lambda *values: self._copy(set, *values)
            self._calls[f"{module}.frozenset"] = lambda *values: self._copy(frozenset, *values)

    def note_name(self, path: str) -> None:
        self._report.names.add(path)
        if path.partition(".")[0] in _STANDARD_MODULES and path not in _HARMLESS:
            self._report.refused.add(path)

    def call(self, path: str, arguments: tuple[Any, ...]) -> Any:
        if (function := self._calls.get(path)) is not None:
            return function(*arguments)
        if path.endswith(_PERSISTENT_OBJECT):
            return self._rebuild_persistent(*arguments)
        if path.endswith(_DICTIONARIES):
            return self._copy(dict, *(one for one in arguments if not isinstance(one, Name)))
        if path not in TENSORFLOW_NAMES and not path.startswith("pathlib."):
            self._report.refused.add(path)
        return Node(path, arguments)

    def create(self, path: str, arguments: tuple[Any, ...]) -> Any:
        return {} if path.endswith(_DICTIONARIES) else Node(path, arguments)

    def load_persistent(self, identity: Any) -> Any:  # noqa: ARG002
        raise ValueError("a persistent id outside of torch.save")

    def _copy(self, kind: Callable[..., Any], *arguments: Any) -> Any:
        self._spend(sum(len(one) for one in arguments))
        return kind(*arguments)

    def _spend(self, count: int) -> None:
        self._copied += count
        if self._copied > MAX_COPIED:
            raise ValueError("more copies of values than weights need")

    def _encode(self, text: str, encoding: str = "utf-8") -> bytes:
        if encoding not in ("latin1", "latin-1", "utf-8", "utf8", "ascii"):
            raise ValueError("an unknown encoding of bytes")
        self._spend_text(len(text))
        return text.encode(encoding)

    def _spend_text(self, count: int) -> None:
        self._spend(count)

    def _reconstruct(self, kind: Any, *_: Any) -> Any:
        return self.create(kind.path, ())

    def _rebuild_persistent(self, meta: dict[str, Any]) -> Node:
        source, name = meta.get("module_src", ""), meta["class_name"]
        if not isinstance(source, str) or not isinstance(name, str):
            raise ValueError("an object without a class")
        if source:
            self._note_source(name, source)
        return Node(name, (), meta["state"])

    def _note_source(self, name: str, source: str) -> None:
        self._report.source_classes.add(name)
        self._report.sources.add(source)


class _PlainTable(_Table):
    """Adds tensors that are pickles inside of a pickle, as `pickle.dump` writes them."""

    def __init__(self, report: PickleReport, size: int) -> None:
        super().__init__(report)
        self._left = 2 * size
        self._calls["torch.storage._load_from_bytes"] = self._load_nested

    def _load_nested(self, content: bytes) -> Storage:
        """Read a storage from the bytes of a ``torch.save`` of its own. All together are no larger than the file."""
        self._left -= len(content)
        if self._left < 0:
            raise ValueError("more nested pickles than the file is large")
        view = memoryview(content)
        if not is_legacy_start(content[:64]):
            raise ValueError("a nested pickle of an unknown kind")
        value = read_legacy_file(io.BytesIO(content), len(content), self._report, lambda start, end: view[start:end])
        if not isinstance(value, Storage):
            raise ValueError("a nested pickle of something other than numbers")
        return value

    def _spend_text(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise ValueError("more texts than the file is large")


class _TorchTable(_Table):
    """Adds storages by their persistent id, as `torch.save` writes them."""

    def __init__(self, report: PickleReport, find_storage: Callable[[str, str, int], Storage]) -> None:
        super().__init__(report)
        self._find_storage = find_storage
        self._calls["torch.serialization._get_layout"] = lambda *arguments: Node("torch.layout", arguments)

    def load_persistent(self, identity: Any) -> Any:
        if identity[0] == "module":  # before 1.6 the source text of classes was saved as well
            _, name, _, source = identity
            self._note_source(name.path.rpartition(".")[2], source)
            return name
        kind, storage, key, _, count, *view = identity
        if kind not in ("storage", b"storage") or any(one is not None for one in view) or type(count) is not int:
            raise ValueError("a persistent id of something other than numbers")
        return self._find_storage(str(key), STORAGE_DTYPES[storage.path.rpartition(".")[2]], count)


class _EmptyTable(_Table):
    """Refuses everything: the small pickles around the object have no names."""

    def __init__(self) -> None:
        super().__init__(PickleReport())

    def note_name(self, path: str) -> None:  # noqa: ARG002
        raise ValueError("a name where only numbers stand")


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> StoredTensor:
    if not isinstance(storage, Storage):
        raise ValueError("a tensor without numbers")
    return StoredTensor(storage, offset, tuple(shape), tuple(stride))


def _fill_array(content: Any, dtype: Any, shape: Any, order: str, *_: Any) -> StoredArray:
    array = StoredArray()
    array.fill(shape, dtype, order == "F", content)
    return array


def _load_type(name: str) -> Name:
    if name not in ("set", "dict", "list", "tuple"):
        raise ValueError("an unknown type of dill")
    return Name(f"builtins.{name}")
