"""The boundary around files of strangers: one sentence for whatever happens, and no device is ever read."""

from __future__ import annotations

import os
import socket
import struct
import time
from pathlib import Path

import pytest

from studio.core import settings
from studio.core.errors import BadInput
from studio.core.images import open_picture
from studio.core.model_files.gguf_header import GgufHeader, Value
from studio.core.model_files.safetensors_header import read_weight_shapes
from studio.core.recipe import Recipe
from studio.core.settings import Settings
from studio.core.untrusted_files import (
    damage_as_bad_input,
    make_printable,
    make_valid,
    open_file,
    read_file,
    read_or_else,
)

posix = pytest.mark.skipif(os.name == "nt", reason="pipes and devices with paths are of POSIX")


def _raise(error: BaseException) -> None:
    raise error


def test_any_exception_becomes_one_sentence_with_the_name(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    errors: tuple[Exception, ...] = (
        *(ZeroDivisionError("division"), RecursionError("deep"), struct.error("short"), OverflowError("large")),
        *(UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), AttributeError("a"), OSError("broken data stream")),
        *(AssertionError(), NotImplementedError(), StopIteration(), SystemError("c")),
    )
    for error in errors:
        with (
            pytest.raises(BadInput, match=r"^x\.png is damaged, or its extension is wrong\.") as caught,
            damage_as_bad_input(path),
        ):
            _raise(error)
        assert caught.value.__cause__ is error
    with pytest.raises(BadInput, match="memory"), damage_as_bad_input(path):
        _raise(MemoryError())
    with pytest.raises(BadInput, match="Permission denied"), damage_as_bad_input(path):
        _raise(PermissionError(13, "Permission denied"))
    with pytest.raises(BadInput, match="There is no file"), damage_as_bad_input(path):
        read_file(path)
    with pytest.raises(KeyboardInterrupt), damage_as_bad_input(path):
        _raise(KeyboardInterrupt())


def test_a_value_stands_in_for_what_cannot_be_read(tmp_path: Path) -> None:
    assert read_or_else("other", read_file, tmp_path / "none") == "other"
    assert read_or_else(0, lambda: 1 // 0) == 0
    assert read_or_else(0, int, "5") == 5


@posix
def test_devices_and_pipes_are_refused_before_they_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to("/dev/zero")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "socket.png"))
    began = time.monotonic()
    for path in (tmp_path / "pipe.png", tmp_path / "link.png", tmp_path / "socket.png", Path("/dev/zero")):
        with pytest.raises(OSError, match=r"no file|No such device"):
            open_file(path)
        with pytest.raises(BadInput):
            open_picture(path)
        with pytest.raises(BadInput):
            read_weight_shapes(path)
        assert settings.load(path) == Settings()
    server.close()
    assert time.monotonic() - began < 1


def test_a_file_above_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(11))
    assert len(read_file(path, 11)) == 11
    with pytest.raises(OSError, match="larger than"):
        read_file(path, 10)


def test_text_is_made_valid_and_printable() -> None:
    assert make_valid("fox 猫 🙂") == "fox 猫 🙂"
    assert make_valid("a\ud800b") == "a\ufffdb"
    assert make_valid("\ud83d\ude42") == "🙂"
    assert make_printable("a\x1b[31m\udcff") == "a\ufffd[31m\ufffd"


@pytest.mark.parametrize(
    "entry",
    [
        "[" * 10_000,
        '{"dtype":"F32","shape":[1],"data_offsets":[0,null]}',
        '{"dtype":"F32","shape":[1],"data_offsets":[0,"x"]}',
        '{"dtype":"F32","shape":[Infinity],"data_offsets":[0,0]}',
        '{"dtype":"F32","shape":[1e999],"data_offsets":[0,0]}',
        '{"dtype":"F32","shape":[-1],"data_offsets":[0,0]}',
        '{"dtype":"F32","shape":[1],"data_offsets":[0,99999999999999999999999]}',
        '{"dtype":"F32","shape":{},"data_offsets":[]}',
        "[]",
        '"\\ud800"',
        "[" + "[]," * 600_000 + "0]",
    ],
)
def test_a_safetensors_header_of_anything_gives_one_sentence(tmp_path: Path, entry: str) -> None:
    header = b'{"a":' + entry.encode() + b"}"
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(BadInput, match=r"^x\.safetensors "):
        read_weight_shapes(path)


def test_a_number_of_a_gguf_file_is_finite() -> None:
    keys: dict[str, Value] = {"general.architecture": "llama", "llama.a": float("nan"), "llama.b": (float("inf"), 3.0)}
    header = GgufHeader(keys, {})
    assert (header.number("a", 7), header.number("b", 7)) == (7, 3)


@pytest.mark.parametrize("depth", [150, 900, 3_000, 100_000])
@pytest.mark.parametrize(("start", "end"), [("[", "]"), ('{"a":', "}")])
def test_a_deep_recipe_is_no_recipe(depth: int, start: str, end: str) -> None:
    nested = start * depth + "1" + end * depth
    with pytest.raises(BadInput, match="recipe"):
        Recipe.from_json('{"tool": "x", "plugin": {"name": "x"}, "params": {"p": ' + nested + "}}")


@pytest.mark.parametrize("value", ["-" + "9" * 5_000, '"\\ud800"', "1e999", "NaN"])
def test_a_recipe_that_could_not_be_written_again_is_no_recipe(value: str) -> None:
    with pytest.raises(BadInput, match="recipe"):
        Recipe.from_json('{"tool": "x", "plugin": {"name": "x"}, "params": {"p": ' + value + "}}")


@pytest.mark.parametrize("content", [b"[" * 200_000, b'{"zzz":' + b"[" * 200_000, b"\xff", b"9" * 5_000, b"null"])
def test_settings_of_anything_are_the_defaults(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "settings.json").write_bytes(content)
    assert settings.load(tmp_path / "settings.json") == Settings()
