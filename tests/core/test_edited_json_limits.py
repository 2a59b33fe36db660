"""Hostile shapes of JSON files that people may edit: read in linear time, and without an exception."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from studio.core import edited_json, settings

SHAPES: dict[str, Callable[[int], bytes]] = {
    "escaped quotes": lambda n: b'{"a": "' + b'\\"' * n,
    "quotes": lambda n: b'{"a": ' + b'"' * n,
    "line breaks": lambda n: b"{x" + b"\n" * n,
    "commas": lambda n: b"{x" + b"," * n,
    "objects": lambda n: b"{" + b'"a": {' * n,
    "comments": lambda n: b"{" + b"/*" * n,
    "broken members": lambda n: b"{" + b'"a": x,' * n,
    "backslashes": lambda n: b'{"' + b"\\" * n,
    "names without values": lambda n: b"{x" + b',"a"' * n,
    "commas and spaces": lambda n: b'{"a": [' + b", " * n,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_hostile_shapes_are_read_in_linear_time(shape: str) -> None:
    def measure(count: int) -> float:
        content = SHAPES[shape](count)
        began = time.process_time()
        edited_json.parse(content, "settings.json")
        return time.process_time() - began

    measure(1000)
    assert measure(160_000) < 40 * max(measure(10_000), 0.005)


@pytest.mark.parametrize("text", ['{"theme": "\\udfff"}', '{"model_folders": ["\\ud800"]}', '{"\\ud800": 1}'])
def test_lone_surrogates_cost_at_most_their_value(tmp_path: Path, text: str) -> None:
    path = tmp_path / "settings.json"
    path.write_text(text)
    found = settings.load(path)
    settings.save(path, found)
    assert settings.load(path) == found


def test_deep_values_of_others_are_kept_at_their_length(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    deep = "[" * 400 + "1" + "]" * 400
    path.write_text(f'{{"theme": "light", "other": [{", ".join([deep] * 50)}]}}')
    size = path.stat().st_size
    settings.save(path, settings.load(path))
    assert settings.load(path).theme == "light"
    assert size < path.stat().st_size < size + 2000


def test_the_rest_of_a_line_after_an_open_quote_is_no_comment() -> None:
    found = edited_json.parse(b'{"a": "x // y,\n"b": 2 // two\n}', "settings.json")
    assert found.members == {"b": 2}
    assert found.broken == {"a": 1}
