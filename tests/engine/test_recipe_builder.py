"""Recipes built from form values, and the form values that a recipe gives back."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from studio.core.descriptor import ToolDescriptor
from studio.core.errors import BadInput
from studio.core.recipe import PluginRef, Recipe
from studio.engine.recipe_builder import build_recipe, input_paths, restore_values
from studio.library.creation import Creation, CreationKind
from studio.library.library import Library
from studio.library.storage import writer


def describe_field(widget: str, **more: object) -> dict[str, object]:
    """Return the JSON schema of a field with this widget."""
    return {"type": "string", "studio": {"widget": widget}, **more}


def get(library: Library, creation: str) -> Creation:
    stored = library.get(creation)
    assert stored is not None
    return stored


TOOL = ToolDescriptor(
    id="test.mix",
    title="Mix",
    plugin="test",
    plugin_version="1.2",
    version=3,
    schema={
        "properties": {
            "image": describe_field("image"),
            "images": {"type": "array", "items": describe_field("image"), "default": []},
            "folder": {"anyOf": [describe_field("folder"), {"type": "null"}], "default": None},
            "model": {**describe_field("model", default="small"), "studio_more": {"model": "mixer"}},
            "steps": {"type": "integer", "default": 4, "minimum": 1},
        },
        "required": ["image"],
    },
)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "cat.png"
    Image.new("RGB", (4, 3), "teal").save(path)
    return path


def test_inputs_are_imported_and_named_by_their_digest(library: Library, picture: Path) -> None:
    recipe = build_recipe(TOOL, {"image": str(picture), "images": [picture, picture]}, 5, library)
    reference = recipe.inputs["image"]
    creation = get(library, reference)
    assert recipe.params["image"] == reference == f"sha256:{creation.id}"
    assert recipe.params["images"] == [reference, reference]
    assert set(recipe.inputs) == {"image", "images[0]", "images[1]"}
    assert recipe.parents == [creation.id]
    assert (recipe.seed, recipe.tool_version, recipe.plugin.version) == (5, 3, "1.2")
    assert recipe.params["steps"] == 4
    assert input_paths(recipe, library) == {reference: creation.path}


def test_an_input_may_be_the_id_path_or_reference_of_a_creation(library: Library, picture: Path) -> None:
    creation = library.import_file(picture)
    for value in (creation.id, creation.id[:8], f"sha256:{creation.id}", creation.path):
        assert build_recipe(TOOL, {"image": value}, 0, library).inputs["image"] == f"sha256:{creation.id}"


def test_restored_values_build_the_same_recipe(library: Library, picture: Path) -> None:
    recipe = build_recipe(TOOL, {"image": picture, "images": [picture], "steps": 9}, 1, library)
    values = restore_values(TOOL, recipe, library)
    assert values["image"] == values["images"][0] == get(library, recipe.inputs["image"]).path
    again = build_recipe(TOOL, values, 1, library)
    assert (again.params, again.inputs) == (recipe.params, recipe.inputs)


def test_a_missing_input_stays_a_reference_that_builds_no_recipe(library: Library, picture: Path) -> None:
    recipe = build_recipe(TOOL, {"image": picture}, 1, library)
    Path(get(library, recipe.inputs["image"]).path).unlink()
    values = restore_values(TOOL, recipe, library)
    assert values["image"] == recipe.inputs["image"]
    with pytest.raises(BadInput, match="no longer in the library"):
        build_recipe(TOOL, values, 1, library)
    with pytest.raises(BadInput, match="file for image is no longer"):
        input_paths(recipe, library)


@pytest.mark.parametrize(
    ("values", "seed", "sentence"),
    [
        ({"image": "/nowhere/cat.png"}, 0, "There is no file /nowhere/cat.png. Check the path."),
        ({"image": "abcdef123"}, 0, "There is neither a file nor a creation abcdef123."),
        ({"image": "sha256:" + "0" * 64}, 0, "no longer in the library"),
        ({"image": "/" + "x" * 300}, 0, "Image cannot be read: File name too long. Check the path."),
        ({"image": "a\0b"}, 0, "Check the path."),
        ({}, 0, "Image is missing."),
        ({"imagee": "x"}, 0, "Did you mean image"),
        ({"image": "x", "steps": 0}, 0, "Steps must be at least 1, not 0."),
        ({"image": "x"}, -1, "The seed must be between 0 and 4294967295, not -1"),
        ({"image": "x"}, 2**32, "must be between 0 and 4294967295"),
    ],
)
def test_a_value_that_cannot_be_used_is_reported(
    library: Library, values: dict[str, object], seed: int, sentence: str
) -> None:
    with pytest.raises(BadInput) as failure:
        build_recipe(TOOL, values, seed, library)
    assert sentence in str(failure.value)


def test_folders_become_absolute_and_must_exist(
    library: Library, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(picture.parent)
    assert build_recipe(TOOL, {"image": picture, "folder": "."}, 0, library).params["folder"] == str(picture.parent)
    with pytest.raises(BadInput, match="There is no folder"):
        build_recipe(TOOL, {"image": picture, "folder": "nowhere"}, 0, library)


def test_the_path_of_a_model_becomes_absolute_and_its_name_stays(
    library: Library, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(picture.parent)
    (picture.parent / "mine").mkdir()
    for value, expected in (
        ("./mine", str(picture.parent / "mine")),
        ("mine", "mine"),
        ("author/model", "author/model"),
        ("small", "small"),
    ):
        assert build_recipe(TOOL, {"image": picture, "model": value}, 0, library).params["model"] == expected


def test_a_mask_is_stored_for_lineage_and_hidden_from_the_history(
    library: Library, picture: Path, tmp_path: Path
) -> None:
    mask = tmp_path / "mask.png"
    Image.new("L", (4, 3), 255).save(mask)
    tool = ToolDescriptor(
        id="test.fill",
        title="Fill",
        plugin="test",
        schema={
            "properties": {"image": describe_field("image"), "mask": describe_field("mask")},
            "required": ["image", "mask"],
        },
    )
    recipe = build_recipe(tool, {"image": picture, "mask": mask}, 1, library)
    creation = get(library, recipe.inputs["mask"])
    assert (creation.kind, creation.width, creation.height) == (CreationKind.FILE, 4, 3)
    assert creation.id in recipe.parents
    assert creation.id not in library.find_ids()
    assert build_recipe(tool, {"image": picture, "mask": mask}, 1, library).inputs == recipe.inputs
    library.sweep()
    assert creation.id not in library.find_ids()
    assert library.import_file(mask).kind is CreationKind.IMAGE, "opened for itself, it is an image like any other"
    assert creation.id in library.find_ids()
    assert build_recipe(tool, {"image": picture, "mask": mask}, 1, library).inputs == recipe.inputs
    assert creation.id in library.find_ids()


def train(library: Library, folder: Path, kind: str = "mixer") -> Creation:
    """Save a model called Fox, or so with a number."""
    folder.mkdir()
    (folder / "model.safetensors").write_text(folder.name)
    recipe = Recipe(tool="mix.train", plugin=PluginRef("mix"))
    return library.add(writer.save_model(library.home, folder, recipe, title="Fox", kind=kind))


def test_the_name_of_a_trained_model_becomes_its_id(library: Library, picture: Path, tmp_path: Path) -> None:
    model, second = train(library, tmp_path / "a"), train(library, tmp_path / "b")
    for name, expected in {"fox": model.id, "Fox 2": second.id, "small": "small", "Foks": "Foks"}.items():
        assert build_recipe(TOOL, {"image": picture, "model": name}, 0, library).params["model"] == expected
    recipe = build_recipe(TOOL, {"image": picture, "model": "Fox"}, 0, library)
    library.rename(model.id, "Red fox")
    values = restore_values(TOOL, recipe, library)
    assert build_recipe(TOOL, values, 0, library).params["model"] == model.id
    assert build_recipe(TOOL, {"image": picture, "model": "Fox"}, 0, library).params["model"] == model.id


def test_a_name_of_several_models_is_refused_unless_one_is_of_the_kind(
    library: Library, picture: Path, tmp_path: Path
) -> None:
    model, second = train(library, tmp_path / "a"), train(library, tmp_path / "b", kind="other")
    about = Path(second.path, "studio.json")  # an earlier version gave one name to several models
    about.write_text(about.read_text().replace("Fox 2", "Fox"))
    library.sweep()
    assert build_recipe(TOOL, {"image": picture, "model": "Fox"}, 0, library).params["model"] == model.id
    about.write_text(about.read_text().replace('"other"', '"mixer"'))
    library.sweep()
    with pytest.raises(BadInput, match="2 models are called Fox") as raised:
        build_recipe(TOOL, {"image": picture, "model": "Fox"}, 0, library)
    assert Path(model.path).name in str(raised.value)
