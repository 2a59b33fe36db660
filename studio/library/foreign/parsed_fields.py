"""Fields of `ForeignMetadata` from untrusted values: what the readers of all dialects share."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import Any

from studio.core.untrusted_files import make_valid, read_or_else
from studio.library.foreign.lenient_values import to_float, to_int, to_text
from studio.library.foreign.lora_values import ForeignLora

Fields = dict[str, Any]
Texts = Mapping[str, str]

MAX_JSON = 4 * 2**20
_TEXTS = (
    "prompt", "negative_prompt", "sampler", "scheduler", "model", "model_hash", "vae", "vae_hash",
)  # fmt: skip
_WHOLE = ("seed", "steps", "width", "height", "clip_skip")
_NUMBERS = ("guidance", "strength")
_MAX_MORE = 200
"""Maximum number of settings that are kept as text."""
_MAX_MORE_LENGTH = 10_000
_MAX_MORE_NAME = 100


def parse_json(text: str | None) -> Any:
    """Parse untrusted JSON, which may contain NaN. Return None if it is invalid, too long or too deep."""
    if not text or len(text) > MAX_JSON or text.lstrip()[:1] not in ("{", "["):
        return None
    return read_or_else(None, json.loads, text)


def parse_object(texts: Texts, name: str) -> dict[str, Any]:
    value = parse_json(texts.get(name))
    return value if isinstance(value, dict) else {}


def get_object(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object in an object; empty for anything else."""
    value = values.get(name)
    return value if isinstance(value, dict) else {}


def to_fields(
    metadata: Mapping[str, Any],
    *,
    loras: Iterable[ForeignLora] = (),
    more: Mapping[str, Any] | None = None,
    done: Collection[str] = (),
    **names: str,
) -> Fields:
    """Convert `metadata` to fields, each from the key of its name or the key in `names`. Return {} if all are empty.

    `more` is kept as text, by default what is left of `metadata` but for the keys in `done`.
    """

    def get(name: str) -> Any:
        return metadata.get(names.get(name, name))

    fields: Fields = {name: to_text(get(name)) for name in _TEXTS}
    fields |= {name: to_int(get(name)) for name in _WHOLE}
    fields |= {name: to_float(get(name)) for name in _NUMBERS}
    fields = {name: value for name, value in fields.items() if value not in (None, "")}
    if found := list(islice(loras, 200)):
        fields["loras"] = found
    if fields:
        used = {names.get(name, name) for name in (*_TEXTS, *_WHOLE, *_NUMBERS)} | set(done)
        rest = more if more is not None else {key: value for key, value in metadata.items() if key not in used}
        fields["more"] = to_more(rest)
    return fields


def to_more(values: Mapping[str, Any]) -> dict[str, str]:
    """Convert settings to text; those that are empty are left out."""
    found: dict[str, str] = {}
    for name, value in values.items():
        if len(found) == _MAX_MORE:
            break
        if value in (None, "", [], {}):
            continue
        text = value if isinstance(value, str) else read_or_else("", json.dumps, value, ensure_ascii=False)
        if text := to_text(text[:_MAX_MORE_LENGTH]):
            found[make_valid(str(name)[:_MAX_MORE_NAME])] = text
    return found
