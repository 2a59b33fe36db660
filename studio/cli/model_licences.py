"""Prepares models for a job of the command line: scans external folders and shows licences once."""

from __future__ import annotations

from contextlib import suppress

from msgspec.structs import replace

from studio.cli.app_context import AppContext
from studio.cli.console import Console
from studio.core import params_schema, settings
from studio.core.descriptor import ToolDescriptor
from studio.core.errors import StudioError
from studio.core.recipe import Recipe
from studio.library.models import external_folders
from studio.library.models.licences import find_unaccepted


def scan_model_folders(app: AppContext, console: Console) -> None:
    """Scan the model folders of the settings, so that their models can be chosen by file name."""
    if app.settings.model_folders or external_folders.load(app.home):
        console.show_bar(None, "Scanning the model folders")
        with suppress(StudioError):  # without the cache, the next command scans again
            external_folders.refresh(app.home, app.settings.model_folders)
        console.clear_bar()


def show_licences(tool: ToolDescriptor, recipe: Recipe, app: AppContext, console: Console) -> None:
    """Print the licence of each model that is used for the first time, and store in the settings that it was shown."""
    stored = settings.load(app.home.settings)
    licences = find_unaccepted(
        app.home, params_schema.find_model_choices(tool, recipe.params), stored.accepted_licences
    )
    for terms in licences:
        console.print_note(f"{terms.sentence} Read it at {terms.link}" if terms.link else terms.sentence)
    if licences:
        keys = (*stored.accepted_licences, *(terms.key for terms in licences))
        with suppress(StudioError):
            settings.save(app.home.settings, replace(stored, accepted_licences=keys))
