"""The format in which AUTOMATIC1111 writes generation parameters, which most tools read.

Lines of prompt; then ``Negative prompt: …``; then the settings ``Key: value, Key: value``, where a value that contains
a comma, colon, quote or line break is JSON-quoted. Settings are the last line, or more lines that begin with
``Steps: NUMBER``: extensions write line breaks between settings and within quotes. They count only with at least three
pairs, of which two are settings that the web UI itself writes, with a valid value; else they are words of the prompt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from studio import __version__
from studio.core.recipe import Recipe
from studio.library.foreign.a1111_settings import Settings

MAX_TEXT = 8 * 2**20
_NEGATIVE = "Negative prompt:"
_UNQUOTED = re.compile(r'[^,:\n"\\]*\Z')
_FIRST = re.compile(r"\s*Steps: *\d{1,6}\s*(?:,|$)")
"""How settings begin that may have several lines."""
_MAX_FIRST = 8
"""Number of such lines that are looked at, from the end."""
_MAX_QUOTED = 32 * 1024
"""Length of the text after such a line in which quoted values are looked for, in characters."""
_NUMBER = re.compile(r"-?\d{1,24}(?:\.\d{1,24})?")
_WEB_UI_SETTINGS = {
    "Steps": _NUMBER,
    "Seed": _NUMBER,
    "CFG scale": _NUMBER,
    "Denoising strength": _NUMBER,
    "Clip skip": _NUMBER,
    "Size": re.compile(r"\d{1,6} ?[x×] ?\d{1,6}"),
    "Model hash": re.compile(r"[0-9a-fA-F]{6,64}"),
    "Sampler": re.compile(r"[\w+ .()-]{1,60}"),
    "Version": re.compile(r"(?=.{1,60}$)[\w. -]*\d[\w. +()-]*"),
}
"""Settings that the web UI itself writes, and what their values look like."""

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
    """Parse a text. Without settings the whole text is prompt."""
    lines = text[:MAX_TEXT].strip().split("\n")
    start, settings = _find_settings(lines)
    prompt: list[str] = []
    negative: list[str] | None = None
    for line in lines[:start]:
        if line.lstrip().startswith(_NEGATIVE):
            negative = negative if negative is not None else []
            line = line.lstrip().removeprefix(_NEGATIVE).lstrip()
        (prompt if negative is None else negative).append(line)
    return Parameters("\n".join(prompt).strip(), "\n".join(negative or ()).strip(), settings)


def _find_settings(lines: list[str]) -> tuple[int, Mapping[str, str]]:
    """Return the line with which the settings begin, and the settings. Without any, return the number of lines."""
    last = len(lines) - 1
    at_end = Settings(lines[last]).pairs
    first = _find_first_line(lines)
    if first is not None and first < last:
        settings = Settings("\n".join(lines[first:])).pairs
        is_in_prompt = _is_valid(at_end) and len(at_end.keys() & Settings(lines[first]).pairs.keys()) > 1
        if _is_valid(settings) and not is_in_prompt:
            return first, settings
    return (last, at_end) if _is_valid(at_end) else (last + 1, {})


def _find_first_line(lines: list[str]) -> int | None:
    """Find the last line that begins settings, after the negative prompt and not within quotes of earlier settings."""
    marks: list[tuple[int, bool]] = []
    for number in range(len(lines) - 1, -1, -1):
        begins = bool(_FIRST.match(lines[number]))
        if begins or lines[number].lstrip().startswith(_NEGATIVE):
            marks.append((number, begins))
            if len(marks) == _MAX_FIRST:
                break
    current: int | None = None
    quoted: list[tuple[int, int]] = []
    for number, begins in reversed(marks):
        if any(first < number <= last for first, last in quoted):
            continue
        current, quoted = (number, _find_quoted_lines(lines, number)) if begins else (None, [])
    return current


def _find_quoted_lines(lines: list[str], start: int) -> list[tuple[int, int]]:
    """Return the first and last lines of the quoted values in settings that begin with a line."""
    text = "\n".join(lines[start:])[:_MAX_QUOTED]
    spans, line, at = [], start, 0
    for first, last in Settings(text).quoted:
        line += text.count("\n", at, first)
        spans.append((line, line := line + text.count("\n", first, last)))
        at = last
    return spans


def _is_valid(settings: Mapping[str, str]) -> bool:
    valid = (shape.fullmatch(settings.get(name, "")) for name, shape in _WEB_UI_SETTINGS.items())
    return len(settings) >= 3 and sum(map(bool, valid)) >= 2


def _strip_text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _quote(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if _UNQUOTED.match(text) and text == text.strip() else json.dumps(text, ensure_ascii=False)
