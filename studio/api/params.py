"""The types of a tool's parameters. The type of a field picks its widget in the form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, JsonValue
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


class Params(BaseModel):
    """Base class of a tool's parameters. Plain `int`, `float`, `bool`, `str`, `Literal` and lists work too."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=())

    field_order: ClassVar[tuple[str, ...]] = ()
    """Names of fields in the order of the form, for a class that inherits fields. Others follow as declared."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = super().__get_pydantic_json_schema__(core_schema, handler)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name in (*cls.field_order, *(name for name in [*properties] if name not in cls.field_order)):
            properties[name] = properties.pop(name)
        return schema


def _widget(name: str) -> dict[str, JsonValue]:
    return {"studio": {"widget": name}}


ImageInput = Annotated[Path, Field(json_schema_extra=_widget("image"))]
"""A picture, shown as a drop well. The tool gets a path; `api.images.open_picture` reads it."""

MaskInput = Annotated[Path, Field(json_schema_extra=_widget("mask"))]
"""A mask painted over `image` on the canvas, white where the tool may change it. A path to a grey picture."""

FileInput = Annotated[Path, Field(json_schema_extra=_widget("file"))]
"""Any other file, such as a video. Restrict it to suffixes with `api.param(accepts=…)`."""

FolderInput = Annotated[Path, Field(json_schema_extra=_widget("folder"))]
"""A folder. The recipe of a result stores its name and a hash of its contents, and never its path."""

Prompt = Annotated[str, Field(json_schema_extra=_widget("prompt"), max_length=1_000_000)]
"""Text in a multi-line editor."""

PageText = Annotated[str, Field(json_schema_extra=_widget("page"), max_length=1_000_000)]
"""The text of the page on the canvas up to the cursor; it is not in the form. The result must begin with it."""

Unit = Annotated[float, Field(ge=0.0, le=1.0, json_schema_extra=_widget("unit"))]
"""A fraction from 0 to 1, shown as a slider in per cent."""

Count = Annotated[int, Field(ge=1, le=10_000, json_schema_extra=_widget("whole"))]
"""A whole number of things, at least one."""

ArrowInput = Annotated[str, Field(max_length=100, json_schema_extra=_widget("points"))]
"""From a point of `image` to another one, dragged on the canvas: "30, 40 > 55, 40" in per cent of width and height.

Declare a list of it. `api.parse_point_pair` reads it.
"""

Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$", json_schema_extra=_widget("colour"))]
"""A colour as ``#rrggbb``."""

ModelChoice = Annotated[str, Field(json_schema_extra=_widget("model"))]
"""A model: the name of a starter, the id of a trained model, a folder, a file, or a hub id.

Set the kind with `api.param("vae-spatial", model="autoencoder")`, several kinds separated by spaces;
`ctx.model(choice)` returns its path.
"""


def param(
    default: Any = ...,
    *,
    title: str | None = None,
    help: str | None = None,
    ge: float | None = None,
    le: float | None = None,
    step: float | None = None,
    min_items: int | None = None,
    max_items: int | None = None,
    unit: str = "",
    model: str = "",
    tiles: bool = False,
    accepts: tuple[str, ...] = (),
    labels: tuple[str, ...] = (),
    pad: str = "",
    advanced: bool = False,
    group: str = "",
) -> Any:
    """Declare a parameter with its bounds and texts for the form.

    `ge` and `le` are inclusive bounds; `min_items` and `max_items` bound the length of a list; `unit`
    is shown after a number ("px", "frames per second"); `labels` are the texts for the choices of a
    `Literal`, in order; `advanced` fields are folded away at first; fields of a `group` share a heading.
    With `tiles` the models of a `ModelChoice` are shown as tile images (``preview.webp`` in a model's
    folder), and a picture or file that is dropped on a tile is processed with that model at once. With
    `pad`, the name of another number with bounds, both can be set on a pad too: this one to the right, the
    other one up. The attribute's docstring is its help text, unless `help` is given.
    """
    options: dict[str, JsonValue] = {
        "ge": ge,
        "le": le,
        "unit": unit,
        "step": step,
        "model": model,
        "tiles": tiles,
        "accepts": [*accepts],
        "labels": [*labels],
        "pad": pad,
        "advanced": advanced,
        "group": group,
    }
    extra: dict[str, JsonValue] = {name: value for name, value in options.items() if value not in (None, "", [], False)}
    return Field(
        default,
        title=title,
        description=help,
        ge=ge,
        le=le,
        min_length=min_items,
        max_length=max_items,
        json_schema_extra={"studio_more": extra},
    )
