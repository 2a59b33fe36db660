"""Finds differences that prevent a recipe from giving the same result again."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from studio import __version__
from studio.cli.app_context import AppContext
from studio.core import params_schema, private_paths
from studio.core.descriptor import ToolDescriptor
from studio.core.model_files import weights_digest
from studio.core.recipe import ModelRef, Recipe
from studio.library.models import offers


def compare_before_run(old: Recipe, new: Recipe, tool: ToolDescriptor, app: AppContext) -> Iterator[str]:
    """Yield differences of versions and models that are known before the run, as sentences."""
    if old.tool_version != tool.version:
        yield f"{tool.title} has changed from version {old.tool_version} to {tool.version}, so the result will differ."
    if old.plugin.version and tool.plugin_version and old.plugin.version != tool.plugin_version:
        yield f"The plugin {tool.plugin} has changed from {old.plugin.version} to {tool.plugin_version}."
    for name, then in sorted(old.versions.items()):
        if (now := find_version(name)) != then:
            yield f"{name} has changed from {then} to {now}." if now else f"{name} {then} is not installed any more."
    for model in old.models:
        path = _find_model(model, new, tool, app)
        if path is None or not path.exists():
            if "/" not in model.name:
                yield f"The model {model.name} was not found."
        elif model.sha256 and weights_digest.digest_weights(path) != model.sha256:
            yield f"The model {model.name} has changed, so the result will differ."


def _find_model(model: ModelRef, new: Recipe, tool: ToolDescriptor, app: AppContext) -> Path | None:
    """Find the model that will be used under this name. Another path that the old recipe names is never read."""
    for choice in params_schema.find_model_choices(tool, new.params):
        if private_paths.is_path(choice) and private_paths.name_of_path(choice) == model.name:
            return Path(choice)
    return offers.resolve_model(app.home, model.name) if offers.is_trusted(app.home, model.name) else None


def compare_after_run(old: Recipe, new: Recipe) -> Iterator[str]:
    """Yield differences that only the run shows: hub models whose files have changed."""
    hashes = {model.name: model.sha256 for model in new.models}
    for model in old.models:
        now = hashes.get(model.name, "")
        if "/" in model.name and model.sha256 and now and now != model.sha256:
            yield f"The model {model.name} has changed, so the result may differ."


def find_version(name: str) -> str:
    """Return the version of a distribution, of the studio or of Python; empty if it is not installed."""
    if name == "studio":
        return __version__
    if name == "python":
        return platform.python_version()
    try:
        return version(name)
    except (PackageNotFoundError, ValueError):
        return ""
