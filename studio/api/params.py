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


def _shown(widget: str, **more: Any) -> dict[str, Any]:
    return {"studio": {"widget": widget, **more}}


ImageInput = Annotated[Path, Field(json_schema_extra=_shown("image"))]
"""A picture: a drop well. The tool gets a path; `api.images.open_picture` reads it."""

MaskInput = Annotated[Path, Field(json_schema_extra=_shown("mask"))]
"""A mask painted over `image` on the canvas, white where the tool may change it. A path to a grey picture."""

FileInput = Annotated[Path, Field(json_schema_extra=_shown("file"))]
"""Any other file that is read, such as a video. Narrow it with `api.param(accepts=…)`."""

FolderInput = Annotated[Path, Field(json_schema_extra=_shown("folder"))]
"""A folder. It is named by path in the recipe, since its content may change."""

Prompt = Annotated[str, Field(json_schema_extra=_shown("prompt"), max_length=1_000_000)]
"""Words in a multi-line editor."""

PageText = Annotated[str, Field(json_schema_extra=_shown("page"), max_length=1_000_000)]
"""The words of the page on the canvas, up to the cursor, and so not in the form. The result is that text and more."""

Unit = Annotated[float, Field(ge=0.0, le=1.0, json_schema_extra=_shown("unit"))]
"""A share from 0 to 1, shown as a slider in per cent."""

Count = Annotated[int, Field(ge=1, le=10_000, json_schema_extra=_shown("whole"))]
"""A whole number of things, at least one."""

Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$", json_schema_extra=_shown("colour"))]
"""A colour as ``#rrggbb``."""

ModelChoice = Annotated[str, Field(json_schema_extra=_shown("model"))]
"""A model: the name of a starter, the id of a trained one, a folder, a file, or a hub id.

Say which kind with `api.param("vae-spatial", model="autoencoder")`, several with a space between;
`ctx.model(choice)` finds it.
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
    advanced: bool = False,
    group: str = "",
) -> Any:
    """A field with bounds and words for the form.

    `ge` and `le` are inclusive bounds; `min_items` and `max_items` bound the length of a list; `unit`
    stands behind the number ("px", "frames a second"); `labels` are the artist's words for the
    choices of a `Literal`, in order; `advanced` fields start folded away. With `tiles` the models
    of a `ModelChoice` are shown with their pictures (``preview.webp`` in a model's folder), and
    what is dropped on one is made with it at once. The attribute's docstring is its help, unless
    `help` is given.
    """
    shown: dict[str, JsonValue] = {
        "ge": ge,
        "le": le,
        "unit": unit,
        "step": step,
        "model": model,
        "tiles": tiles,
        "accepts": [*accepts],
        "labels": [*labels],
        "advanced": advanced,
        "group": group,
    }
    extra: dict[str, JsonValue] = {name: value for name, value in shown.items() if value not in (None, "", [], False)}
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
