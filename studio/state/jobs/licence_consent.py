"""Licences that the artist should know of before a model is used for the first time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from studio.core import params_schema
from studio.core.descriptor import ToolDescriptor
from studio.core.errors import StudioError
from studio.core.paths import Home
from studio.core.recipe import Recipe
from studio.core.settings import Settings
from studio.library.models.licences import LicenceTerms, find_unaccepted


class LicenceRequired(StudioError):
    """A job waits until the artist has seen `terms`."""

    def __init__(self, terms: LicenceTerms) -> None:
        super().__init__(terms.sentence)
        self.terms = terms


class LicenceConsent:
    """What was accepted is kept in the settings, by `keep`."""

    def __init__(self, home: Home, settings: Callable[[], Settings], keep: Callable[[Settings], None]) -> None:
        self._home, self._settings, self._keep = home, settings, keep

    def check(self, tool: ToolDescriptor, recipe: Recipe) -> list[LicenceTerms]:
        """Those models that say nothing about their licence, which is worth telling once. Reads files.

        Raises Unread for the first model whose licence was not accepted yet.
        """
        found = find_unaccepted(
            self._home, params_schema.find_model_choices(tool, recipe.params), self._settings().accepted_licences
        )
        if said := [terms for terms in found if terms.licence]:
            raise LicenceRequired(said[0])
        return found

    def accept(self, terms: Sequence[LicenceTerms]) -> None:
        settings = self._settings()
        known = [*settings.accepted_licences, *(one.key for one in terms)]
        self._keep(replace(settings, accepted_licences=tuple(dict.fromkeys(known))))
