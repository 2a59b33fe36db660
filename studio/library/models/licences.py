"""A model's licence: where it is said, in words, and whether the artist has seen it."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct

from studio.core.licences import describe_licence
from studio.core.model_files.gguf_header import SUFFIX, gguf_keys
from studio.core.model_files.safetensors_header import MAX_HEADER
from studio.core.paths import Home
from studio.library.creation import MODEL_FILE
from studio.library.models import hub_cache, model_kind, offers

_FRONT = re.compile(r"\A---\r?\n(.*?)\r?\n---", re.DOTALL)
_LINE = r"^{}:[ \t]*[\"']?([^\"'\n\r]+)"
_GGUF_LINK = "general.license.link"
_FILES = ("LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "LICENCE.md", "LICENCE.txt")
_LINKS = {
    "apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
    "mit": "https://opensource.org/license/mit",
    "cc0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
}


class Terms(Struct, frozen=True):
    """What a model may be used for. `licence` is the identifier or name as it is written there, empty where nothing is.

    `link` is a page, or the path of a text file, that holds the licence; empty where none is known.
    """

    model: str
    licence: str
    link: str = ""

    @property
    def key(self) -> str:
        """What the settings remember when it was accepted. Another licence under the same name is asked for anew."""
        return f"{self.model} | {self.licence}"

    @property
    def sentence(self) -> str:
        return describe_licence(self.model, self.licence)


def licence_of(path: Path) -> str:
    """From `studio.json`, the model card, or the header of a single file; empty where none says."""
    return _said(path)[0]


def terms_of(name: str, path: Path) -> Terms:
    licence, link = _said(path)
    return Terms(name, licence, _link(path, licence, link))


def unread(home: Home, choices: Iterable[str], accepted: Iterable[str]) -> list[Terms]:
    """The terms of those models that were not accepted yet. What was made here, or came with it, needs no asking."""
    known = set(accepted)
    found: dict[str, Terms] = {}
    for choice in choices:
        path = offers.resolve(home, choice)
        if path is None and hub_cache.is_name(choice):
            path = hub_cache.downloaded(home, choice)
        if path is None or path.is_relative_to(offers.starters()) or path.is_relative_to(home.library):
            continue
        terms = terms_of(offers.name_of(choice, path), path)
        if terms.key not in known:
            found[terms.key] = terms
    return list(found.values())


def _said(path: Path) -> tuple[str, str]:
    """The licence and the link that stands beside it."""
    if path.suffix.lower() == SUFFIX:
        keys = gguf_keys(path)
        return _short(keys, "general.license.name") or _short(keys, "general.license"), _short(keys, _GGUF_LINK)
    if path.is_file():
        return _metadata(path).get("modelspec.license", ""), ""
    said = model_kind.read_json(path / MODEL_FILE).get("licence")
    if isinstance(said, str) and said:
        return said, ""
    try:
        with (path / "README.md").open(encoding="utf-8", errors="replace") as file:
            front = _FRONT.match(file.read(20_000))
    except OSError:
        return "", ""
    if front is None:
        return "", ""
    licence, link = _field(front[1], "licen[cs]e"), _field(front[1], "license_link")
    return (_field(front[1], "license_name") or licence if licence in ("", "other") else licence), link


def _short(keys: Mapping[str, object], name: str) -> str:
    found = keys.get(name)
    return found.strip() if isinstance(found, str) and len(found) <= 200 else ""


def _field(front: str, name: str) -> str:
    found = re.search(_LINE.format(name), front, re.MULTILINE | re.IGNORECASE)
    return found[1].strip()[:200] if found else ""


def _link(path: Path, licence: str, link: str) -> str:
    if link.startswith("https://"):
        return link
    if path.is_dir():
        for name in (link, *_FILES):
            if name in _FILES and (path / name).is_file():
                return str(path / name)
        if licence and (name := hub_cache.name_of(path)):
            return f"https://huggingface.co/{name}"
    return _LINKS.get(licence.lower(), "")


def _metadata(path: Path) -> dict[str, str]:
    """The free words in a safetensors header. They are data: only short texts are taken."""
    if path.suffix.lower() not in (".safetensors", ".sft"):
        return {}
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length)) if length <= MAX_HEADER else {}
        words = header.get("__metadata__") or {}
        return {str(name): str(value) for name, value in words.items() if len(str(value)) <= 200}
    except (OSError, ValueError, struct.error, AttributeError, RecursionError):
        return {}
