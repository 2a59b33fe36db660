"""Recipes from a form's values, and values from a recipe."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import __version__
from studio.core import params_schema, private_paths
from studio.core.descriptor import Field, ToolDescriptor, Widget
from studio.core.errors import BadInput
from studio.core.recipe import REFERENCE, SEEDS, PluginRef, Recipe, utc_now
from studio.core.untrusted_files import make_valid
from studio.library.models import hub_cache, local_paths, offers

if TYPE_CHECKING:
    from studio.library.library import Library

_ID = re.compile(r"[0-9a-f]{6,64}")
_REFERENCE = re.compile(rf"{REFERENCE}[0-9a-f]{{64}}")


def build_recipe(tool: ToolDescriptor, values: Mapping[str, Any], seed: int, library: Library) -> Recipe:
    """Return the recipe for a tool with these values. Input files are imported into the library.

    A value for an input is a path, a creation's id (6 digits are enough) or ``sha256:…``.
    Raises BadInput with one sentence for the first value that cannot be used.
    """
    if not 0 <= seed < SEEDS:
        raise BadInput(f"The seed must be between 0 and {SEEDS - 1}, not {seed}.")
    params = params_schema.check_values(tool, values)
    inputs: dict[str, str] = {}
    for field in params_schema.read_fields(tool.schema):
        if not field.is_input:
            _refuse_invalid_text(field, params[field.name])
        with _translate_path_errors(field):
            if field.is_input:
                params[field.name] = _import_inputs(field, params[field.name], library, inputs)
            elif field.widget is Widget.FOLDER:
                params[field.name] = _map_value(params[field.name], _check_folder)
            elif field.widget is Widget.MODEL:
                params[field.name] = _map_value(params[field.name], partial(_resolve_model, library, field))
    return Recipe(
        tool=tool.id,
        tool_version=tool.version,
        plugin=PluginRef(tool.plugin, tool.plugin_version),
        params=params,
        seed=seed,
        inputs=inputs,
        parents=list(dict.fromkeys(reference.removeprefix(REFERENCE) for reference in inputs.values())),
        versions={"studio": __version__},
        created=utc_now(),
    )


def restore_values(tool: ToolDescriptor, recipe: Recipe, library: Library) -> dict[str, Any]:
    """Return the values that `recipe` was built from, with the paths of inputs, and of folders and models known here.

    Inputs come from the library, by their content alone. One that the library no longer has stays ``sha256:…``, which
    `build_recipe` refuses. Raises BadInput for an input that is no reference.
    """
    values = dict(recipe.params)
    hashes = {model.name: model.sha256 for model in recipe.models}
    for field in params_schema.read_fields(tool.schema):
        if field.is_input:
            restore = partial(_restore_input, field, library)
        elif field.widget is Widget.FOLDER:
            restore = partial(_restore_folder, library)
        elif field.widget is Widget.MODEL:
            restore = partial(_restore_model, library, hashes)
        else:
            continue
        if field.name in values:
            values[field.name] = _map_value(values[field.name], restore)
    return values


def resolve_paths(tool: ToolDescriptor, values: Mapping[str, Any], library: Library) -> dict[str, Any]:
    """Return the checked values with the paths of inputs. Nothing is imported or read.

    Raises BadInput for a value that does not fit its field.
    """
    params = params_schema.check_values(tool, values)

    def resolve(value: str) -> str:
        path = Path(value).expanduser()
        if value.startswith(REFERENCE):
            return _find_path(value, library)
        if _ID.fullmatch(value) and not path.exists() and (creation := library.get(value)):
            return creation.path
        return str(path.absolute())

    for field in params_schema.read_fields(tool.schema):
        if field.is_input or field.widget is Widget.FOLDER:
            params[field.name] = _map_value(params[field.name], resolve)
        elif field.widget is Widget.MODEL:
            params[field.name] = _map_value(params[field.name], partial(_resolve_model, library, field))
    return params


def input_paths(recipe: Recipe, library: Library) -> dict[str, str]:
    """Return the path of each reference in a recipe. Raises BadInput for one that the library no longer has."""
    paths = {}
    for name, reference in recipe.inputs.items():
        path = library.path_of(reference.removeprefix(REFERENCE))
        if path is None:
            raise BadInput(f"The file for {name} is no longer in the library.", "Choose it again.")
        paths[reference] = str(path)
    return paths


def _refuse_invalid_text(field: Field, value: object) -> None:
    """Raise BadInput for a text that was made from bytes that are not UTF-8, since no recipe can hold it."""
    texts = value if isinstance(value, list) else [value]
    if any(isinstance(text, str) and make_valid(text) != text for text in texts):
        raise BadInput(f"{field.title} contains bytes that are not UTF-8.", "Rename the file, or type the text again.")


@contextmanager
def _translate_path_errors(field: Field) -> Iterator[None]:
    """Raise BadInput for a path that is forbidden, endless, or no path at all."""
    try:
        yield
    except PermissionError as error:
        raise BadInput(
            f"{error.filename} cannot be read: permission denied.", "Change its permissions or choose another file."
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no path"
        raise BadInput(f"{field.title} cannot be read: {reason}.", "Check the path.") from error


def _map_value(value: object, convert: Callable[[str], str]) -> object:
    """Convert a text or each item of a list; empty values stay as they are."""
    if isinstance(value, list):
        return [convert(item) for item in value]
    return convert(str(value)) if value else value


def _import_inputs(field: Field, value: object, library: Library, inputs: dict[str, str]) -> object:
    """Return the references of a field's files, and add them to `inputs`."""
    is_mask = field.widget is Widget.MASK  # a mask is not listed among the pictures
    if isinstance(value, list):
        references = [_import_input(item, library, hidden=is_mask) for item in value]
        inputs.update({f"{field.name}[{number}]": reference for number, reference in enumerate(references)})
        return references
    if not value:
        return value
    inputs[field.name] = _import_input(str(value), library, hidden=is_mask)
    return inputs[field.name]


def _import_input(value: str, library: Library, *, hidden: bool) -> str:
    if value.startswith(REFERENCE):
        if library.path_of(value.removeprefix(REFERENCE)) is None:
            raise BadInput("This image is no longer in the library.", "Choose it again.")
        return value
    path = Path(value).expanduser()
    if _ID.fullmatch(value) and not path.exists():
        if (creation := library.get(value)) is None:
            raise BadInput(f"There is neither a file nor a creation {value}.", "See `studio history`.")
        return REFERENCE + creation.id
    return REFERENCE + library.import_file(path.absolute(), hidden=hidden).id


def _find_path(reference: str, library: Library) -> str:
    """Return the path of a reference, or the reference itself where its file is gone."""
    path = library.path_of(reference.removeprefix(REFERENCE))
    return reference if path is None else str(path)


def _restore_input(field: Field, library: Library, value: str) -> str:
    if not _REFERENCE.fullmatch(value):
        raise BadInput(f"{field.title}: the recipe names a file by its path, which is not used.", "Choose it yourself.")
    return _find_path(value, library)


def _restore_folder(library: Library, value: str) -> str:
    path = local_paths.find(library.home, value) if value.startswith(private_paths.FOLDER_REFERENCE) else None
    return str(path) if path else value


def _restore_model(library: Library, hashes: Mapping[str, str], value: str) -> str:
    """Return the path of the model that was used under this name with this hash, if its name alone does not find it."""
    path = local_paths.find(library.home, value, hashes[value]) if hashes.get(value) else None
    return str(path) if path else value


def _check_folder(value: str) -> str:
    if value.startswith(private_paths.FOLDER_REFERENCE):
        raise BadInput(f"The folder {private_paths.name_of_path(value)} is not known here.", "Choose it again.")
    path = Path(value).expanduser().absolute()
    if not path.is_dir():
        raise BadInput(f"There is no folder {path}.", "Check the path.")
    try:
        next(path.iterdir(), None)
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read: permission denied.", "Change its permissions or choose another file."
        ) from error
    return str(path)


def _resolve_model(library: Library, field: Field, value: str) -> str:
    """Make a relative path absolute, since the worker runs in another folder; hub ids and names of files stay.

    The name of a trained model becomes its id, by which the recipe finds it under any later name. Raises BadInput for
    a name that several models have.
    """
    path = Path(value).expanduser()
    looks_like_path = bool(path.suffix) or "/" in value or os.sep in value
    if looks_like_path and path.exists():
        return str(path.absolute())
    if _ID.fullmatch(value) or hub_cache.is_hub_name(value) or offers.is_known(library.home, value):
        return offers.expand_name(library.home, value)
    named = offers.find_named(library, value, field.model)
    if len(named) > 1:
        names = ", ".join(Path(offer.path).name for offer in named[:5])
        raise BadInput(
            f"{len(named)} models are called {value}.", f"Choose one by the name of its folder or file: {names}."
        )
    return named[0].name if named else offers.expand_name(library.home, value)
