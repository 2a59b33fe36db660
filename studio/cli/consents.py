"""`consents`: lists, adds and revokes consents to the use of faces."""

from __future__ import annotations

import argparse
from contextlib import suppress

from studio.cli.app_context import AppContext, open_app
from studio.cli.console import Console
from studio.cli.path_argument import parse_path
from studio.core import consents as consent_list
from studio.core.consents import Consent, Ground
from studio.core.digests import sha256
from studio.core.errors import StudioError
from studio.core.untrusted_files import damage_as_bad_input, name_for_display

REVOKED, EXPIRED = "consent-revoked", "consent-expired"
"""Tags of creations that were made with a consent which does not hold any more."""


def consents(options: argparse.Namespace, console: Console) -> int:
    """List the consents. Creations made with an expired one get a tag."""
    with open_app(options, console) as app:
        entries = consent_list.load(app.home)
        for entry in entries:
            if entry.is_expired() and not entry.revoked:
                _tag_creations(entry, EXPIRED, app)
    for entry in entries:
        console.emit({**entry.to_dict(), "valid": entry.is_valid()})
    rows = [(entry.id, entry.who, entry.ground.value, _describe_state(entry), entry.name) for entry in entries]
    if rows:
        console.print_table([("Id", "Who", "Ground", "Valid", "Image"), *rows])
    elif not console.json:
        console.print_note("There is no consent.")
    return 0


def add(options: argparse.Namespace, console: Console) -> int:
    path = parse_path(options.file)
    with open_app(options, console) as app:
        with damage_as_bad_input(path):
            digest = sha256(path)
        entry = consent_list.add(
            app.home,
            image=digest,
            name=name_for_display(path),
            who=options.who,
            ground=Ground(options.ground),
            until=options.until,
        )
    console.emit({"event": "added", **entry.to_dict()})
    console.print_line(f"{entry.id}: {entry.who} may be used from {entry.name}.")
    return 0


def revoke(options: argparse.Namespace, console: Console) -> int:
    """Revoke a consent, and tag the creations that were made with it."""
    with open_app(options, console) as app:
        entry = consent_list.revoke(app.home, options.id)
        with suppress(StudioError):  # what is indexed is tagged also where the index cannot be written
            app.library.sweep()
        count = _tag_creations(entry, REVOKED, app)
    console.emit({"event": "revoked", **entry.to_dict(), "creations": count})
    console.print_line(f"The consent of {entry.who} is revoked. Creations made with it, tagged {REVOKED}: {count}.")
    return 0


def _tag_creations(entry: Consent, tag: str, app: AppContext) -> int:
    count = 0
    for creation in app.library.find_children(entry.image):
        notes = creation.recipe.notes.get("consents") if creation.recipe else None
        used = [item.get("id") for item in notes if isinstance(item, dict)] if isinstance(notes, list) else []
        if entry.id in used:
            count += 1
            if tag not in creation.tags:
                app.library.tag(creation.id, [*creation.tags, tag])
    return count


def _describe_state(entry: Consent) -> str:
    if entry.revoked:
        return f"revoked {entry.revoked[:10]}"
    return ("expired " if entry.is_expired() else "until ") + entry.until if entry.until else "yes"
