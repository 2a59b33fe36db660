"""Estimates are read from files alone, and agree with the libraries."""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from plugins.diffusion.checkpoints import metadata
from plugins.diffusion.checkpoints.families import FAMILIES, Task
from plugins.diffusion.checkpoints.pipeline_defaults import PIPELINE_DEFAULTS, pipeline_stem
from plugins.diffusion.models import loader
from plugins.diffusion.pipeline import token_count
from plugins.diffusion.tools.image_to_image import ImageToImage
from plugins.diffusion.tools.text_to_image import TextToImage
from plugins.diffusion.tools.tiled_upscale import TiledUpscale
from studio import api, testing

TASKS = (Task.TEXT_TO_IMAGE, Task.IMAGE_TO_IMAGE, Task.INPAINT)
TEXTS = ("a red fox, 3d", "Ein Fuchs über dem Schnee – 2026!", "狐 🦊 don't", "  ", "x" * 300)


def estimate(tool: type[api.Tool] = TextToImage, **values: Any) -> api.Estimate:
    result = testing.estimate(tool, **values)
    assert result is not None
    return result


@pytest.mark.parametrize("name", [name for name, defaults in PIPELINE_DEFAULTS.items() if defaults.family in FAMILIES])
def test_table_of_defaults_agrees_with_the_pipelines(name: str) -> None:
    defaults, family = PIPELINE_DEFAULTS[name], FAMILIES[PIPELINE_DEFAULTS[name].family]
    kinds = {task: family.pipeline_class(task) for task in TASKS if family.supports(task)}
    first = next(iter(kinds.values()))
    assert pipeline_stem(first.__name__) == name
    known = inspect.signature(first.__call__).parameters
    assert defaults.steps == known[family.steps_name].default
    assert defaults.guidance in (0, known[family.guidance_name].default)
    assert defaults.max_tokens == (known["max_sequence_length"].default if "max_sequence_length" in known else None)
    if Task.IMAGE_TO_IMAGE in kinds:
        assert defaults.has_strength == (
            "strength" in inspect.signature(kinds[Task.IMAGE_TO_IMAGE].__call__).parameters
        )


@pytest.mark.parametrize("family", ["stable-diffusion", "stable-diffusion-xl", "stable-diffusion-3", "flux", "sana"])
def test_metadata_agrees_with_the_loaded_model(tiny_model: Callable[[str], Path], family: str) -> None:
    ctx = testing.FakeContext()
    found = metadata.metadata_of(ctx, str(tiny_model(family)))
    model = loader.load(ctx, str(tiny_model(family)))
    assert found is not None
    assert (found.family, found.size, found.multiple) == (model.family, model.size, model.multiple)
    parts = {name: part for name, part in model.base.components.items() if isinstance(part, torch.nn.Module)}
    held = {name: sum(weight.numel() for weight in part.state_dict().values()) for name, part in parts.items()}
    denoiser = held.get("unet") or held["transformer"]
    assert found.denoiser_weight_count == denoiser
    assert found.weight_count == pytest.approx(sum(held.values()), rel=0.05)


def test_work_and_memory_follow_from_size_steps_and_guidance(sd: Path) -> None:
    small, steps, large = (
        estimate(model=str(sd), steps=count, width=side, height=side) for count, side in ((10, 32), (20, 32), (10, 64))
    )
    assert small.rate == steps.rate == large.rate
    assert large.work == 4 * small.work
    assert small.memory == steps.memory < large.memory
    passes = 10 * 2 * 32 * 32 / 1e6
    assert steps.work - small.work == pytest.approx(passes)
    unguided = estimate(model=str(sd), steps=10, width=32, height=32, guidance=1)
    assert small.work - unguided.work == pytest.approx(passes / 2)
    assert estimate(model=str(sd), compiled=True).rate != small.rate
    controlled = estimate(model=str(sd), steps=10, width=32, height=32, controls=[str(sd / "unet")])
    assert controlled.memory - small.memory == 4 * metadata.count_weights(sd / "unet")


def test_notes_tell_size_and_tokens(sd: Path) -> None:
    notes = estimate(model=str(sd), shape="4:3", prompt="a fox", negative_prompt="rain").notes
    assert notes == {"prompt": "4 of 75 tokens", "negative_prompt": "4 of 75 tokens", "shape": "40 × 24"}
    assert estimate(model=str(sd), shape="model", prompt=" ").notes == {"shape": "32 × 32"}


def test_notes_tell_the_size_for_an_input_image(sd: Path, tmp_path: Path) -> None:
    picture = tmp_path / "sea.png"
    Image.new("RGB", (300, 200)).save(picture)
    half, whole = (
        estimate(ImageToImage, model=str(sd), image=picture, strength=share, steps=20) for share in (0.5, 1.0)
    )
    assert half.notes == {"image": "generated at 40 × 24"}
    assert whole.work - half.work == pytest.approx(10 * 2 * 40 * 24 / 1e6)
    tiled = estimate(TiledUpscale, model=str(sd), image=picture, scale=2.0, overlap=0)
    assert tiled.notes == {"scale": f"600 × 400, {19 * 13} tiles"}
    assert estimate(ImageToImage, model=str(sd), image=tmp_path / "gone.png", prompt="a fox") == api.Estimate(
        notes={"prompt": "4 of 75 tokens"}
    )


def test_unsupported_size_leaves_the_token_notes(sd: Path) -> None:
    assert estimate(model=str(sd), width=33, prompt="fox") == api.Estimate(notes={"prompt": "3 of 75 tokens"})


def test_missing_or_unknown_models_have_no_estimate(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{half")
    for choice in ("", "nobody-has-this", str(tmp_path)):
        assert testing.estimate(TextToImage, model=choice) is None
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "SomebodysPipeline"}))
    assert testing.estimate(TextToImage, model=str(tmp_path)) is None


@pytest.mark.parametrize("table", ["tokenizer.json", "merges.txt"])
def test_tokens_are_counted_as_transformers_does(sd: Path, tmp_path: Path, table: str) -> None:
    from transformers import CLIPTokenizer

    real = CLIPTokenizer.from_pretrained(sd / "tokenizer")
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    for file in (sd / "tokenizer").iterdir():
        shutil.copy(file, folder)
    if table == "merges.txt":
        (folder / "tokenizer.json").unlink()
        (folder / "vocab.json").write_text(json.dumps(real.get_vocab()))
        (folder / "merges.txt").write_text("#version: 0.2\n")
    counter = token_count.load_counter([folder], None, in_chunks=True)
    assert counter is not None
    assert counter.limit == 75
    for text in TEXTS:
        assert len(counter.tokenizer.encode(text, add_special_tokens=False)) == len(
            real(text, add_special_tokens=False, verbose=False).input_ids
        )


def test_long_prompts_are_read_in_chunks_or_truncated(sd: Path, tmp_path: Path) -> None:
    def note(
        prompt: str, *, in_chunks: bool = True, max_tokens: int | None = None, folder: Path = sd / "tokenizer"
    ) -> str:
        counter = token_count.load_counter([folder], max_tokens, in_chunks=in_chunks)
        assert counter is not None
        return counter.describe(prompt)

    assert note("") == note("<lora:ink:0.8>") == ""
    assert note("(fox:1.3)") == note("fox <lora:ink:0.8>") == "3 of 75 tokens"
    assert note("a" * 83) == "83 tokens in 2 chunks"
    assert note("fox BREAK owl") == "6 tokens in 2 chunks"
    assert note("fox BREAK owl", in_chunks=False) == "6 of 75 tokens"
    assert note("a" * 83, in_chunks=False) == "83 tokens; only the first 75 are used"
    assert note("fox", max_tokens=50) == "3 of 48 tokens"
    shutil.copytree(sd / "tokenizer", short := tmp_path / "tokenizer")
    config = json.loads((short / "tokenizer_config.json").read_text())
    (short / "tokenizer_config.json").write_text(json.dumps({**config, "model_max_length": 24}))
    assert note("a" * 11, folder=short) == "11 of 22 tokens"
    assert note("a" * 23, folder=short) == "23 tokens in 2 chunks"


def test_tokens_beyond_the_limit_of_a_small_model_change_the_image(sd: Path, tmp_path: Path) -> None:
    shutil.copytree(sd, short := tmp_path / "short")
    config = json.loads((short / "tokenizer" / "tokenizer_config.json").read_text())
    (short / "tokenizer" / "tokenizer_config.json").write_text(json.dumps({**config, "model_max_length": 24}))

    def generate(prompt: str) -> np.ndarray:
        (picture,) = testing.results(testing.run(TextToImage, model=str(short), prompt=prompt, steps=1))
        assert isinstance(picture, api.Image)
        return np.asarray(picture.picture)

    assert (generate("a" * 23) != generate("a" * 22 + "z")).any()


def test_estimate_imports_neither_diffusers_nor_transformers(sd: Path) -> None:
    code = f"""
import sys
from plugins.diffusion.tools.text_to_image import TextToImage
from studio import testing
assert testing.estimate(TextToImage, model={str(sd)!r}, prompt="a fox").memory
print([name for name in ("diffusers", "transformers") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
