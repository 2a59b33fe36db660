"""Text creations on disk: Markdown with front matter that holds the recipe."""

from __future__ import annotations

import json
from pathlib import Path

from studio.core.untrusted_files import make_valid, open_file, read_or_else

MAX_BYTES = 16 * 2**20
_FENCE = "---\n"


def compose(text: str, title: str, recipe_json: str) -> bytes:
    """Build a Markdown file. The values of its front matter are JSON, which YAML readers accept too."""
    head = f"title: {json.dumps(title, ensure_ascii=False)}\nstudio_recipe: {recipe_json}\n"
    return f"{_FENCE}{head}{_FENCE}\n{text}".encode("utf-8", "replace")


def read_front_matter(path: Path) -> dict[str, str]:
    """Return the `title` and, as JSON, the `studio_recipe` of a file; empty without a studio recipe."""
    return _split(path)[0]


def read_body(path: Path) -> str:
    """Return the text without its front matter. Raises OSError."""
    return _split(path)[1]


def _split(path: Path) -> tuple[dict[str, str], str]:
    with open_file(path) as file:
        text = file.read(MAX_BYTES).decode("utf-8-sig", "replace")
    end = text.find("\n" + _FENCE, len(_FENCE) - 1)
    if not text.startswith(_FENCE) or end < 0:
        return {}, text
    fields: dict[str, str] = {}
    for line in text[len(_FENCE) : end].split("\n"):
        name, colon, value = line.partition(": ")
        if colon and name == "studio_recipe":
            fields[name] = value
        elif colon and name == "title":
            fields[name] = _parse_title(value)
    if "studio_recipe" not in fields:
        return {}, text
    return fields, text[end + 1 + len(_FENCE) :].removeprefix("\n")


def _parse_title(value: str) -> str:
    title = read_or_else(None, json.loads, value)
    return make_valid(title) if isinstance(title, str) else value.strip()
