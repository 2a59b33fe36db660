"""Autoencoders with weights that are damaged or missing are refused with a sentence."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from plugins.vae_interpolation.models.codec import load_codec
from studio import api, testing

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(params=["kl_folder", "tiny_folder"])
def copy(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    shutil.copytree(request.getfixturevalue(request.param), tmp_path / "copy")
    return tmp_path / "copy"


def read_error(path: Path) -> str:
    with pytest.raises(api.BadInput) as raised:
        load_codec(testing.FakeContext(), str(path))
    return str(raised.value)


@pytest.mark.parametrize("is_file", [False, True])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_are_not_finite(copy: Path, tmp_path: Path, value: float, is_file: bool) -> None:
    weights = load_file(copy / WEIGHTS)
    weights["decoder.conv_in.weight" if "decoder.conv_in.weight" in weights else "decoder.layers.0.weight"][0] = value
    path = tmp_path / "loose.safetensors" if is_file else copy
    save_file(weights, path if is_file else copy / WEIGHTS, metadata={"format": "pt"})
    assert "is damaged: decoder." in read_error(path)


@pytest.mark.parametrize("is_file", [False, True])
def test_whole_numbers_without_a_scale(copy: Path, tmp_path: Path, is_file: bool) -> None:
    weights = {name: (99 * value).to(torch.int8) for name, value in load_file(copy / WEIGHTS).items()}
    path = tmp_path / "loose.safetensors" if is_file else copy
    save_file(weights, path if is_file else copy / WEIGHTS, metadata={"format": "pt"})
    assert "has whole numbers (I8) as weights" in read_error(path)


def test_an_absent_weight(copy: Path) -> None:
    weights = load_file(copy / WEIGHTS)
    del weights[sorted(weights)[0]]
    save_file(weights, copy / WEIGHTS, metadata={"format": "pt"})
    assert "copy lacks a weight, such as decoder." in read_error(copy)


@pytest.mark.parametrize("file", [WEIGHTS, "config.json"])
def test_a_pointer_in_a_folder(copy: Path, file: str) -> None:
    (copy / file).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert f"{file} of copy is a Git LFS pointer" in read_error(copy)
