"""From a form's values to a recipe, and back."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import __version__
from studio.core import params_schema
from studio.core.descriptor import Field, ToolDescriptor, Widget
from studio.core.errors import BadInput
from studio.core.recipe import REFERENCE, PluginRef, Recipe, now
from studio.library.models import offers

if TYPE_CHECKING:
    from studio.library.library import Library

SEEDS = 2**32
_ID = re.compile(r"[0-9a-f]{6,64}")


def freeze(tool: ToolDescriptor, values: Mapping[str, Any], seed: int, library: Library) -> Recipe:
    """The recipe for a tool with these values. Input files are adopted into the library.

    A value for an input is a path, a creation's id (6 digits are enough) or ``sha256:…``.
    Raises BadInput with one sentence for the first value that cannot be used.
    """
    if not 0 <= seed < SEEDS:
        raise BadInput(f"The seed is {seed}, and must be between 0 and {SEEDS - 1}.")
    params = params_schema.check(tool, values)
    inputs: dict[str, str] = {}
    model = partial(_model, library)
    for field in params_schema.fields(tool.schema):
        with _in_a_sentence(field):
            if field.is_input:
                params[field.name] = _named_by_content(field, params[field.name], library, inputs)
            elif field.widget is Widget.FOLDER:
                params[field.name] = _each(params[field.name], _folder)
            elif field.widget is Widget.MODEL:
                params[field.name] = _each(params[field.name], model)
    return Recipe(
        tool=tool.id,
        tool_version=tool.version,
        plugin=PluginRef(tool.plugin, tool.plugin_version),
        params=params,
        seed=seed,
        inputs=inputs,
        parents=list(dict.fromkeys(reference.removeprefix(REFERENCE) for reference in inputs.values())),
        versions={"studio": __version__},
        created=now(),
    )


def thaw(recipe: Recipe, library: Library) -> dict[str, Any]:
    """The values that `recipe` was frozen from, with the paths of its inputs.

    An input that the library no longer has stays ``sha256:…``, which `freeze` refuses.
    """
    references = set(recipe.inputs.values())
    paths = {reference: _path_of(reference, library) for reference in references}

    def thawed(value: Any) -> Any:
        if isinstance(value, list):
            return [thawed(item) for item in value]
        return paths[value] if isinstance(value, str) and value in paths else value

    return {name: thawed(value) for name, value in recipe.params.items()}


def located(tool: ToolDescriptor, values: Mapping[str, Any], library: Library) -> dict[str, Any]:
    """The checked values, with the paths of inputs wherever they are now. Nothing is adopted or read.

    Raises BadInput for a value that does not fit its field.
    """
    params = params_schema.check(tool, values)

    def path_of(value: str) -> str:
        path = Path(value).expanduser()
        if value.startswith(REFERENCE):
            return _path_of(value, library)
        if _ID.fullmatch(value) and not path.exists() and (creation := library.get(value)):
            return creation.path
        return str(path.absolute())

    for field in params_schema.fields(tool.schema):
        if field.is_input or field.widget is Widget.FOLDER:
            params[field.name] = _each(params[field.name], path_of)
        elif field.widget is Widget.MODEL:
            params[field.name] = _each(params[field.name], partial(_model, library))
    return params


def files(recipe: Recipe, library: Library) -> dict[str, str]:
    """The path of each reference in a recipe. Raises BadInput for one that the library no longer has."""
    found = {}
    for name, reference in recipe.inputs.items():
        path = library.path_of(reference.removeprefix(REFERENCE))
        if path is None:
            raise BadInput(f"The file for {name} is no longer in the library.", "Choose it again.")
        found[reference] = str(path)
    return found


@contextmanager
def _in_a_sentence(field: Field) -> Iterator[None]:
    """A path can be wrong in more ways than being absent: forbidden, endless, or no path at all."""
    try:
        yield
    except PermissionError as error:
        raise BadInput(f"{error.filename} may not be read.", "Change its permissions or choose another.") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no path"
        raise BadInput(f"{field.title} cannot be read: {reason}.", "Check the path.") from error


def _each(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, list):
        return [change(item) for item in value]
    return change(str(value)) if value else value


def _named_by_content(field: Field, value: Any, library: Library, inputs: dict[str, str]) -> Any:
    hidden = field.widget is Widget.MASK  # a mask is only an input
    if isinstance(value, list):
        references = [_reference(item, library, hidden=hidden) for item in value]
        inputs.update({f"{field.name}[{at}]": reference for at, reference in enumerate(references)})
        return references
    if not value:
        return value
    inputs[field.name] = _reference(str(value), library, hidden=hidden)
    return inputs[field.name]


def _reference(value: str, library: Library, *, hidden: bool) -> str:
    if value.startswith(REFERENCE):
        if library.path_of(value.removeprefix(REFERENCE)) is None:
            raise BadInput("This picture is no longer in the library.", "Choose it again.")
        return value
    path = Path(value).expanduser()
    if _ID.fullmatch(value) and not path.exists():
        if (creation := library.get(value)) is None:
            raise BadInput(f"There is neither a file nor a creation {value}.", "See `studio history`.")
        return REFERENCE + creation.id
    return REFERENCE + library.import_file(path.absolute(), hidden=hidden).id


def _path_of(value: str, library: Library) -> str:
    path = library.path_of(value.removeprefix(REFERENCE))
    return value if path is None else str(path)


def _folder(value: str) -> str:
    path = Path(value).expanduser().absolute()
    if not path.is_dir():
        raise BadInput(f"There is no folder {path}.", "Check the path.")
    try:
        next(path.iterdir(), None)
    except OSError as error:
        raise BadInput(f"{path} may not be read.", "Change its permissions or choose another.") from error
    return str(path)


def _model(library: Library, value: str) -> str:
    """A relative path is made absolute, since the worker lives in another folder; hub ids and whole names stay."""
    path = Path(value).expanduser()
    written_as_path = bool(path.suffix) or "/" in value or os.sep in value
    return str(path.absolute()) if written_as_path and path.exists() else offers.expand_name(library.home, value)
