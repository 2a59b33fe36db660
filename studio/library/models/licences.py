"""Finds the licences of models, and which of them the artist has not accepted yet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from studio.core.licences import describe_licence
from studio.core.model_files.gguf_header import SUFFIX, read_gguf_keys
from studio.core.model_files.safetensors_header import read_safetensors_header
from studio.core.paths import Home
from studio.core.untrusted_files import open_file, read_or_else
from studio.library.creation import MODEL_FILE
from studio.library.models import hub_cache, model_kind, offers
from studio.library.storage import model_names, sidecar

_FRONT_MATTER = re.compile(r"\A---\r?\n(.*?)\r?\n---", re.DOTALL)
_LINE = r"^{}:[ \t]*[\"']?([^\"'\n\r]+)"
_GGUF_LINK = "general.license.link"
_FILES = ("LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "LICENCE.md", "LICENCE.txt")
_LINKS = {
    "apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
    "mit": "https://opensource.org/license/mit",
    "cc0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
}


class LicenceTerms(Struct, frozen=True):
    """The licence of a model. `licence` is its identifier or name as written with the model; empty if none is.

    `link` is a web page or the path of a text file with the licence; empty if none is known.
    """

    model: str
    licence: str
    link: str = ""
    title: str = ""
    """Name of a trained model, whose `model` is its id."""

    @property
    def key(self) -> str:
        """Entry in the settings when the artist accepts. A changed licence of the same model must be accepted again."""
        return f"{self.model} | {self.licence}"

    @property
    def sentence(self) -> str:
        return describe_licence(self.title or self.model, self.licence)


def licence_of(path: Path) -> str:
    """Return the licence in `studio.json`, the model card, or the header of a single file; empty if there is none."""
    return _read_licence(path)[0]


def terms_of(name: str, path: Path) -> LicenceTerms:
    """Read the licence of a model and the link to its text."""
    licence, link = _read_licence(path)
    return LicenceTerms(name, licence, _find_link(path, licence, link))


def find_unaccepted(home: Home, choices: Iterable[str], accepted: Iterable[str]) -> list[LicenceTerms]:
    """Return the licences of chosen models that are not accepted yet.

    Starters and models that were trained here need no consent.
    """
    accepted_keys = set(accepted)
    unaccepted: dict[str, LicenceTerms] = {}
    for choice in choices:
        path = offers.resolve_model(home, choice)
        if path is None and hub_cache.is_hub_name(choice):
            path = hub_cache.find_downloaded(home, choice)
        if path is None or path.is_relative_to(offers.starters_folder()):
            continue
        if path.is_relative_to(home.library) and not sidecar.read(path).imported:
            continue
        terms = terms_of(offers.name_of(choice, path), path)
        if path.is_relative_to(home.library):
            terms = msgspec.structs.replace(terms, title=model_names.read_name(path))
        if terms.key not in accepted_keys:
            unaccepted[terms.key] = terms
    return list(unaccepted.values())


def _read_licence(path: Path) -> tuple[str, str]:
    """Return the licence and the link given with it."""
    if path.suffix.lower() == SUFFIX:
        keys = read_gguf_keys(path)
        return _short_text(keys, "general.license.name") or _short_text(keys, "general.license"), _short_text(
            keys, _GGUF_LINK
        )
    if path.is_file():
        return _read_safetensors_metadata(path).get("modelspec.license", ""), ""
    licence = model_kind.read_json(path / MODEL_FILE).get("licence")
    if isinstance(licence, str) and licence:
        return licence, ""
    card = read_or_else(b"", _read_start, path / "README.md").decode("utf-8", "replace")
    front = _FRONT_MATTER.match(card)
    if front is None:
        return "", ""
    licence, link = _read_field(front[1], "licen[cs]e"), _read_field(front[1], "license_link")
    return (_read_field(front[1], "license_name") or licence if licence in ("", "other") else licence), link


def _read_start(path: Path) -> bytes:
    with open_file(path) as file:
        return file.read(20_000)


def _short_text(keys: Mapping[str, object], name: str) -> str:
    value = keys.get(name)
    return value.strip() if isinstance(value, str) and len(value) <= 200 else ""


def _read_field(front: str, name: str) -> str:
    match = re.search(_LINE.format(name), front, re.MULTILINE | re.IGNORECASE)
    return match[1].strip()[:200] if match else ""


def _find_link(path: Path, licence: str, link: str) -> str:
    if link.startswith("https://"):
        return link
    if path.is_dir():
        for name in (link, *_FILES):
            if name in _FILES and (path / name).is_file():
                return str(path / name)
        if licence and (name := hub_cache.name_of(path)):
            return f"https://huggingface.co/{name}"
    return _LINKS.get(licence.lower(), "")


def _read_safetensors_metadata(path: Path) -> dict[str, str]:
    """Return the short texts in the metadata of a safetensors header."""
    if path.suffix.lower() not in (".safetensors", ".sft"):
        return {}
    metadata = read_or_else(None, lambda: msgspec.json.decode(read_safetensors_header(path)["__metadata__"]))
    if not isinstance(metadata, dict):
        return {}
    return {name: value for name, value in metadata.items() if isinstance(value, str) and len(value) <= 200}
