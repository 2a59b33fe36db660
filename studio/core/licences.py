"""Licences of models, in an artist's words."""

from __future__ import annotations

import re

_NON_COMMERCIAL = re.compile(r"(^|[-_ ])(nc|non-?commercial|research)($|[-_ ])")

WORDS = {
    "apache-2.0": "the Apache licence 2.0",
    "mit": "the MIT licence",
    "cc0-1.0": "CC0 (public domain)",
    "cc-by-4.0": "CC BY 4.0",
    "cc-by-sa-4.0": "CC BY-SA 4.0",
    "cc-by-nc-4.0": "CC BY-NC 4.0",
    "cc-by-nc-sa-4.0": "CC BY-NC-SA 4.0",
    "cc-by-nc-nd-4.0": "CC BY-NC-ND 4.0",
    "creativeml-openrail-m": "CreativeML OpenRAIL-M",
    "openrail": "OpenRAIL",
    "openrail++": "OpenRAIL++",
    "flux-1-dev-non-commercial-license": "the FLUX.1 [dev] licence",
    "sai-nc-community": "Stability AI's non-commercial licence",
    "stabilityai-ai-community": "Stability AI's community licence",
    "other": "a licence of its own",
}
"""By the identifiers that model cards use."""


def is_commercial(licence: str) -> bool:
    """False where a licence is known to forbid commercial use: its name tells."""
    return not _NON_COMMERCIAL.search(licence.lower())


def describe_licence(model: str, licence: str) -> str:
    """As in "NAME is under CC BY-NC 4.0, not for commercial use."; `licence` is empty where none is said."""
    if not licence:
        return f"{model} says nothing about its licence."
    words = WORDS.get(licence.lower(), licence)
    return f"{model} is under {words}{'' if is_commercial(licence) else ', not for commercial use'}."
