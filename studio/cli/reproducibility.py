"""Finds differences that prevent a recipe from giving the same result again."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from studio import __version__
from studio.cli.app_context import AppContext
from studio.core.descriptor import ToolDescriptor
from studio.core.model_files import weights_digest
from studio.core.recipe import Recipe
from studio.library.models import offers


def compare_before_run(old: Recipe, tool: ToolDescriptor, app: AppContext) -> Iterator[str]:
    """Yield differences of versions and models that are known before the run, as sentences."""
    if old.tool_version != tool.version:
        yield f"{tool.title} has changed from version {old.tool_version} to {tool.version}, so the result will differ."
    if old.plugin.version and tool.plugin_version and old.plugin.version != tool.plugin_version:
        yield f"The plugin {tool.plugin} has changed from {old.plugin.version} to {tool.plugin_version}."
    for name, then in sorted(old.versions.items()):
        if (now := find_version(name)) != then:
            yield f"{name} has changed from {then} to {now}." if now else f"{name} {then} is not installed any more."
    for model in old.models:
        path = offers.resolve_model(app.home, model.name)
        if path is None or not path.exists():
            if "/" not in model.name:
                yield f"The model {model.name} was not found."
        elif model.sha256 and weights_digest.digest_weights(path) != model.sha256:
            yield f"The model {model.name} has changed, so the result will differ."


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
    except PackageNotFoundError:
        return ""
