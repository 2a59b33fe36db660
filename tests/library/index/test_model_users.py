"""Before a model is deleted it is said what was made with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.core.model_files.weights_digest import digest_weights
from studio.core.recipe import ModelRef, PluginRef, Recipe
from studio.library.creation import Creation
from studio.library.index.model_users import describe_users
from studio.library.library import Library
from studio.library.storage import writer
from tests.library import factories


def save_model(library: Library, folder: Path, kind: str = "diffusion", **params: object) -> Creation:
    folder.mkdir()
    (folder / "model.safetensors").write_text(folder.name)
    recipe = Recipe(tool="diffusion.train", plugin=PluginRef("diffusion"), params=params)
    return library.add(writer.save_model(library.home, folder, recipe, title="Fox", kind=kind))


def paint(library: Library, seed: int, model: str = "", reference: ModelRef | None = None) -> Creation:
    recipe = factories.make_recipe(seed=seed, model=model)
    recipe.models.extend([reference] if reference else [])
    return library.add(writer.save_image(library.home, factories.make_picture(seed), recipe))


def test_results_and_loras_are_counted(library: Library, tmp_path: Path) -> None:
    model = save_model(library, tmp_path / "a")
    assert library.describe_model_users([model.id]) == ""
    paint(library, 1, "other")
    first = paint(library, 2, model.id)
    assert library.describe_model_users([model.id]) == (
        "1 image was made with it; it stays, and cannot be made again once the model is deleted."
    )
    paint(library, 3, model.id)
    save_model(library, tmp_path / "b", "lora", model=model.id)
    assert library.describe_model_users([model.id]) == (
        "2 images were made with it; they stay, and cannot be made again once the model is deleted. "
        "1 LoRA was trained for it and works only with it."
    )
    library.trash([first.id])
    assert library.describe_model_users([model.id]).startswith("1 image was")
    library.trash([model.id])
    assert library.describe_model_users([model.id]).startswith("1 image was")
    assert library.describe_model_users([first.id, "0" * 64]) == ""


def test_a_lora_in_a_prompt_is_known_by_its_weights(library: Library, tmp_path: Path) -> None:
    lora = save_model(library, tmp_path / "a", "lora")
    paint(library, 1, "starter", ModelRef("Fox", digest_weights(Path(lora.path))))
    assert library.describe_model_users([lora.id]).startswith("1 image was made with it")


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ({}, ""),
        ({"image": 1200, "text": 1}, "1,200 images and 1 text were made with it; they stay, and cannot be made again"),
        ({"image": 1, "animation": 2, "model": 1}, "1 image, 2 animations and 1 model were made with it;"),
        ({"lora": 2}, "2 LoRAs were trained for it and work only with it."),
    ],
)
def test_sentences(counts: dict[str, int], sentence: str) -> None:
    assert describe_users(counts).startswith(sentence)
    assert bool(describe_users(counts)) == bool(counts)
