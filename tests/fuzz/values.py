"""Values that have broken readers: numbers at the edges of types, hostile texts, deep and wide JSON."""

from __future__ import annotations

import json
import random

INTEGERS = (
    *(0, 1, 2, 7, 8, 127, 128, 255, 256, 32767, 32768, 65535, 65536),
    *(2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**80, 10**30),
)
TEXTS = (
    "",
    "\0",
    "a\0b",
    "\ud800",
    "x\udfff y",
    "\ufeff\ufffe\uffff",
    "\u202e\u2066 right to left",
    "..",
    "/",
    "/dev/zero",
    "../../../../etc/passwd",
    "~nosuchuser/x",
    "sha256:" + "0" * 64,
    "version https://git-lfs.github.com/spec/v1\n",
    "Steps: 1, Seed: 99999999999999999999, CFG scale: nan, Size: 9999999999x-1",
    "Negative prompt: Negative prompt: ",
    "<rdf:li><exif:UserComment>",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "{}",
    '{"',
    "\\u0000\\ud800",
    "NaN",
    "1e999",
    "-0",
)
PARTS = (
    "a: ",
    "a,",
    '"',
    "\\",
    '\\"',
    "a:b,",
    "a/",
    "- ",
    " ",
    "\n",
    "<",
    "<a:",
    "[",
    "{",
    "(",
    "((",
    ":1.1)",
    "é",
    "🙂",
)
"""Repeated, these make the worst case of a grammar."""


def any_integer(chance: random.Random) -> int:
    return chance.choice(INTEGERS) * chance.choice((1, 1, 1, -1)) + chance.choice((0, 0, -1, 1))


def any_text(chance: random.Random) -> str:
    match chance.randrange(4):
        case 0:
            return chance.choice(PARTS) * chance.choice((3, 70, 1000, 20_000))
        case 1:
            return "".join(chance.choice(PARTS) for _ in range(chance.randrange(1, 300)))
        case _:
            return chance.choice(TEXTS)


def any_json(chance: random.Random) -> str:
    """Return JSON of one value, some of which no encoder writes."""
    match chance.randrange(9):
        case 0:
            return str(any_integer(chance))
        case 1:
            return json.dumps(any_text(chance))
        case 2:
            depth = chance.choice((5, 100, 480, 900, 5_000, 50_000))
            start, end = chance.choice((("[", "]"), ('{"a":', "}")))
            return start * depth + "1" + (end * depth if chance.random() < 0.8 else "")
        case 3:
            return chance.choice(("NaN", "Infinity", "-Infinity", "1e400", "-1e308", "0.5", "1.5e-320", "-0", "1E5"))
        case 4:
            return chance.choice(("null", "true", "false", "[]", "{}", '""', "[[]]", "[{}]", '{"a": null}'))
        case 5:
            return (
                "[" + ",".join([chance.choice(("0", "{}", "[]", '"a"', "1.5"))] * chance.choice((2, 300, 30_000))) + "]"
            )
        case 6:
            return "9" * chance.choice((20, 400, 4_400, 100_000))
        case 7:
            return "{" + ",".join(f'"k{number}":{number}' for number in range(chance.choice((1, 100, 10_000)))) + "}"
        case _:
            return json.dumps([chance.choice(TEXTS), any_integer(chance)])
