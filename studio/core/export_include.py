"""The choice of what an exported file tells about how it was made."""

from __future__ import annotations

from enum import Enum


class Include(Enum):
    """What is included in an export. The values are stored and typed."""

    EVERYTHING = "everything"
    RECIPE = "recipe"
    NOTHING = "nothing"

    @property
    def title(self) -> str:
        return _TITLES[self]


_TITLES = {
    Include.EVERYTHING: "Everything",
    Include.RECIPE: "What others need to make it again",
    Include.NOTHING: "Nothing",
}
