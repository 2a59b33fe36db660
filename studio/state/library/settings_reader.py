"""Reads the settings of other programs: in an image or video, in a text file beside it, or in a workflow file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from studio.core import params_schema
from studio.core.descriptor import ToolDescriptor
from studio.core.untrusted_files import name_for_display, read_file, read_or_else
from studio.engine.foreign_values import FittedField, fit_fields
from studio.library.foreign.fields import MORE, list_fields
from studio.library.foreign.metadata import ForeignMetadata, parse_texts, read_metadata
from studio.library.formats import detection
from studio.library.library import Library
from studio.library.storage import recipe_embedding
from studio.state.library.settings_offers import WORKFLOW_SUFFIX

_SHOWN_ONLY = ("strength", "model_hash", "vae_hash")
"""Fields that are expected to have no parameter, which is no news."""
MAX_SIDE_FILE = 4 * 2**20
"""Maximum size in bytes of a workflow, and of a text beside an image."""


@dataclass(frozen=True)
class SettingsOffer:
    """What another program wrote into or beside a file, and what it becomes in the form of `tool`.

    `source` names the program. `can_import` is False for a workflow, and for what is in the library already.
    """

    path: Path
    source: str
    tool: ToolDescriptor
    settings: Sequence[FittedField]
    can_import: bool = True

    @property
    def name(self) -> str:
        return name_for_display(self.path)

    @property
    def problems(self) -> list[str]:
        """Sentences about what cannot be used and could have been expected to."""
        return [problem for setting in self.settings if (problem := describe_problem(setting))]


def describe_problem(setting: FittedField) -> str:
    """Return the sentence that says what of a setting is not used; empty for one that is only for the screen."""
    name = setting.field.name
    return "" if name in _SHOWN_ONLY or name.startswith(MORE) else setting.note


def read_offer(
    path: Path, tools: Sequence[ToolDescriptor], current: ToolDescriptor | None, library: Library
) -> SettingsOffer | None:
    """Read the settings that a file has from another program. Return None if there are none, or none of use here.

    A file with a recipe of the studio has none. Reads files and may decode the image; never raises for their content.
    """
    return read_or_else(None, _read_offer, path, tools, current, library)


def _read_offer(
    path: Path, tools: Sequence[ToolDescriptor], current: ToolDescriptor | None, library: Library
) -> SettingsOffer | None:
    is_workflow = path.suffix.lower() == WORKFLOW_SUFFIX
    format = "" if is_workflow else detection.detect_format(path)
    if not is_workflow and (
        format not in detection.IMAGE_FORMATS | detection.VIDEO_FORMATS or recipe_embedding.read_recipe(path)
    ):
        return None
    found = _read_workflow(path) if is_workflow else read_metadata(path) or _read_text_beside(path)
    output = "animation" if format in detection.VIDEO_FORMATS else "image"
    tool = choose_tool(tools, current, output) or choose_tool(tools, current, "image")
    if found is None or tool is None:
        return None
    settings = fit_fields(list_fields(found), tool, library)
    if not any(setting.is_usable for setting in settings):
        return None
    return SettingsOffer(path, found.source, tool, settings, can_import=not is_workflow)


def choose_tool(tools: Sequence[ToolDescriptor], current: ToolDescriptor | None, output: str) -> ToolDescriptor | None:
    """Return the tool that makes such a result from a prompt alone: the current one, or that with most parameters."""
    fitting = [tool for tool in tools if tool.output == output and _starts_from_prompt(tool)]
    if current in fitting:
        return current
    return max(fitting, key=lambda tool: len(params_schema.read_fields(tool.schema)), default=None)


def _starts_from_prompt(tool: ToolDescriptor) -> bool:
    fields = params_schema.read_fields(tool.schema)
    return any(field.name == "prompt" for field in fields) and not any(
        field.is_input and field.required for field in fields
    )


def _read_workflow(path: Path) -> ForeignMetadata | None:
    """Read a workflow of ComfyUI, in the form of its editor or of its interface for programs."""
    text = _read_text(path)
    return parse_texts({"prompt": text, "workflow": text})


def _read_text_beside(path: Path) -> ForeignMetadata | None:
    """Read the parameters in ``NAME.txt`` beside ``NAME.png``. A caption, without any settings, has none."""
    beside = path.with_suffix(".txt")
    return parse_texts({"UserComment": _read_text(beside)}) if beside.is_file() else None


def _read_text(path: Path) -> str:
    return read_file(path, MAX_SIDE_FILE).decode("utf-8-sig", "replace")
