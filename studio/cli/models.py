"""`models`: lists models and model packages, and renames trained models."""

from __future__ import annotations

import argparse
from contextlib import suppress

import msgspec

from studio.cli.app_context import AppContext, open_app
from studio.cli.console import Console
from studio.cli.model_packages import describe_state
from studio.core.errors import BadInput, StudioError, did_you_mean
from studio.library.creation import Creation, CreationKind
from studio.library.models import model_packages, offers
from studio.library.models.model_packages import ModelPackage, PackageState

PACKAGE = "package"
"""The kind of model packages in the list."""


def models(options: argparse.Namespace, console: Console) -> int:
    with open_app(options, console) as app:
        _sweep(app)
        found = [offer for offer in offers.list_all(app.home, app.library) if options.kind in ("", offer.kind)]
        packages = _list_packages(app) if options.kind in ("", PACKAGE) else []
    for offer in found:
        console.emit(offer)
    for package, state in packages:
        console.emit({**msgspec.to_builtins(package), "kind": PACKAGE, "source": "package index", "state": state})
    rows = [(offer.title, offer.kind, offer.source.value, _short_name(offer)) for offer in found]
    rows += [(package.title, PACKAGE, "package index", describe_state(package, state)) for package, state in packages]
    if rows:
        console.print_table([("Name", "Kind", "From", "File or id"), *rows])
    elif not console.json:
        console.print_note(f"There is no model{f' of the kind {options.kind}' if options.kind else ''}.")
    return 0


def _list_packages(app: AppContext) -> list[tuple[ModelPackage, PackageState]]:
    table = model_packages.load_table().values()
    return [(package, model_packages.check_state(app.home, package)) for package in table]


def rename(options: argparse.Namespace, console: Console) -> int:
    with open_app(options, console) as app:
        _sweep(app)
        model = _require_trained(options.name, app)
        renamed = app.library.rename(model.id, options.new_name)
    console.emit_event("renamed", id=renamed.id, before=model.title, title=renamed.title)
    console.print_line(f"{model.title} is now called {renamed.title}.")
    return 0


def find_trained(name: str, app: AppContext) -> Creation | None:
    """Find a trained model by its present name, or a former one that no other model has now.

    Raises BadInput if several have it.
    """
    named = [offer for offer in offers.find_named(app.library, name) if offer.source is offers.ModelSource.TRAINED]
    if len(named) > 1:
        ids = ", ".join(offer.name[:10] for offer in named)
        raise BadInput(f"{len(named)} models are called {name}.", f"Choose one by its id: {ids}.")
    return app.library.get(named[0].name) if named else None


def _sweep(app: AppContext) -> None:
    """Notice models that were added or deleted since. What is known is used also where the index cannot be written."""
    if not app.library.needs_sweep:
        with suppress(StudioError):
            app.library.sweep()


def _require_trained(name: str, app: AppContext) -> Creation:
    model = find_trained(name, app) or app.library.get(name)
    if model is None or model.kind is not CreationKind.MODEL:
        hint = did_you_mean(name, [model.title for model in app.library.list_models()]) or "See `studio models`."
        raise BadInput(f"There is no trained model {name}.", hint)
    return model


def _short_name(offer: offers.ModelOffer) -> str:
    return offer.name[:10] if offer.source is offers.ModelSource.TRAINED else offer.name
