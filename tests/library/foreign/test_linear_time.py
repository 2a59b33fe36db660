"""Texts of strangers are read in time that grows with their length, whatever stands in them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from functools import partial

import pytest

from studio.library.foreign import a1111, a1111_settings
from studio.library.foreign.a1111_settings import Settings
from studio.library.formats import xmp

LENGTH = 60_000
"""Characters of the shorter text. A quadratic reader takes minutes for it."""
FLOOR = 0.05
"""Seconds below which times are not compared."""
HOSTILE = [
    'a:"', 'a:"\\', '"a: ', "a a", "a b-", ":", ",:", "a:", ' "\\"', "<", "(" * 9 + ":", "a" * 60 + " ", "a:[1,",
    'a:{"a":[', 'a: "\n', "\nTemplate: ", "\nNegative prompt: ", "\nSteps: 5, ", '\nSteps: 5, a: "', "\n", "\na",
    "<lora:", "<lora:a>",
]  # fmt: skip
HOSTILE_XML = [
    "<parameters ", "<x:parameters>", "<a.", "<" + "a" * 90, "<description><rdf:Alt> ", "<parameters>\n",
    "<UserComment", "<studio:recipe>", "<rdf:li", ">", "</",
]  # fmt: skip


def _seconds(read: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        gc.collect()  # so that what other tests left is not collected meanwhile
        began = time.process_time()
        read()
        times.append(time.process_time() - began)
    return min(times)


def is_linear(read: Callable[[int], object]) -> bool:
    """Compare a text with one of twice its length, generously: a quadratic reader takes four times as long.

    It is tried again where a busy machine may have disturbed it.
    """
    for _ in range(3):
        short, long = (_seconds(partial(read, length)) for length in (LENGTH, 2 * LENGTH))
        if long < FLOOR or long < 3.2 * short:
            return True
    return False


@pytest.mark.parametrize("shape", HOSTILE)
@pytest.mark.parametrize("start", ["prompt\n", "prompt\nSteps: 5, "])
def test_parameters_are_parsed_in_linear_time(start: str, shape: str) -> None:
    def read(length: int) -> object:
        return a1111.parse(start + (shape * length)[: min(length, a1111_settings.MAX_LENGTH - len(start))])

    assert is_linear(read)


@pytest.mark.parametrize("shape", HOSTILE_XML)
def test_xmp_is_read_in_linear_time(shape: str) -> None:
    def read(length: int) -> object:
        packet = (shape * length)[: length * 8].encode()
        return xmp.read_parameters(packet), xmp.read_recipe_json(packet)

    assert is_linear(read)


@pytest.mark.parametrize(
    ("line", "settings"),
    [
        ("Steps: 20, Sampler: Euler a, Seed: 5", {"Steps": "20", "Sampler": "Euler a", "Seed": "5"}),
        ('Lora hashes: "a: 1, b: 2", Seed: 5, Steps: 2', {"Lora hashes": "a: 1, b: 2", "Seed": "5", "Steps": "2"}),
        ('A: "x" y, B: "open, C: 3', {"A": '"x" y', "B": '"open', "C": "3"}),
        ('A: "x\\"y", B:, C: 1:2', {"A": 'x"y', "B": "", "C": "1:2"}),
        ("junk, (odd: 1, é ü-/: 2, A: 3,", {"odd": "1", "é ü-/": "2", "A": "3"}),
        ("A" * 70 + ": 1, B: 2, C: 3", {"A" * 61: "1", "B": "2", "C": "3"}),
    ],
)
def test_pairs_are_found(line: str, settings: dict[str, str]) -> None:
    assert Settings(line).pairs == settings


@pytest.mark.parametrize(
    ("packet", "text"),
    [
        ("<exif:UserComment><rdf:Alt> <rdf:li xml:lang='x'>Steps: 1 &amp; 2</rdf:li>", "Steps: 1 & 2"),
        ("<dc:description>words</dc:description><p:parameters a='b'>{}</p:parameters>", "{}"),
        ("<tiff:descriptions>Steps: 1</x>", ""),
        ("<parameters", ""),
        ("<parameters>Steps: 1", ""),
        ("<a/><parameters/><description>\n Steps: 3</description>", "\n Steps: 3"),
    ],
)
def test_parameters_are_found_in_a_packet(packet: str, text: str) -> None:
    assert xmp.read_parameters(packet.encode()) == text
