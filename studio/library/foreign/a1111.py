"""The format in which AUTOMATIC1111 writes generation parameters, which most tools read.

Lines of prompt; then ``Negative prompt: …``; then one last line ``Key: value, Key: value``,
where a value that contains a comma, colon, quote or line break is JSON-quoted. The last line
counts only if it has at least three pairs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from studio import __version__
from studio.core.recipe import Recipe
from studio.core.untrusted_files import read_or_else

MAX_TEXT = 8 * 2**20
MAX_LINE = 256 * 1024
"""Maximum length of the last line, in characters."""
_NEGATIVE = "Negative prompt:"
MAX_NAME = 61
"""Maximum length of a setting's name, in characters."""
_UNQUOTED = re.compile(r'[^,:\n"\\]*\Z')

NAMES = {
    "steps": "Steps",
    "scheduler": "Sampler",
    "sampler": "Sampler",
    "guidance": "CFG scale",
    "model": "Model",
    "eta": "Eta",
    "clip_skip": "Clip skip",
}
"""Names in this format of parameters, which are called the same in every tool."""
STRENGTH = "Denoising strength"
IMAGE_TO_IMAGE_TOOLS = ("diffusion.repaint", "diffusion.inpaint", "diffusion.upscale")
"""Ids of the tools whose `strength` is a denoising strength."""


@dataclass(frozen=True)
class Parameters:
    prompt: str = ""
    negative_prompt: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)


def format_recipe(recipe: Recipe, size: tuple[int, int] | None = None) -> str:
    """Format a recipe. Parameters without a name in this format are left out."""
    params = recipe.params
    settings: dict[str, object] = {}
    for ours, theirs in (NAMES | {"strength": STRENGTH} if recipe.tool in IMAGE_TO_IMAGE_TOOLS else NAMES).items():
        value = params.get(ours)
        if value not in (None, "") and not isinstance(value, bool | list | dict):
            settings.setdefault(theirs, value)
    settings["Seed"] = recipe.seed
    if size:
        settings["Size"] = f"{size[0]}x{size[1]}"
    settings |= {"Tool": recipe.tool, "Version": f"Studio {__version__}"}
    last = ", ".join(f"{name}: {_quote(value)}" for name, value in settings.items())
    prompt = _strip_text(params.get("prompt"))
    negative = _strip_text(params.get("negative_prompt"))
    return "\n".join(filter(None, (prompt, f"{_NEGATIVE} {negative}" if negative else "", last)))


def parse(text: str) -> Parameters:
    """Parse a text. Without a last line of pairs the whole text is prompt."""
    lines = text[:MAX_TEXT].strip().split("\n")
    settings = _parse_pairs(lines[-1])
    if len(settings) < 3:
        settings = {}
    else:
        lines.pop()
    prompt: list[str] = []
    negative: list[str] | None = None
    for line in lines:
        if line.lstrip().startswith(_NEGATIVE):
            negative = negative if negative is not None else []
            line = line.lstrip().removeprefix(_NEGATIVE).lstrip()
        (prompt if negative is None else negative).append(line)
    return Parameters("\n".join(prompt).strip(), "\n".join(negative or ()).strip(), settings)


def _parse_pairs(line: str) -> dict[str, str]:
    """Parse ``Key: value, Key: value`` in time that grows with the length of the line alone."""
    pairs: dict[str, str] = {}
    if len(line) > MAX_LINE:
        return pairs
    at = 0
    while at < len(line):
        comma = line.find(",", at)
        end = comma if comma >= 0 else len(line)
        name, start = _find_name(line, at, end)
        if name:
            quoted = _end_of_quoted(line, start)
            end = quoted if quoted >= 0 else end
            pairs.setdefault(name, _unquote(line[start:end].strip()))
        at = end + 1
    return pairs


def _find_name(line: str, start: int, end: int) -> tuple[str, int]:
    """Find the first name with a colon in a part of a line. Return it, and where its value begins."""
    colon = line.find(":", start, end)
    while colon >= 0:
        first = colon
        while first > start and _is_in_name(line[first - 1]):
            first -= 1
        first = max(first, colon - MAX_NAME)
        while first < colon and not _is_word(line[first]):
            first += 1
        if first < colon:
            value = colon + 1
            while value < len(line) and line[value].isspace():
                value += 1
            return line[first:colon].strip(), value
        start = colon + 1
        colon = line.find(":", start, end)
    return "", end


def _end_of_quoted(line: str, start: int) -> int:
    """Return where a quoted value ends, if one begins here and a comma or the end of the line follows; else -1."""
    if not line.startswith('"', start):
        return -1
    at = start + 1
    while at < len(line) and line[at] != '"':
        at += 2 if line[at] == "\\" else 1
    return at + 1 if at < len(line) and line[at + 1 : at + 2] in ("", ",") else -1


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _is_in_name(character: str) -> bool:
    return _is_word(character) or character in " -/"


def _strip_text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _quote(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if _UNQUOTED.match(text) and text == text.strip() else json.dumps(text, ensure_ascii=False)


def _unquote(value: str) -> str:
    if not value.startswith('"'):
        return value
    text = read_or_else(None, json.loads, value)
    return text if isinstance(text, str) else value
