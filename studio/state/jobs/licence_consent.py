"""Consent to the licences of models, before a model is used for the first time."""

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
    """The artist must accept `terms` before the job can run."""

    def __init__(self, terms: LicenceTerms) -> None:
        super().__init__(terms.sentence)
        self.terms = terms


class LicenceConsent:
    """Accepted licences are kept in the settings, which `save` stores."""

    def __init__(self, home: Home, settings: Callable[[], Settings], save: Callable[[Settings], None]) -> None:
        self._home, self._settings, self._save = home, settings, save

    def check(self, tool: ToolDescriptor, recipe: Recipe) -> list[LicenceTerms]:
        """Return the models without a licence, which is worth a notice. Reads files.

        Raises LicenceRequired for the first model whose licence was not accepted yet.
        """
        unaccepted = find_unaccepted(
            self._home, params_schema.find_model_choices(tool, recipe.params), self._settings().accepted_licences
        )
        if licensed := [terms for terms in unaccepted if terms.licence]:
            raise LicenceRequired(licensed[0])
        return unaccepted

    def accept(self, terms: Sequence[LicenceTerms]) -> None:
        settings = self._settings()
        keys = [*settings.accepted_licences, *(accepted.key for accepted in terms)]
        self._save(replace(settings, accepted_licences=tuple(dict.fromkeys(keys))))
