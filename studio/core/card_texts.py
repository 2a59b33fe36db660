"""Texts of character cards and lorebooks: cleaned, and with their macros replaced."""

from __future__ import annotations

import json
import re
from typing import Any

from studio.core.untrusted_files import make_valid

MAX_JSON = 8 * 2**20
"""Maximum size in bytes of a card's or lorebook's JSON."""
MAX_LENGTH = 200_000
"""Number of characters of one text that are read."""
_MACRO = re.compile(r"\{\{\s*(char|user|original)\s*\}\}|<(char|bot|user)>", re.IGNORECASE)


def parse_json(content: bytes) -> Any:
    return json.loads(content.decode("utf-8-sig", "replace"))


def clean_text(value: object) -> str:
    """Return a text without control characters and broken surrogates; empty for anything else."""
    if not isinstance(value, str):
        return ""
    text = make_valid(value[:MAX_LENGTH]).replace("\r\n", "\n").replace("\r", "\n")
    return "".join(sign for sign in text if sign in "\n\t" or (sign >= " " and sign != "\x7f")).strip()


def fill_macros(text: str, character: str, user: str) -> str:
    """Replace ``{{char}}``, ``{{user}}`` and their older forms by names. Other macros stay as they are."""

    def name_of(match: re.Match[str]) -> str:
        macro = (match[1] or match[2]).lower()
        return user if macro == "user" else "" if macro == "original" else character

    return _MACRO.sub(name_of, text).strip()
