"""What a stranger's recipe may use without asking: each kind of parameter that can carry a path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from studio import api
from studio.core import params_schema
from studio.core.descriptor import ToolDescriptor
from studio.core.errors import BadInput
from studio.core.recipe import ModelRef, PluginRef, Recipe
from studio.engine.recipe_builder import build_recipe, restore_values
from studio.engine.recipe_consent import describe_uses, find_outside_uses
from studio.library.library import Library
from studio.library.models import external_folders, local_paths

ID = "sha256:" + "0" * 64


class Params(api.Params):
    image: api.ImageInput | None = None
    images: list[api.ImageInput] = []
    mask: api.MaskInput | None = None
    file: api.FileInput | None = None
    folder: api.FolderInput | None = None
    folders: list[api.FolderInput] = []
    model: api.ModelChoice = ""
    models: list[api.ModelChoice] = []
    prompt: api.Prompt = ""
    page: api.PageText = ""
    text: str = ""
    texts: list[str] = []
    path: Path | None = None
    paths: list[Path] = []
    colour: api.Colour = "#000000"
    arrow: api.ArrowInput = ""


TOOL = ToolDescriptor(id="test.all", title="All", plugin="test", schema=Params.model_json_schema())


def restore(library: Library, params: dict[str, Any], **more: Any) -> dict[str, Any]:
    recipe = Recipe(tool=TOOL.id, plugin=PluginRef("test"), params=params, **more)
    return restore_values(TOOL, recipe, library)


def find(library: Library, params: dict[str, Any], **more: Any) -> list[str]:
    return [use.value for use in find_outside_uses(TOOL, restore(library, params, **more), library.home)]


def test_this_test_has_every_type_of_the_api() -> None:
    tested = {field.widget for field in params_schema.read_fields(TOOL.schema)}
    others = {"number", "whole", "unit", "switch", "choice"}
    assert {widget.value for widget in tested} | others == {widget.value for widget in type(next(iter(tested)))}


@pytest.mark.parametrize(
    "value", ["/etc/passwd", "~/.ssh/id_rsa", "secret.txt", "../x.png", "abcdef", "sha256:/etc/passwd"]
)
@pytest.mark.parametrize("field", ["image", "images", "mask", "file"])
def test_inputs_are_taken_by_content_alone(library: Library, field: str, value: str) -> None:
    with pytest.raises(BadInput, match="names a file by its path, which is not used"):
        restore(library, {field: [value] if field == "images" else value}, inputs={field: value})


@pytest.mark.parametrize("value", ["/etc", "~/.ssh", "C:\\Users\\me", "..", "photos", "\0", "/" + "x" * 9000])
@pytest.mark.parametrize("field", ["folder", "folders"])
def test_every_folder_is_asked_for(library: Library, field: str, value: str) -> None:
    assert find(library, {field: [value] if field == "folders" else value}) == [value]


@pytest.mark.parametrize(
    "value",
    [
        "/etc/passwd",
        "~/.ssh",
        "~nosuchuser/x",
        "../../x.safetensors",
        "org/not-here",
        "C:\\models\\x.gguf",
        "/\0/x",
        "x" * 300,
    ],
)
@pytest.mark.parametrize("field", ["model", "models"])
def test_a_model_elsewhere_is_asked_for(library: Library, field: str, value: str) -> None:
    assert find(library, {field: [value] if field == "models" else value}) == [value]


def test_a_model_in_the_folder_of_the_command_is_asked_for(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here.safetensors").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    assert find(library, {"model": "here.safetensors"}) == ["here.safetensors"]


def test_known_models_are_used_without_asking(library: Library, tmp_path: Path) -> None:
    library.home.models.mkdir(parents=True, exist_ok=True)
    (library.home.models / "mine.safetensors").write_bytes(b"x")
    (library.home.models / "org--name").mkdir()
    elsewhere = tmp_path / "ComfyUI" / "models" / "loras"
    elsewhere.mkdir(parents=True)
    (elsewhere / "other.safetensors").write_bytes(b"x")
    external_folders.refresh(library.home, [str(tmp_path / "ComfyUI")])
    for known in (
        "mine.safetensors", "ink", "style-ink", "org/name", str(library.home.models / "mine.safetensors"),
        "other.safetensors", str(elsewhere / "other.safetensors"),
    ):  # fmt: skip
        assert find(library, {"model": known}) == [], known
    outside = f"{library.home.models}/../../secret.safetensors"
    assert find(library, {"model": outside}) == [outside]
    assert find(library, {"model": "nothing-of-this-name"}) == [], "which finds nothing, and so uses nothing"


@pytest.mark.parametrize("field", ["text", "texts", "path", "paths"])
def test_a_path_in_any_other_parameter_is_asked_for(library: Library, field: str) -> None:
    for value in ("/etc/passwd", "~/.ssh", "C:\\Windows\\x"):
        assert find(library, {field: [value] if field.endswith("s") else value}) == [value]


def test_a_relative_path_of_a_path_parameter_is_asked_for(library: Library) -> None:
    assert find(library, {"path": "../x", "paths": ["y"]}) == ["../x", "y"]


@pytest.mark.parametrize("field", ["text", "prompt", "page"])
def test_a_model_in_a_tag_of_a_prompt_is_asked_for(library: Library, field: str) -> None:
    assert find(library, {field: "a fox <lora:/etc/passwd:0.8>, <lora:C:\\x\\y:1> <lora:ink:1>"}) == [
        "/etc/passwd",
        "C:\\x\\y",
    ]
    assert find(library, {field: "/imagine a fox, 1/2 blue, a <b> and https://example.com/a"}) == []


def test_the_sentence_names_what_is_asked_for(library: Library) -> None:
    values = restore(library, {"folder": "/a\x1b[31m" + "b" * 200, "model": "org/big"})
    sentence = describe_uses(find_outside_uses(TOOL, values, library.home))
    assert sentence.startswith(
        "This recipe uses what is outside of the library and the model folders: Folder /a\ufffd[31mbb"
    )
    assert sentence.endswith("…; Model org/big (a download).")
    assert sentence.isprintable()


def test_a_model_that_was_used_by_its_path_is_found_by_its_hash(library: Library, tmp_path: Path) -> None:
    for name, content in (("a", "aa"), ("b", "bb")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "m.safetensors").write_text(content)
        local_paths.remember(library.home, "m.safetensors", tmp_path / name / "m.safetensors", content * 32)
    for name, content in (("a", "aa"), ("b", "bb")):
        models = [ModelRef("m.safetensors", content * 32)]
        values = restore(library, {"model": "m.safetensors", "text": "m.safetensors"}, models=models)
        assert values["model"] == str(tmp_path / name / "m.safetensors")
        assert values["text"] == "m.safetensors"
        assert find_outside_uses(TOOL, values, library.home) == []


def test_a_folder_is_found_again_and_asked_for(library: Library, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    reference = "folder:0123456789abcdef/photos"
    with pytest.raises(BadInput, match="The folder photos is not known here"):
        build_recipe(TOOL, restore(library, {"folder": reference}), 0, library)
    local_paths.remember(library.home, reference, tmp_path / "photos")
    assert find(library, {"folder": reference}) == [str(tmp_path / "photos")]
    values = restore(library, {"folder": reference})
    assert build_recipe(TOOL, values, 0, library).params["folder"] == str(tmp_path / "photos")


def test_a_damaged_table_of_paths_is_as_good_as_none(library: Library, tmp_path: Path) -> None:
    (library.home.root / local_paths.FILE).write_text(json.dumps([["a"], 3]))
    assert local_paths.find(library.home, "a") is None
    local_paths.remember(library.home, "a", tmp_path)
    assert local_paths.find(library.home, "a") == tmp_path
