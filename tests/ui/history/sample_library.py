"""The creations of the small library that the history is tested with."""

from __future__ import annotations

from dataclasses import dataclass

from studio.library.creation import Creation
from studio.library.library import Library


@dataclass
class SampleLibrary:
    library: Library
    photo: Creation
    painted: Creation
    morph: Creation
    tale: Creation

    def read(self, creation: Creation) -> Creation:
        """Return a creation as the index has it now."""
        row = self.library.get(creation.id)
        assert row is not None
        return row
