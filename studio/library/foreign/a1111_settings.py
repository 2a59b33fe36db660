"""The settings ``Key: value, Key: value`` that AUTOMATIC1111 and its relatives write below the prompts.

A value with a comma, colon, quote or line break is JSON-quoted. Extensions also write JSON without quotes, line breaks
between settings, line breaks within quotes, and whole lines ``Template: …``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from studio.core.untrusted_files import read_or_else

MAX_LENGTH = 128 * 1024
"""Maximum length of the settings, in characters."""
MAX_NAME = 61
"""Maximum length of a setting's name, in characters."""
_MAX_FAILURES = 20
"""Number of values like unfinished JSON that are looked at in one text."""
_SEPARATOR = re.compile(r"[,\n]")
_TEMPLATE = re.compile(r'[ \t]{0,8}((?:Negative )?Template):[ \t]{0,8}(?=[^\s"])')
"""How a line of the extension Dynamic Prompts begins; its value has no quotes and goes to the end of the line."""
_NEXT_TEMPLATE = re.compile(r"\n[ \t]{0,8}(?:Negative )?Template:")
_DECODER = json.JSONDecoder(strict=False)


class Settings:
    """Settings parsed in time that grows with the length of the text alone.

    Of two equal keys the first counts. A line without a key goes on with the value before it. `quoted` has the
    positions of quoted values that contain line breaks.
    """

    def __init__(self, text: str) -> None:
        self.quoted: list[tuple[int, int]] = []
        self._text = text
        self._failures = 0
        found: dict[str, list[str]] = {}
        values: list[str] = []
        for name, value in self._split() if len(text) <= MAX_LENGTH else ():
            if name:
                values = [value]
                found.setdefault(name, values)
            elif values:
                values.append(value)
        self.pairs = {name: "\n".join(parts) for name, parts in found.items()}

    def _split(self) -> Iterator[tuple[str, str]]:
        """Yield keys and values; an empty key for a line that goes on with the value before it."""
        text, at = self._text, 0
        while at < len(text):
            begins_line = at == 0 or text[at - 1] == "\n"
            if begins_line and (template := _TEMPLATE.match(text, at)):
                following = _NEXT_TEMPLATE.search(text, template.end())
                end = following.start() if following else len(text)
                yield template[1], text[template.end() : end].strip()
            else:
                separator = _SEPARATOR.search(text, at)
                end = separator.start() if separator else len(text)
                name, start = _find_name(text, at, end)
                if name:
                    end = max(end, self._end_of_value(start))
                    yield name, _unquote(text[start:end].strip())
                elif begins_line and (more := text[at:end].strip()):
                    yield "", more
            at = end + 1

    def _end_of_value(self, start: int) -> int:
        """Return where a value in quotes or of JSON ends, if a separator follows; else -1."""
        text = self._text
        end = -1
        match text[start : start + 1]:
            case '"':
                end = _end_of_quoted(text, start)
            case "[" | "{" if self._failures < _MAX_FAILURES:
                end = read_or_else(-1, lambda: _DECODER.raw_decode(text, start)[1])
                self._failures += end < 0
        while end >= 0 and text[end : end + 1] in (" ", "\t"):
            end += 1
        if end < 0 or text[end : end + 1] not in ("", ",", "\n"):
            return -1
        if "\n" in text[start:end]:
            self.quoted.append((start, end))
        return end


def _find_name(text: str, start: int, end: int) -> tuple[str, int]:
    """Find the first name with a colon in a part of a text. Return it, and where its value begins."""
    colon = text.find(":", start, end)
    while colon >= 0:
        first = colon
        while first > start and _is_in_name(text[first - 1]):
            first -= 1
        first = max(first, colon - MAX_NAME)
        while first < colon and not _is_word(text[first]):
            first += 1
        if first < colon:
            value = colon + 1
            while text[value : value + 1] in (" ", "\t"):
                value += 1
            return text[first:colon].strip(), value
        start = colon + 1
        colon = text.find(":", start, end)
    return "", end


def _end_of_quoted(text: str, start: int) -> int:
    """Return where the quotes that open here are closed; else -1."""
    at = start + 1
    while at < len(text) and text[at] != '"':
        at += 2 if text[at] == "\\" else 1
    return at + 1 if at < len(text) else -1


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _is_in_name(character: str) -> bool:
    return _is_word(character) or character in " -/"


def _unquote(value: str) -> str:
    if not value.startswith('"'):
        return value
    text = read_or_else(None, _DECODER.decode, value)
    return text if isinstance(text, str) else value
