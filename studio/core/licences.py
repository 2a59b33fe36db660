"""Describes the licences of models for the artist."""

from __future__ import annotations

import re

_NON_COMMERCIAL = re.compile(r"(^|[-_ ])(nc|non-?commercial|research)($|[-_ ])")

LICENCE_NAMES = {
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
"""Readable names by the identifiers that model cards use."""


def allows_commercial_use(licence: str) -> bool:
    """Check whether a licence allows commercial use, judged by its name. Unknown licences count as allowing it."""
    return not _NON_COMMERCIAL.search(licence.lower())


def describe_licence(model: str, licence: str) -> str:
    """Return a sentence such as "NAME is under CC BY-NC 4.0, not for commercial use." `licence` may be empty."""
    if not licence:
        return f"{model} does not state its licence."
    name = LICENCE_NAMES.get(licence.lower(), licence)
    return f"{model} is under {name}{'' if allows_commercial_use(licence) else ', not for commercial use'}."
