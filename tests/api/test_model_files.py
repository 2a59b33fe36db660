"""`api.model_files`: stamps, tensors, and errors of loading in plain words."""

from __future__ import annotations

import math
import os
import warnings
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from studio import api
from studio.api import model_files


def touch(path: Path, seconds: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, ns=(seconds * 10**9, seconds * 10**9))
    return path


def test_the_stamp_of_a_file_is_its_time(tmp_path: Path) -> None:
    first, second = touch(tmp_path / "a.safetensors", 5), touch(tmp_path / "b.bin", 7)
    assert model_files.file_stamp(first) == 5 * 10**9
    assert model_files.file_stamp(first, second) == 7 * 10**9
    assert model_files.file_stamp() == 0
    assert model_files.file_stamp(tmp_path / "missing") == 0


def test_the_stamp_of_a_folder_follows_its_weights_and_configurations(tmp_path: Path) -> None:
    touch(tmp_path / "model_index.json", 1)
    touch(tmp_path / "unet" / "model.safetensors", 3)
    touch(tmp_path / "preview.webp", 9)
    touch(tmp_path / "README.md", 9)
    assert model_files.file_stamp(tmp_path) == 3 * 10**9
    touch(tmp_path / "unet" / "config.json", 4)
    assert model_files.file_stamp(tmp_path) == 4 * 10**9


def test_tensors_and_notes_are_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    model_files.write_tensors(path, {"a": torch.ones(2)}, {"step": 3})
    tensors, notes = model_files.read_tensors(path)
    assert torch.equal(tensors["a"], torch.ones(2))
    assert notes == {"step": 3}
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ValueError, match=r"x.safetensors is damaged"):
        model_files.read_tensors(path)
    with pytest.raises(OSError, match="missing"):
        model_files.read_tensors(tmp_path / "missing")


SENTENCE = api.BadInput("The model is damaged.", "Download it again.")


@pytest.mark.parametrize("error", [OSError("x"), KeyError("x"), RuntimeError("size mismatch"), EOFError()])
def test_a_damaged_file_is_reported_with_the_given_sentence(error: Exception) -> None:
    with pytest.raises(api.BadInput, match="The model is damaged") as caught, model_files.quiet_load(SENTENCE):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("x"), api.BadInput("Another."), ImportError("x")])
def test_memory_errors_and_studio_errors_pass_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, model_files.quiet_load(SENTENCE):
        raise error
    assert caught.value is error


def test_a_load_without_a_sentence_only_silences_warnings() -> None:
    with model_files.quiet_load():
        warnings.warn("deprecated", FutureWarning, stacklevel=1)
    with pytest.raises(KeyError), model_files.quiet_load():
        raise KeyError


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["lora_unet_down.lora_down.weight", "model.diffusion_model.x"], "lora"),
        (["x.lora.up.weight"], "lora"),
        (["control_model.input_blocks.0.0.weight", "model.diffusion_model.x"], "controlnet"),
        (["image_proj.proj.weight", "ip_adapter.1.to_k_ip.weight"], "ip-adapter"),
        (["ip_adapter_proj_model.proj.weight", "double_blocks.0.processor.x"], "ip-adapter"),
        (["emb_params"], "embedding"),
        (["decoder.up.0.block.0.conv1.weight"], "autoencoder"),
        (["anything"], ""),
    ],
)
def test_the_kind_of_a_model_follows_from_its_tensor_names(names: list[str], kind: str) -> None:
    assert model_files.kind_of_names(names) == kind


KINDS = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q5_1", "Q6_K", "Q4_K", "IQ4_NL")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", [0, 100, -1])
def test_a_gguf_file_with_numbers_that_are_not_finite_is_refused(tmp_path: Path, kind: str, place: int) -> None:
    path = tmp_path / "model.gguf"
    _write_packed(path, kind, {})
    model_files.check_gguf_weights(path, "model.gguf")
    _write_packed(path, kind, {place: math.nan if place else math.inf})
    with pytest.raises(api.BadInput, match=r"^model.gguf is damaged: blk.0.weight holds numbers that are not finite"):
        model_files.check_gguf_weights(path, "model.gguf")


def _write_packed(path: Path, kind: str, scales: dict[int, float]) -> None:
    """Write a matrix of 128 × 256; `scales` are other numbers, or scales of blocks, by their place."""
    of_type = gguf.GGMLQuantizationType[kind]
    _, size = gguf.GGML_QUANT_SIZES[of_type]
    packed = np.zeros((128, 256 // gguf.GGML_QUANT_SIZES[of_type][0] * size), np.uint8)
    dtype = np.dtype({"F32": "<f4", "BF16": "<u2"}.get(kind, "<f2"))
    offset = size - 2 if kind == "Q6_K" else 0
    blocks = packed.reshape(-1, size)
    for place, value in scales.items():
        number = np.array([np.float32(value)])
        stored = (number.view(np.uint32) >> 16).astype(dtype) if kind == "BF16" else number.astype(dtype)
        blocks[place, offset : offset + dtype.itemsize] = stored.view(np.uint8)
        if kind != "BF16" and offset + dtype.itemsize < size:
            blocks[place, dtype.itemsize if not offset else 0] = 255
    writer = gguf.GGUFWriter(path, "llama")
    plain = {"F32": "<f4", "F16": "<f2"}.get(kind)
    writer.add_tensor("blk.0.weight", packed.view(plain) if plain else packed, raw_dtype=of_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
