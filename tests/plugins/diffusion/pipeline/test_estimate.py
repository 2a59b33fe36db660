"""What a picture would take, told from the files alone, and compared with what the libraries say."""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

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


def told(tool: type[api.Tool] = TextToImage, **values: object) -> api.Estimate:
    found = testing.estimate(tool, **values)
    assert found is not None
    return found


@pytest.mark.parametrize("name", [name for name, usual in PIPELINE_DEFAULTS.items() if usual.family in FAMILIES])
def test_the_table_says_what_the_pipelines_do(name: str) -> None:
    usual, family = PIPELINE_DEFAULTS[name], FAMILIES[PIPELINE_DEFAULTS[name].family]
    kinds = {task: family.pipeline_class(task) for task in TASKS if family.supports(task)}
    first = next(iter(kinds.values()))
    assert pipeline_stem(first.__name__) == name
    known = inspect.signature(first.__call__).parameters
    assert usual.steps == known[family.steps_name].default
    assert usual.guidance in (0, known[family.guidance_name].default)
    assert usual.max_tokens == (known["max_sequence_length"].default if "max_sequence_length" in known else None)
    if Task.IMAGE_TO_IMAGE in kinds:
        assert usual.has_strength == ("strength" in inspect.signature(kinds[Task.IMAGE_TO_IMAGE].__call__).parameters)


@pytest.mark.parametrize("family", ["stable-diffusion", "stable-diffusion-xl", "stable-diffusion-3", "flux", "sana"])
def test_the_files_say_what_the_loaded_model_does(tiny_model: Callable[[str], Path], family: str) -> None:
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
        told(model=str(sd), steps=count, width=side, height=side) for count, side in ((10, 32), (20, 32), (10, 64))
    )
    assert small.rate == steps.rate == large.rate
    assert large.work == 4 * small.work
    assert small.memory == steps.memory < large.memory
    passes = 10 * 2 * 32 * 32 / 1e6
    assert steps.work - small.work == pytest.approx(passes)
    unguided = told(model=str(sd), steps=10, width=32, height=32, guidance=1)
    assert small.work - unguided.work == pytest.approx(passes / 2)
    assert told(model=str(sd), compiled=True).rate != small.rate
    controlled = told(model=str(sd), steps=10, width=32, height=32, controls=[str(sd / "unet")])
    assert controlled.memory - small.memory == 4 * metadata.count_weights(sd / "unet")


def test_size_and_tokens_are_noted(sd: Path) -> None:
    notes = told(model=str(sd), shape="4:3", prompt="a fox", negative_prompt="rain").notes
    assert notes == {"prompt": "4 of 75 tokens", "negative_prompt": "4 of 75 tokens", "shape": "40 × 24"}
    assert told(model=str(sd), shape="model", prompt=" ").notes == {"shape": "32 × 32"}


def test_pictures_that_are_painted_over_tell_their_size(sd: Path, tmp_path: Path) -> None:
    picture = tmp_path / "sea.png"
    Image.new("RGB", (300, 200)).save(picture)
    half, whole = (told(ImageToImage, model=str(sd), image=picture, strength=share, steps=20) for share in (0.5, 1.0))
    assert half.notes == {"image": "generated at 40 × 24"}
    assert whole.work - half.work == pytest.approx(10 * 2 * 40 * 24 / 1e6)
    tiled = told(TiledUpscale, model=str(sd), image=picture, scale=2.0, overlap=0)
    assert tiled.notes == {"scale": f"600 × 400, {19 * 13} tiles"}
    assert told(ImageToImage, model=str(sd), image=tmp_path / "gone.png", prompt="a fox") == api.Estimate(
        notes={"prompt": "4 of 75 tokens"}
    )


def test_a_size_that_cannot_be_painted_leaves_the_tokens(sd: Path) -> None:
    assert told(model=str(sd), width=33, prompt="fox") == api.Estimate(notes={"prompt": "3 of 75 tokens"})


def test_what_is_not_there_or_no_model_has_no_estimate(tmp_path: Path) -> None:
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


def test_long_prompts_come_in_parts_or_are_cut(sd: Path, tmp_path: Path) -> None:
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


def test_what_is_beyond_the_limit_of_a_small_model_counts_too(sd: Path, tmp_path: Path) -> None:
    shutil.copytree(sd, short := tmp_path / "short")
    config = json.loads((short / "tokenizer" / "tokenizer_config.json").read_text())
    (short / "tokenizer" / "tokenizer_config.json").write_text(json.dumps({**config, "model_max_length": 24}))

    def painted(prompt: str) -> np.ndarray:
        (picture,) = testing.results(testing.run(TextToImage, model=str(short), prompt=prompt, steps=1))
        assert isinstance(picture, api.Image)
        return np.asarray(picture.picture)

    assert (painted("a" * 23) != painted("a" * 22 + "z")).any()


def test_nothing_heavy_is_imported_for_it(sd: Path) -> None:
    code = f"""
import sys
from plugins.diffusion.tools.text_to_image import TextToImage
from studio import testing
assert testing.estimate(TextToImage, model={str(sd)!r}, prompt="a fox").memory
print([name for name in ("diffusers", "transformers") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
