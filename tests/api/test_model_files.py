"""`api.model_files`: stamps, tensors, and errors of loading in plain words."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

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
