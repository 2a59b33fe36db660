"""Files of strangers are read without running anything of them."""

from __future__ import annotations

import argparse
import io
import os
import pickle
import random
import struct
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from plugins.gan_art.formats import state_dicts
from plugins.gan_art.formats.checkpoint_files import read_checkpoint
from plugins.gan_art.formats.pickle_reader import PickleReport, read_pickle
from plugins.gan_art.formats.stored_tensors import Storage, StoredDtype, StoredTensor
from studio.api import BadInput
from studio.api.model_files import damage_as_bad_input
from tests.fuzz.mutations import change_bytes
from tests.plugins.gan_art.fixtures import foreign_pickles

Save = Callable[[Any, Path], None]


class Program:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def save_pickle(content: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(content))


def save_archive(content: Any, path: Path) -> None:
    torch.save(content, path)


def save_legacy(content: Any, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(content, path, _use_new_zipfile_serialization=False)


ALL = pytest.mark.parametrize("save", [save_pickle, save_archive, save_legacy])


@pytest.fixture
def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {
        "mapping.fc0.weight": torch.randn(4, 4),
        "mapping.w_avg": torch.randn(4).half(),
        "synthesis.b4.const": torch.randn(3, 4, 4).bfloat16(),
        "synthesis.b4.conv1.weight": torch.randn(4, 4, 3, 3).to(memory_format=torch.channels_last),
        "synthesis.b4.conv1.noise_strength": torch.tensor(0.5),
    }


def read_first(path: Path) -> tuple[state_dicts.StateDict, dict[str, Tensor]]:
    checkpoint = read_checkpoint(path)
    first, *_ = state_dicts.list_state_dicts(checkpoint.content)
    return first, checkpoint.read_tensors(first.tensors)


def assert_equal(read: dict[str, Tensor], weights: dict[str, Tensor]) -> None:
    assert read.keys() == weights.keys()
    assert all(torch.equal(read[name], value.float()) and read[name].is_contiguous() for name, value in weights.items())


@ALL
def test_weights_are_read_from_every_container(save: Save, tmp_path: Path, weights: dict[str, Tensor]) -> None:
    save({"iteration": 3, "g_ema": OrderedDict(weights), "args": argparse.Namespace(path=tmp_path)}, tmp_path / "a.pt")
    first, read = read_first(tmp_path / "a.pt")
    assert first.name == "g_ema"
    assert_equal(read, weights)


@ALL
def test_a_whole_module_is_read_as_its_weights(save: Save, tmp_path: Path) -> None:
    linear = nn.Linear(3, 4)
    save(nn.Sequential(linear, nn.BatchNorm1d(4)), tmp_path / "model.pth")
    first, read = read_first(tmp_path / "model.pth")
    assert first.class_name == "Sequential"
    assert read["0.weight"].equal(linear.weight)
    assert read["1.running_var"].equal(torch.ones(4))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_network_snapshot_is_read_without_its_source(
    protocol: int, tmp_path: Path, weights: dict[str, Tensor]
) -> None:
    facts = {"synthesis.size": np.asarray([36, 36]), "synthesis.rate": np.float64(16), "synthesis.activation": "lrelu"}
    path = foreign_pickles.write_persistent(tmp_path / "network.pkl", weights, protocol=protocol, facts=facts)
    first, read = read_first(path)
    assert (first.name, first.class_name) == ("G_ema", "Generator")
    assert_equal(read, weights)
    assert (first.facts["synthesis.size"], first.facts["synthesis.rate"]) == ([36, 36], 16.0)
    report = read_checkpoint(path).report
    assert "Python source" in report.describe()
    assert "Generator" in report.source_classes
    assert not (tmp_path / "MARK").exists()


def test_names_of_numpy_1_and_python_2_are_known(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    path = foreign_pickles.write_persistent(tmp_path / "a.pkl", weights, protocol=2, facts={"size": np.asarray([1, 2])})
    content = path.read_bytes()
    assert b"numpy._core" in content
    assert b"__builtin__\nset" in content
    path.write_bytes(content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))
    first, read = read_first(path)
    assert_equal(read, weights)
    assert first.facts["size"] == [1, 2]


@ALL
@pytest.mark.parametrize("function", [os.system, eval, getattr])
def test_a_program_is_refused_by_its_name(save: Save, function: Any, tmp_path: Path) -> None:
    mark = tmp_path / "MARK"
    save({"g_ema": {"w": torch.ones(2)}, "x": Program(function, f"touch {mark}", "x")}, tmp_path / "a.pt")
    with pytest.raises(BadInput, match=rf"\.{function.__name__},"):
        read_checkpoint(tmp_path / "a.pt")
    assert not mark.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_a_program_is_refused_in_every_protocol(protocol: int, tmp_path: Path) -> None:
    mark = tmp_path / "MARK"
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"G_ema": Program(os.system, f"touch {mark}")}, protocol))
    with pytest.raises(BadInput, match=rf"{os.system.__module__}\.system"):
        read_checkpoint(tmp_path / "a.pkl")
    assert not mark.exists()


@pytest.mark.parametrize(
    "opcodes",
    [
        b"(S'touch MARK'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'touch MARK'\no.",  # OBJ
        b"cos\nsystem\n(S'touch MARK'\nt\x81.",  # NEWOBJ
        b"cos\nsystem\n(S'touch MARK'\nt}\x92.",  # NEWOBJ_EX
        b"ccollections\nOrderedDict\n}S'__setstate__'\ncos\nsystem\nsbS'touch MARK'\nb.",  # BUILD
        b"c__builtin__\neval\n.",
    ],
)
def test_no_opcode_runs_a_program(opcodes: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pkl").write_bytes(opcodes)
    with pytest.raises(BadInput, match=r"os\.system|eval"):
        read_checkpoint(tmp_path / "a.pkl")
    assert not (tmp_path / "MARK").exists()


def test_a_program_in_a_nested_pickle_is_refused(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(Program(os.system, "touch MARK"), inner, _use_new_zipfile_serialization=False)
    save_pickle({"G_ema": Program(torch.storage._load_from_bytes, inner.getvalue())}, tmp_path / "a.pkl")
    with pytest.raises(BadInput, match="system"):
        read_checkpoint(tmp_path / "a.pkl")


def test_tensorflow_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(b"\x80\x03cdnnlib.tflib.network\nNetwork\n)\x81}X\x07\0\0\0versionK\x04sb.")
    with pytest.raises(BadInput, match="TensorFlow"):
        read_checkpoint(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"),
        (b"\n<!DOCTYPE html><html>", "web page"),
        (b"", "empty"),
        (b"PK\x05\x06" + bytes(18), "zip archive"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
        (pickle.dumps({"a": 1})[:-2], "damaged"),
    ],
)
def test_what_is_no_checkpoint_is_told(content: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(BadInput, match=sentence):
        read_checkpoint(tmp_path / "a.pkl")


STORAGE = Storage("float32", 4, lambda start, end: bytes(end - start))


@pytest.mark.parametrize(
    ("offset", "shape", "stride"),
    [
        (0, (2**40,), (0,)),
        (0, (2, 2), (2**50, 1)),
        (0, (5,), (1,)),
        (1, (4,), (1,)),
        (-1, (2,), (1,)),
        (0, (-1,), (1,)),
        (3, (2,), (-1,)),
        (0, (2,), (1, 1)),
        (0, (1,) * 9, (1,) * 9),
        (0.0, (2,), (1,)),
        (2**70, (1,), (1,)),
    ],
)
def test_tensors_beyond_their_storage_are_refused(offset: Any, shape: Any, stride: Any) -> None:
    with pytest.raises(ValueError, match="a tensor"):
        StoredTensor(STORAGE, offset, shape, stride)


def test_a_terabyte_in_a_file_is_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(3)}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in entries if name.endswith("data.pkl"))
    small, large = b"K\x03\x85", b"\x8a\x06" + (2**40).to_bytes(6, "little") + b"\x85"
    assert small in entries[name]
    entries[name] = entries[name].replace(small, large, 1)
    with zipfile.ZipFile(tmp_path / "b.pt", "w") as archive:
        for key, content in entries.items():
            archive.writestr(key, content)
    with pytest.raises(BadInput, match="damaged"):
        read_checkpoint(tmp_path / "b.pt")


@pytest.mark.parametrize("array", [np.asarray([{}, None], dtype=object), np.asarray(["a"]), np.zeros(1, "f4,f4")])
def test_arrays_of_anything_but_numbers_are_refused(array: Any) -> None:
    with pytest.raises(ValueError, match="something other than numbers"):
        read_pickle(pickle.dumps({"a": array}, protocol=4), PickleReport())


@pytest.mark.parametrize("code", ["O8", "O", "S4", "V8", "<U3", "M8", "c16", "f8,f8", 5])
def test_dtypes_are_numbers(code: Any) -> None:
    with pytest.raises(ValueError, match="something other than numbers"):
        StoredDtype(code, False, True)


def test_persistent_ids_need_a_container() -> None:
    with pytest.raises(ValueError, match="persistent id"):
        read_pickle(b"\x80\x02X\x01\0\0\0aQ.", PickleReport())


def test_endless_nesting_is_refused() -> None:
    content: dict[str, Any] = {}
    content["a"] = content["b"] = content["c"] = content
    content.update({str(number): content for number in range(300)})
    with pytest.raises(ValueError, match="without end"):
        state_dicts.list_state_dicts(read_pickle(pickle.dumps(content), PickleReport()))


def test_a_large_dictionary_that_is_used_again_and_again_is_refused() -> None:
    large = {str(number): number for number in range(5000)}
    content = {str(number): large for number in range(500)}
    with pytest.raises(ValueError, match="without end"):
        state_dicts.list_state_dicts(read_pickle(pickle.dumps(content), PickleReport()))


def test_copies_have_a_limit() -> None:
    """A text that is encoded again and again would fill the memory from a small file."""
    calls = b"c_codecs\nencode\n(h\0X\6\0\0\0latin1tR"
    text = b"X" + struct.pack("<I", 1000) + b"x" * 1000 + b"q\0"
    with pytest.raises(ValueError, match="more texts than the file"):
        read_pickle(b"\x80\x02" + text + calls * 1000 + b".", PickleReport())


def read_sentence(path: Path) -> str | None:
    """Read all weights of a file; return what it is refused with."""
    try:
        checkpoint = read_checkpoint(path)
        with damage_as_bad_input(path):
            for one in state_dicts.list_state_dicts(checkpoint.content):
                checkpoint.read_tensors(one.tensors)
    except BadInput as error:
        return str(error)
    return None


@ALL
def test_damaged_files_are_bad_input_and_nothing_else(save: Save, tmp_path: Path, weights: dict[str, Tensor]) -> None:
    good, damaged = tmp_path / "good.pt", tmp_path / "damaged.pt"
    save({"g_ema": weights, "more": [np.arange(3), {1, 2}, nn.Linear(2, 2)]}, good)
    content, chance = good.read_bytes(), random.Random(7)
    for _ in range(120):
        damaged.write_bytes(change_bytes(content, chance))
        if (sentence := read_sentence(damaged)) is not None:
            assert sentence.isprintable()
