"""The list of consents: who allowed the use of their face in an image, on what ground, and until when."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, date, datetime
from enum import Enum
from pathlib import Path

import msgspec
from filelock import FileLock
from msgspec import Struct
from msgspec.structs import replace

from studio.core.errors import BadInput
from studio.core.files import write_bytes_atomically
from studio.core.paths import Home
from studio.core.recipe import utc_now
from studio.core.untrusted_files import damage_as_bad_input, read_file

MAX_TEXT = 200


class Ground(Enum):
    """Why a face may be used. The values are stored."""

    SELF = "self"
    GIVEN = "given"
    HISTORICAL = "historical"
    INVENTED = "invented"


class Consent(Struct, frozen=True, kw_only=True):
    """One entry. Times are ISO 8601 in UTC, `until` is a day or empty."""

    id: str
    image: str
    """SHA-256 of the image's file."""
    name: str = ""
    """Name of the file when the entry was made."""
    who: str
    ground: Ground
    until: str = ""
    noted: str = ""
    revoked: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return the entry as plain texts."""
        plain: dict[str, str] = msgspec.to_builtins(self)
        return plain

    def is_valid(self, today: date | None = None) -> bool:
        return not self.revoked and not self.is_expired(today)

    def is_expired(self, today: date | None = None) -> bool:
        return bool(self.until) and date.fromisoformat(self.until) < (today or datetime.now(UTC).date())


def load(home: Home) -> list[Consent]:
    """Load all entries, oldest first. Raises BadInput if the file cannot be read, so that none is lost."""
    path = home.consents
    if not path.exists():
        return []
    damaged = BadInput(f"{path} cannot be read.", "Correct it, or restore it from a backup.")
    with damage_as_bad_input(path, damaged):
        return msgspec.json.decode(read_file(path), type=list[Consent])


def add(home: Home, *, image: str, name: str, who: str, ground: Ground, until: str = "") -> Consent:
    """Add an entry. Raises BadInput for a name that is empty or too long, or a day that is none or has passed."""
    who = " ".join(who.split())
    if not who or len(who) > MAX_TEXT:
        raise BadInput("A consent needs the name of the person.", f"Write up to {MAX_TEXT} characters.")
    consent = Consent(
        id=secrets.token_hex(4),
        image=image,
        name=name,
        who=who,
        ground=ground,
        until=parse_day(until),
        noted=utc_now(),
    )
    if consent.is_expired():
        raise BadInput(f"{until} has passed.", "Give a later day, or none.")
    _change(home, lambda entries: [*entries, consent])
    return consent


def revoke(home: Home, id: str) -> Consent:
    """Revoke the entry with an id. Raises BadInput if there is none. A revoked entry stays in the list."""
    found = [entry for entry in load(home) if entry.id == id]
    if not found:
        raise BadInput(f"There is no consent {id}.", "See `studio consents`.")
    revoked = replace(found[0], revoked=found[0].revoked or utc_now())
    _change(home, lambda entries: [revoked if entry.id == id else entry for entry in entries])
    return revoked


def find_latest(home: Home, image: str) -> Consent | None:
    """Return the newest entry for an image, valid or not."""
    return next((entry for entry in reversed(load(home)) if entry.image == image), None)


def parse_day(text: str) -> str:
    """Return a day as YYYY-MM-DD; empty for an empty text. Raises BadInput for anything else."""
    if not text.strip():
        return ""
    try:
        return date.fromisoformat(text.strip()).isoformat()
    except ValueError as error:
        raise BadInput(f"{text} is no day.", "Write it as YYYY-MM-DD.") from error


def _change(home: Home, change: Callable[[list[Consent]], list[Consent]]) -> None:
    path: Path = home.consents
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        entries = change(load(home))
        write_bytes_atomically(path, msgspec.json.format(msgspec.json.encode(entries), indent=1))
