"""What the command line does about models before a job: it looks where they lie, and tells their licences once."""

from __future__ import annotations

from contextlib import suppress

from msgspec.structs import replace

from studio.cli.app_context import Place
from studio.cli.console import Console
from studio.core import params_schema, settings
from studio.core.descriptor import ToolDescriptor
from studio.core.errors import StudioError
from studio.core.recipe import Recipe
from studio.library.models import external_folders
from studio.library.models.licences import find_unaccepted


def look(place: Place, console: Console) -> None:
    """At the model folders of the settings, so that their models can be named by their files' names."""
    if place.settings.model_folders or external_folders.load(place.home):
        console.bar(None, "Looking at the model folders")
        with suppress(StudioError):  # what cannot be remembered is looked at again
            external_folders.refresh(place.home, place.settings.model_folders)
        console.end_bar()


def tell_licences(tool: ToolDescriptor, recipe: Recipe, place: Place, console: Console) -> None:
    """A line for each model that is used for the first time. The settings remember that it was told."""
    chosen = settings.load(place.home.settings)
    found = find_unaccepted(place.home, params_schema.find_model_choices(tool, recipe.params), chosen.accepted_licences)
    for terms in found:
        console.note(f"{terms.sentence} It can be read at {terms.link}" if terms.link else terms.sentence)
    if found:
        told = (*chosen.accepted_licences, *(terms.key for terms in found))
        with suppress(StudioError):
            settings.save(place.home.settings, replace(chosen, accepted_licences=told))
