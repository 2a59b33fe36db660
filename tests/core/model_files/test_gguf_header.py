"""Headers of GGUF files, and the errors for damaged ones."""

from __future__ import annotations

import random
import struct
from contextlib import suppress
from pathlib import Path

import gguf as gguf_package
import numpy as np
import pytest

from studio.core.errors import BadInput
from studio.core.model_files import gguf_header
from tests.fixtures import gguf

KEYS = {
    "general.name": "Ein Fuchs 🦊",
    "llama.context_length": 128,
    "llama.attention.head_count_kv": [0, 2, 8],
    "llama.rope.freq_base": 5e5,
    "llama.flag": True,
    "tokenizer.ggml.tokens": ["a", "b", "ⵣ"],
    "tokenizer.ggml.scores": [0.5] * 5000,
    "tokenizer.chat_template": "{{ messages }}",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    packed = gguf.quantize(np.zeros((8, 64), np.float32), gguf_package.GGMLQuantizationType.Q8_0)
    return gguf.write_gguf(tmp_path / "a.gguf", keys=KEYS, tensors={**gguf.WEIGHTS, "output.weight": packed})


def test_a_header_has_keys_and_tensors_without_long_lists(file: Path) -> None:
    header = gguf_header.read_gguf_header(file)
    assert header.architecture == "llama"
    assert header.number("context_length") == 128
    assert header.number("attention.head_count_kv") == 8
    assert header.number("block_count", 3) == 3
    assert header.number("rope.freq_base") == 5e5
    assert header.keys["llama.flag"] is True
    assert header.text("general.name") == "Ein Fuchs 🦊"
    assert header.text("tokenizer.chat_template") == "{{ messages }}"
    assert header.text("llama.context_length") == ""
    assert "tokenizer.ggml.tokens" not in header.keys
    assert "tokenizer.ggml.scores" not in header.keys
    assert {name: tensor.shape for name, tensor in header.tensors.items()} == {
        "token_embd.weight": (6, 4),
        "blk.0.attn_norm.weight": (4,),
        "output.weight": (8, 64),
    }


def test_offsets_of_tensors_agree_with_the_gguf_package(file: Path) -> None:
    reader = gguf_package.GGUFReader(file)
    ours = gguf_header.read_gguf_header(file).tensors
    assert {tensor.name: (int(tensor.data_offset), int(tensor.tensor_type)) for tensor in reader.tensors} == {
        name: (tensor.start, tensor.kind) for name, tensor in ours.items()
    }


def test_block_sizes_agree_with_the_gguf_package() -> None:
    known = {int(kind): (int(block), int(size)) for kind, (block, size) in gguf_package.GGML_QUANT_SIZES.items()}
    assert known == gguf_header._BLOCK_SIZES


def test_the_first_keys_are_read_without_the_rest(file: Path) -> None:
    keys = gguf_header.read_gguf_keys(file)
    assert keys["general.architecture"] == "llama"
    assert keys["llama.context_length"] == 128
    assert "tokenizer.chat_template" not in keys


def test_a_truncated_file_is_reported(file: Path) -> None:
    whole = file.read_bytes()
    for length in (*range(0, 600, 7), len(whole) - 40, len(whole) // 2):
        file.write_bytes(whole[:length])
        with pytest.raises(BadInput, match="incomplete"):
            gguf_header.read_gguf_header(file)
        gguf_header.read_gguf_keys(file)


def test_a_file_that_is_no_gguf_is_reported(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"
    for content, words in (
        (pointer, "Git LFS pointer"),
        (b"PK\x03\x04" + whole, "not a GGUF file"),
        (b"GGUF" + struct.pack("<I", 1) + whole[8:], "version"),
        (b"GGUF" + struct.pack(">I", 3) + whole[8:], "version"),
        (whole[:8] + struct.pack("<Q", 2**60) + whole[16:], "damaged"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "no weights"),
    ):
        file.write_bytes(content)
        with pytest.raises(BadInput, match=words):
            gguf_header.read_gguf_header(file)
    with pytest.raises(BadInput, match="There is no file"):
        gguf_header.read_gguf_header(tmp_path / "gone.gguf")
    assert gguf_header.read_gguf_keys(tmp_path / "gone.gguf") == {}


def test_an_impossible_length_is_reported(tmp_path: Path) -> None:
    key = struct.pack("<Q", 2**62) + b"x"
    file = tmp_path / "a.gguf"
    file.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + key)
    with pytest.raises(BadInput, match="damaged"):
        gguf_header.read_gguf_header(file)


def test_a_damaged_header_raises_only_bad_input(file: Path) -> None:
    whole, chance = file.read_bytes(), random.Random(3)
    head = gguf_header.read_gguf_header(file).tensors["token_embd.weight"].start
    for _ in range(400):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(head)] = chance.choice((0, 1, 9, 127, 255))
        file.write_bytes(damaged)
        gguf_header.read_gguf_keys(file)
        with suppress(BadInput):
            gguf_header.read_gguf_header(file)
