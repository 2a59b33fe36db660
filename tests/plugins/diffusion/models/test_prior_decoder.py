"""Families in two folders, and models that cannot be loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from plugins.diffusion.tools.image_to_image import ImageToImage
from plugins.diffusion.tools.inpaint import Inpaint
from plugins.diffusion.tools.text_to_image import TextToImage
from plugins.diffusion.tools.variations import Variations
from studio import api, testing
from tests.plugins.diffusion.fixtures.tiny import change_index_sources

VALUES: dict[str, Any] = {"steps": 1, "width": 64, "height": 64}


@pytest.fixture
def pair(tiny_model: Callable[[str], Path], tmp_path: Path) -> Path:
    """Copy a decoder with its prior and another folder next to it, and return the decoder's folder."""
    decoder = tiny_model("kandinsky22")
    for folder in (decoder, decoder.with_name(f"{decoder.name}-prior")):
        shutil.copytree(folder, tmp_path / folder.name)
    (tmp_path / "other").mkdir()
    return tmp_path / decoder.name


def test_a_decoder_finds_its_prior_under_any_name(pair: Path) -> None:
    pair.with_name("kandinsky22-prior").rename(pair.with_name("the other half"))
    assert testing.results(testing.run(TextToImage, model=str(pair), **VALUES))


def test_a_decoder_without_its_prior_is_refused(pair: Path) -> None:
    shutil.rmtree(pair.with_name("kandinsky22-prior"))
    with pytest.raises(api.BadInput, match="a KandinskyV22PriorPipeline, is missing"):
        testing.run(TextToImage, model=str(pair), **VALUES)


def test_a_prior_alone_is_refused(pair: Path) -> None:
    with pytest.raises(api.BadInput, match="only encodes the prompt"):
        testing.run(TextToImage, model=str(pair.with_name("kandinsky22-prior")), **VALUES)


def test_progress_covers_prior_and_decoder(pair: Path) -> None:
    ctx = testing.FakeContext()
    testing.run(TextToImage, ctx, model=str(pair), **{**VALUES, "steps": 3})
    fractions = [event.step for event in ctx.events if isinstance(event, api.Progress)]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


def test_unsupported_tasks_are_refused(pair: Path, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "picture.png")
    Image.new("L", (64, 64), 255).save(tmp_path / "mask.png")
    with pytest.raises(api.BadInput, match="does not support variations"):
        testing.run(Variations, model=str(pair), **VALUES)
    with pytest.raises(api.BadInput, match="cannot inpaint"):
        testing.run(Inpaint, model=str(pair), image=tmp_path / "picture.png", mask=tmp_path / "mask.png", steps=1)


def test_a_modular_model_is_refused(tmp_path: Path) -> None:
    from diffusers import Flux3ModularPipeline

    Flux3ModularPipeline().save_pretrained(str(tmp_path / "flux3"), overwrite_modular_index=True)
    with pytest.raises(api.BadInput, match="flux3 is a modular model"):
        testing.run(TextToImage, model=str(tmp_path / "flux3"))


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="then it opens")
def test_a_model_that_needs_another_library_names_it(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_model("qwenimage"), tmp_path / "edit"))
    index = json.loads((folder / "model_index.json").read_text("utf-8"))
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": "QwenImageEditPipeline"}), "utf-8")
    shutil.copytree(folder / "tokenizer", folder / "processor")
    (folder / "processor/preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen2VLProcessor"}), "utf-8"
    )
    change_index_sources(folder, processor="transformers.Qwen2VLProcessor")
    Image.new("RGB", (32, 32)).save(tmp_path / "picture.png")
    with pytest.raises(api.BadInput, match="needs the Python library Torchvision"):
        testing.run(ImageToImage, model=str(folder), image=tmp_path / "picture.png")
