"""The recipe that is written into results: models and folders by name and hash, and no path of this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from studio.core import params_schema, private_paths
from studio.core.descriptor import Field, Widget
from studio.core.paths import Home
from studio.core.recipe import ModelRef, Recipe
from studio.library.models import local_paths, offers


class SharedRecipe:
    """Names what a job used. The paths are remembered in the home, so that the recipe can be run again here."""

    def __init__(self, home: Home, schema: Mapping[str, Any]) -> None:
        self._home = home
        self._fields = params_schema.read_fields(schema)
        self._models: dict[str, str] = {}
        self._model_paths: set[str] = set()
        self._folders: dict[str, str] = {}
        self._remembered: set[ModelRef] = set()

    def name_model(self, choice: str, name: str) -> None:
        """Note by which name the recipe calls a chosen model."""
        self._models[choice] = name

    def remember_model(self, reference: ModelRef, path: Path) -> None:
        """Remember the path of a model that its name alone does not find."""
        self._model_paths.add(str(path))
        if reference not in self._remembered:
            self._remembered.add(reference)
            if offers.resolve_model(self._home, reference.name) != path.absolute():
                local_paths.remember(self._home, reference.name, path, reference.sha256)

    def clean(self, recipe: Recipe) -> Recipe:
        """Return the recipe with names in place of paths."""
        params = dict(recipe.params)
        for field in self._fields:
            value = params.get(field.name)
            if value and field.is_path:
                params[field.name] = _map(value, self._namer_of(field))
            elif value and field.widget in (Widget.TEXT, Widget.PROMPT, Widget.PAGE):
                params[field.name] = _map(value, self._name_models_in)
        return private_paths.clean_recipe(msgspec.structs.replace(recipe, params=params), self.list_paths(recipe))

    def list_paths(self, recipe: Recipe) -> list[str]:
        """Return the paths that a job with this recipe has seen."""
        values = [recipe.params.get(field.name) for field in self._fields if field.is_path]
        given = [str(item) for value in values for item in (value if isinstance(value, list) else [value])]
        chosen = {str(self._home.root), *given, *self._models, *self._model_paths}
        return [path for path in chosen if private_paths.is_path(path)]

    def _namer_of(self, field: Field) -> Callable[[str], str]:
        match field.widget:
            case Widget.MODEL:
                return self._name_of_model
            case Widget.FOLDER:
                return self._reference_of_folder
            case _:
                return private_paths.name_of_path

    def _name_of_model(self, choice: str) -> str:
        if choice not in self._models:
            path = offers.resolve_model(self._home, choice)
            self._models[choice] = offers.name_of(choice, path) if path else choice
        name = self._models[choice]
        return private_paths.name_of_path(name) if private_paths.is_path(name) else name

    def _reference_of_folder(self, folder: str) -> str:
        """Return the reference of a folder, as it was when it was asked for first."""
        path = Path(folder)
        if folder not in self._folders:
            self._folders[folder] = private_paths.refer_to_folder(path)
            local_paths.remember(self._home, self._folders[folder], path)
        return self._folders[folder]

    def _name_models_in(self, text: str) -> str:
        """Replace the paths of models in the tags of a prompt."""
        for choice, name in self._models.items():
            if private_paths.is_path(choice):
                text = text.replace(choice, name)
        return text


def _map(value: object, convert: Callable[[str], str]) -> object:
    return [convert(str(item)) for item in value] if isinstance(value, list) else convert(str(value))
