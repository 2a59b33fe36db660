"""Descriptors of plugins and tools, from which forms are built and values are checked without plugin code."""

from __future__ import annotations

from enum import Enum
from typing import Any

from msgspec import Struct, field


class Widget(Enum):
    """The form control of a parameter. Plugins choose it by the type of the field (`studio.api`)."""

    TEXT = "text"
    PROMPT = "prompt"
    PAGE = "page"
    NUMBER = "number"
    WHOLE = "whole"
    UNIT = "unit"
    SWITCH = "switch"
    CHOICE = "choice"
    IMAGE = "image"
    MASK = "mask"
    FILE = "file"
    FOLDER = "folder"
    MODEL = "model"
    COLOUR = "colour"
    POINTS = "points"


class Field(Struct, frozen=True, kw_only=True, rename={"min_items": "least", "max_items": "most"}):
    """One parameter. `minimum` and `maximum` are inclusive, `above` and `below` exclusive; None means no bound.

    `step` is what the arrows of a spin box add, `multiple_of` a rule. `max_length` counts characters, and `pattern` is
    a regular expression for a text.

    For a list (`many`), `min_items` and `max_items` bound its length. `model` names the kind of model
    that a `Widget.MODEL` field offers, and `tiles` shows them as tiles to drop images on. `accepts` lists
    file extensions for `Widget.FILE`. In `descriptors.json` the bounds of a list are called `least` and `most`.
    """

    name: str
    title: str
    help: str = ""
    widget: Widget = Widget.TEXT
    default: Any = None
    required: bool = False
    optional: bool = False
    many: bool = False
    min_items: int = 0
    max_items: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    multiple_of: float | None = None
    step: float | None = None
    max_length: int | None = None
    pattern: str = ""
    unit: str = ""
    choices: tuple[str | int | float, ...] = ()
    labels: tuple[str, ...] = ()
    model: str = ""
    tiles: bool = False
    accepts: tuple[str, ...] = ()
    pad: str = ""
    """Name of another number. Both are shown on a pad too, where this one goes to the right and the other one up."""
    advanced: bool = False
    group: str = ""
    format: str = ""
    """The format of a text in JSON Schema, such as ``path``."""

    @property
    def is_path(self) -> bool:
        """True if the value may be a path that no input is imported from: of a folder, a model, or any other."""
        return self.widget in (Widget.FOLDER, Widget.MODEL) or (not self.is_input and self.format.endswith("path"))

    @property
    def is_input(self) -> bool:
        """True if the value is a file, which a recipe refers to by its digest."""
        return self.widget in (Widget.IMAGE, Widget.MASK, Widget.FILE)


class ToolDescriptor(Struct, frozen=True, kw_only=True):
    """A tool. `schema` is the JSON schema of its `Params`; `core.params_schema` reads it."""

    id: str
    title: str
    summary: str = ""
    plugin: str
    plugin_version: str = ""
    version: int = 1
    output: str = "image"
    """`image`, `animation`, `text` or `model`."""
    lane: str = "interactive"
    live: bool = False
    pausable: bool = False
    inspects_data: bool = False
    """Whether it can check its training data before it runs."""
    captions_images: bool = False
    """Whether it captions the images of a folder."""
    deterministic: bool = True
    selection: str = ""
    """Use of selected text on the page: `replace` or `offer`, as in `api.Tool`; empty for none."""
    icon: str = ""
    schema: dict[str, Any] = {}


class PluginDescriptor(Struct, frozen=True, kw_only=True):
    """An installed plugin. If it failed to load, `error` is a sentence and `details` the traceback."""

    name: str
    title: str = ""
    version: str = ""
    source: str = ""
    """`bundled`, `user` or `installed`."""
    path: str = ""
    tools: tuple[ToolDescriptor, ...] = ()
    error: str = ""
    details: str = ""
    notes: tuple[str, ...] = ()
    """Sentences about tools that were refused, although the plugin loaded."""


class Catalogue(Struct, frozen=True):
    """All plugins, and the fingerprint of their source files."""

    plugins: tuple[PluginDescriptor, ...] = ()
    fingerprint: str = ""

    @property
    def tools(self) -> dict[str, ToolDescriptor]:
        """Tools by id."""
        return {tool.id: tool for plugin in self.plugins for tool in plugin.tools}


class DeviceReport(Struct, frozen=True, kw_only=True):
    """The device of a worker. `kind` is cuda, mps, xpu or cpu; empty until the worker has asked torch.

    Memory is in bytes: the device's own, or that of the machine.
    """

    kind: str = "cpu"
    name: str = ""
    dtype: str = "float32"
    memory_total: int = 0
    memory_free: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)
    """Names of all usable devices by torch's identifier, such as ``cuda:0``. Empty until the worker has asked torch."""
