"""Consents to the use of faces, as a running tool sees them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from studio.core import consents, digests
from studio.core.consents import Consent, Ground
from studio.core.errors import BadInput
from studio.core.paths import Home
from studio.core.untrusted_files import damage_as_bad_input, name_for_display

__all__ = ["Consent", "Consents", "Ground"]


@dataclass(frozen=True)
class Consents:
    """The list of a home. An entry belongs to the bytes of an image, whatever its name."""

    home: Home

    def require(self, image: Path) -> Consent:
        """Return the valid entry for an image. Raises BadInput if there is none, or it was revoked or has expired."""
        entry = self._find(image)
        name = name_for_display(image)
        if entry is None:
            raise BadInput(
                f"There is no consent to use the face in {name}.",
                "Say who it is and why you may use it, in the form or with `studio consents add`.",
            )
        if entry.revoked:
            raise BadInput(f"The consent of {entry.who} was revoked on {entry.revoked[:10]}.", "Choose another image.")
        if entry.is_expired():
            raise BadInput(
                f"The consent of {entry.who} ended on {entry.until}.",
                "Ask again, and note it with `studio consents add`.",
            )
        return entry

    def note(self, image: Path, *, who: str, ground: Ground, until: str = "") -> Consent:
        """Add an entry for an image that has none, and return the entry that holds.

        An entry that was revoked or has expired is not replaced: raises BadInput as `require` does.
        """
        if self._find(image) is not None:
            return self.require(image)
        with damage_as_bad_input(image):
            digest = digests.sha256(image)
        return consents.add(self.home, image=digest, name=name_for_display(image), who=who, ground=ground, until=until)

    def _find(self, image: Path) -> Consent | None:
        with damage_as_bad_input(image):
            return consents.find_latest(self.home, digests.sha256(image))
