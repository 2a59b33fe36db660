"""Fields of a JSON schema, and the rules that check their values."""

from typing import Annotated, Any, Literal

import pydantic
import pytest

from studio import api
from studio.core import params_schema
from studio.core.descriptor import ToolDescriptor, Widget
from studio.core.errors import BadInput


class AllFields(api.Params):
    images: list[api.ImageInput] = api.param(min_items=2, max_items=3)
    """The images, in order."""
    negative_prompt: api.Prompt = ""
    strength: api.Unit = 0.5
    frames: api.Count = api.param(24, le=500, unit="frames")
    size: Literal[256, 512] = api.param(256, labels=("Small", "Large"))
    path: Literal["straight", "curved"] = "straight"
    loop: bool = False
    mask: api.MaskInput | None = None
    model: api.ModelChoice = api.param("vae-spatial", model="autoencoder")
    scale: float = api.param(1.0, ge=-2, le=2, advanced=True)
    paper: api.Colour = "#ffffff"
    gamma: Annotated[float, pydantic.Field(gt=0, lt=10)] = 1.0
    tile: Annotated[int, pydantic.Field(multiple_of=8)] = 64
    note: Annotated[str, pydantic.Field(max_length=5)] = ""


TOOL = ToolDescriptor(id="a.b", title="Tool", plugin="p", schema=AllFields.model_json_schema())
PICTURES = {"images": ["a.png", "b.png"]}


def test_each_type_gets_its_widget() -> None:
    found = {field.name: field for field in params_schema.read_fields(TOOL.schema)}
    assert [field.widget for field in found.values()] == [
        Widget.IMAGE, Widget.PROMPT, Widget.UNIT, Widget.WHOLE, Widget.CHOICE, Widget.CHOICE,
        Widget.SWITCH, Widget.MASK, Widget.MODEL, Widget.NUMBER,
        Widget.COLOUR, Widget.NUMBER, Widget.WHOLE, Widget.TEXT,
    ]  # fmt: skip
    assert found["images"].many
    assert found["images"].required
    assert (found["images"].min_items, found["images"].max_items) == (2, 3)
    assert found["images"].help == "The images, in order."
    assert found["negative_prompt"].title == "Negative prompt"
    assert (found["frames"].minimum, found["frames"].maximum, found["frames"].unit) == (1, 500, "frames")
    assert found["size"].labels == ("Small", "Large")
    assert found["path"].labels == ("Straight", "Curved")
    assert found["mask"].optional
    assert found["model"].model == "autoencoder"
    assert found["scale"].advanced


def test_defaults_are_filled_in_and_text_is_parsed() -> None:
    values = params_schema.check_values(
        TOOL, PICTURES | {"frames": "48", "size": "512", "loop": "yes", "strength": "0.25"}
    )
    assert (values["frames"], values["size"], values["loop"], values["strength"]) == (48, 512, True, 0.25)
    assert (values["mask"], values["path"]) == (None, "straight")
    assert AllFields.model_validate(values).frames == 48


def test_a_single_value_makes_a_list_and_labels_count_as_choices() -> None:
    with pytest.raises(BadInput, match="Images: at least 2 are needed, but 1 was given"):
        params_schema.check_values(TOOL, {"images": "a.png"})
    assert params_schema.check_values(TOOL, PICTURES | {"size": "Large"})["size"] == 512


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "Images is missing"),
        (PICTURES | {"strenght": 1}, "no parameter strenght. Did you mean strength"),
        (PICTURES | {"strength": 2}, "Strength must be between 0 and 1, not 2"),
        (PICTURES | {"frames": 501}, "must be between 1 and 500"),
        (PICTURES | {"frames": "many"}, "Frames must be a number, not 'many'"),
        (PICTURES | {"frames": 1.5}, "whole number"),
        (PICTURES | {"scale": "nan"}, "finite"),
        (PICTURES | {"size": 300}, "Size cannot be 300"),
        (PICTURES | {"path": "strait"}, "Did you mean straight"),
        (PICTURES | {"loop": "maybe"}, "must be yes or no, not 'maybe'"),
        (PICTURES | {"strength": [0.1, 0.2]}, "takes one value"),
        ({"images": ["a", "b", "c", "d"]}, "at most 3 can be used, but 4 were given"),
        (PICTURES | {"strength": None}, "Strength is missing"),
        (PICTURES | {"paper": "red"}, "Paper cannot be 'red'. Write it as #rrggbb"),
        (PICTURES | {"gamma": 0}, "Gamma must be more than 0 and less than 10, not 0"),
        (PICTURES | {"tile": 60}, "Tile must be a multiple of 8, not 60"),
        (PICTURES | {"note": "longer"}, "Note has 6 characters; the maximum is 5"),
    ],
)
def test_an_invalid_value_is_reported_in_one_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        params_schema.check_values(TOOL, values)


def test_values_that_pydantic_refuses_are_refused_before() -> None:
    for name, value in {"paper": "red", "gamma": 0, "tile": 60, "note": "longer", "strength": 2}.items():
        with pytest.raises(pydantic.ValidationError):
            AllFields.model_validate(PICTURES | {name: value})
        assert [*params_schema.find_errors(TOOL, PICTURES | {name: value})] == [name]
    assert params_schema.find_errors(TOOL, {"strength": 2}).keys() == {"images", "strength"}
