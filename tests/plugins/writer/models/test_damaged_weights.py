"""Language models with weights or a vocabulary that is damaged or missing are refused with a sentence."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from plugins.writer.models.writer import load_writer
from studio import api, testing

WEIGHTS = "model.safetensors"


@pytest.fixture
def copy(causal_model: Path, tmp_path: Path) -> Path:
    shutil.copytree(causal_model, tmp_path / "copy")
    return tmp_path / "copy"


def spoil(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    weights["model.layers.0.mlp.up_proj.weight"] = torch.full_like(
        weights["model.layers.0.mlp.up_proj.weight"].float(), math.nan
    )
    return weights


CHANGES: dict[str, tuple[Callable[[dict[str, Tensor]], dict[str, Tensor]], str]] = {
    "not finite": (spoil, "copy is damaged: model.layers.0.mlp.up_proj.weight holds numbers that are not finite"),
    "absent": (
        lambda weights: {name: value for name, value in weights.items() if "up_proj" not in name},
        "copy lacks 2 weights, such as model.layers.0.mlp.up_proj.weight",
    ),
    "whole": (
        lambda weights: {name: (9 * value.float()).to(torch.int8) for name, value in weights.items()},
        r"copy has whole numbers \(I8\) as weights",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_damaged_weights(copy: Path, change: str) -> None:
    changed, sentence = CHANGES[change]
    save_file(changed(load_file(copy / WEIGHTS)), copy / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(api.BadInput, match=sentence):
        load_writer(testing.FakeContext(), str(copy))


@pytest.mark.parametrize("kind", ["CLIPTokenizer", "GPT2Tokenizer", "LlamaTokenizer", "BertTokenizer"])
def test_a_missing_vocabulary(copy: Path, kind: str) -> None:
    for file in ("tokenizer.json", "vocab.json", "merges.txt"):
        (copy / file).unlink(missing_ok=True)
    (copy / "tokenizer_config.json").write_text(f'{{"tokenizer_class": "{kind}"}}')
    with pytest.raises(api.BadInput, match=r"vocabulary|tokenizer of copy is missing"):
        load_writer(testing.FakeContext(), str(copy))


@pytest.mark.parametrize("file", ["tokenizer.json", WEIGHTS, "generation_config.json"])
def test_a_pointer_in_the_folder(copy: Path, file: str) -> None:
    (copy / file).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(api.BadInput, match=f"{file} of copy is a Git LFS pointer"):
        load_writer(testing.FakeContext(), str(copy))
