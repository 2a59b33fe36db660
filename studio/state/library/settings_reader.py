"""Reads what a file from outside offers to a form, and chooses the tool for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.core import params_schema
from studio.core.descriptor import ToolDescriptor, Widget
from studio.core.untrusted_files import name_for_display, read_or_else
from studio.engine.character_values import CHAT, GREETING, STORY, fit_card, fit_lorebook
from studio.engine.foreign_values import TEXT_TO_IMAGE, FittedField, fit_fields
from studio.library.foreign.fields import MORE, list_fields
from studio.library.foreign.metadata import ForeignMetadata
from studio.library.index.found_settings import FoundSettings
from studio.library.library import Library

_SHOWN_ONLY = ("strength", "model_hash", "vae_hash")
"""Fields that are expected to have no parameter, which is no news."""


@dataclass(frozen=True)
class SettingsOffer:
    """What a file carries, and what it becomes in the form of `tool`.

    `can_import` is False for a file that is no image or video, and for what is in the library already. Of `choices`,
    names of settings, only one can be used; the first is proposed.
    """

    path: Path
    title: str
    tool: ToolDescriptor
    settings: Sequence[FittedField]
    can_import: bool = True
    choices: Sequence[str] = ()

    @property
    def file_name(self) -> str:
        return name_for_display(self.path)

    @property
    def imports_when_used(self) -> bool:
        """Whether the file is imported with its settings: an image is, and a character card is not."""
        return self.can_import and self.tool.output != "text"

    @property
    def problems(self) -> list[str]:
        """Sentences about what cannot be used and could have been expected to."""
        return [problem for setting in self.settings if (problem := describe_problem(setting))]

    def combine(self, names: Collection[str]) -> dict[str, Any]:
        """Return the values of the named settings. Several texts for one prompt are joined in their order."""
        prompts = {field.name for field in params_schema.read_fields(self.tool.schema) if field.widget is Widget.PROMPT}
        values: dict[str, Any] = {}
        for setting in self.settings:
            for name, value in setting.values.items() if setting.field.name in names else ():
                is_joined = name in prompts and name in values
                values[name] = f"{values[name]}\n\n{value}" if is_joined else value
        return values

    def find_seed(self, names: Collection[str]) -> int | None:
        return next((one.seed for one in self.settings if one.seed is not None and one.field.name in names), None)


def describe_problem(setting: FittedField) -> str:
    """Return the sentence that says what of a setting is not used; empty for one that is only for the screen."""
    name = setting.field.name
    return "" if name in _SHOWN_ONLY or name.startswith(MORE) else setting.note


def read_offer(
    path: Path,
    tools: Mapping[str, ToolDescriptor],
    current: ToolDescriptor | None,
    names: tuple[str, str],
    library: Library,
) -> SettingsOffer | None:
    """Read what a file offers. Return None if that is nothing, or nothing of use here. Never raises for its content.

    `names` are those of the character and of the person in a chat.
    """
    return read_or_else(None, _read_offer, path, tools, current, names, library)


def _read_offer(
    path: Path,
    tools: Mapping[str, ToolDescriptor],
    current: ToolDescriptor | None,
    names: tuple[str, str],
    library: Library,
) -> SettingsOffer | None:
    found = library.reader.find_settings(path)
    offer = (
        _offer_character(path, found, tools, current, names)
        if found.metadata is None
        else _offer_metadata(path, found.metadata, found.is_video, list(tools.values()), current, library)
    )
    return offer if offer and any(setting.is_usable for setting in offer.settings) else None


def _offer_metadata(
    path: Path,
    metadata: ForeignMetadata,
    is_video: bool,
    tools: Sequence[ToolDescriptor],
    current: ToolDescriptor | None,
    library: Library,
) -> SettingsOffer | None:
    tool = (choose_tool(tools, current, "animation") if is_video else None) or choose_tool(tools, current, "image")
    if tool is None:
        return None
    settings = fit_fields(list_fields(metadata), tool, library)
    return SettingsOffer(path, f"Settings from {metadata.source}", tool, settings, path.suffix.lower() != ".json")


def _offer_character(
    path: Path,
    found: FoundSettings,
    tools: Mapping[str, ToolDescriptor],
    current: ToolDescriptor | None,
    names: tuple[str, str],
) -> SettingsOffer | None:
    if found.card is not None and (tool := tools.get(CHAT)):
        settings = fit_card(found.card, tool, names[1])
        greetings = [one.field.name for one in settings if one.field.name.startswith(GREETING)]
        is_image = path.suffix.lower() == ".png"
        return SettingsOffer(path, f"Character card of {found.card.name}", tool, settings, is_image, greetings)
    tool = current if current and current.id in (CHAT, STORY) else tools.get(STORY)
    if found.book is not None and tool is not None:
        settings = fit_lorebook(found.book, tool, *names)
        title = f"Lorebook {found.book.name}".strip()
        return SettingsOffer(path, title, tool, settings, can_import=False)
    return None


def choose_tool(tools: Sequence[ToolDescriptor], current: ToolDescriptor | None, output: str) -> ToolDescriptor | None:
    """Return the tool that makes such a result from a prompt alone: the current one, or the usual one, or any."""
    fitting = {tool.id: tool for tool in tools if tool.output == output and _starts_from_prompt(tool)}
    if current is not None and current.id in fitting:
        return current
    return fitting.get(TEXT_TO_IMAGE) or next(iter(fitting.values()), None)


def _starts_from_prompt(tool: ToolDescriptor) -> bool:
    fields = params_schema.read_fields(tool.schema)
    return any(field.name == "prompt" for field in fields) and not any(
        field.is_input and field.required for field in fields
    )
