"""What is no longer as it was when a recipe was made."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from studio import __version__
from studio.cli.app_context import Place
from studio.core.descriptor import ToolDescriptor
from studio.core.model_files import weights_digest
from studio.core.recipe import Recipe
from studio.library.models import offers


def before(old: Recipe, tool: ToolDescriptor, place: Place) -> Iterator[str]:
    """Sentences, told without running anything."""
    if old.tool_version != tool.version:
        yield f"{tool.title} was version {old.tool_version} and is {tool.version} now, so the result will differ."
    if old.plugin.version and tool.plugin_version and old.plugin.version != tool.plugin_version:
        yield f"The plugin {tool.plugin} was {old.plugin.version} and is {tool.plugin_version} now."
    for name, then in sorted(old.versions.items()):
        if (now := installed(name)) != then:
            yield f"{name} was {then} and is {now or 'not installed'} now."
    for model in old.models:
        path = offers.resolve_model(place.home, model.name)
        if path is None or not path.exists():
            if "/" not in model.name:
                yield f"The model {model.name} is no longer there."
        elif model.sha256 and weights_digest.digest_weights(path) != model.sha256:
            yield f"The model {model.name} has changed since, so the result will differ."


def between(old: Recipe, new: Recipe) -> Iterator[str]:
    """What only the run could tell: models that were found elsewhere, such as in the hub's cache."""
    hashes = {model.name: model.sha256 for model in new.models}
    for model in old.models:
        now = hashes.get(model.name, "")
        if "/" in model.name and model.sha256 and now and now != model.sha256:
            yield f"The model {model.name} has changed since, so the result may differ."


def installed(name: str) -> str:
    """The version of a distribution, of the studio or of Python; empty where there is none."""
    if name == "studio":
        return __version__
    if name == "python":
        return platform.python_version()
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
