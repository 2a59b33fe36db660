"""What is said about a picture while a model learns from it: names, keywords, colours, styles."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio import api

STYLES = {"fluent": "3d", "noto": "flat"}
"""The word that a caption ends in, for the styles that a list of pictures may name."""
COLOURS: Mapping[str, tuple[int, int, int]] = {
    "red": (222, 52, 48),
    "orange": (246, 140, 34),
    "yellow": (250, 205, 60),
    "green": (70, 165, 70),
    "blue": (50, 120, 220),
    "purple": (140, 80, 190),
    "pink": (245, 140, 180),
    "brown": (130, 80, 50),
    "black": (30, 30, 34),
    "white": (245, 245, 245),
    "grey": (140, 140, 146),
}
"""sRGB of the colour words."""
MOST_CAPTION = 20_000
"""Characters of a caption file that are read."""
_SIDED = frozenset({"left", "right", "clockwise", "counterclockwise", "clock", "flag", "flags", "keycap", "button"})
_WRITTEN = frozenset(
    {"letter", "letters", "digit", "digits", "number", "numbers", "symbol", "text", "sign", "input", "indicator"}
    | {"abc", "abcd", "atm", "wc", "sos", "end", "back", "soon", "on", "top", "hash", "hundred", "percent", "question"}
    | {"arrow", "arrows", "cyclone", "music", "musical", "mark", "chart", "scroll", "newspaper", "medal", "regional"}
    | {"calendar", "date", "watch", "timer", "o’clock", "thirty", "banknote", "currency"}
)
"""Words of pictures that mirror wrongly: what is written on them, or turns one way."""
_PEOPLE = frozenset(
    {"man", "woman", "person", "men", "women", "people", "boy", "girl", "child", "children", "baby", "adult"}
    | {"hand", "hands", "fist", "finger", "family", "couple", "prince", "princess", "merman", "mermaid"}
)
"""Words of pictures whose main colour is that of a skin or of clothes, which nobody asks for."""
_GENERIC = frozenset({"button", "face", "symbol", "sign"})
_MASS = frozenset(
    {"money", "hair", "water", "rice", "fire", "bread", "cheese", "sand"}
    | {"milk", "sake", "bacon", "butter", "honey", "salt", "ice"}
)
"""Words that take no article."""


@dataclass(frozen=True)
class Subject:
    """A picture and the words for it. `style` is a key of STYLES or empty; `fixed` captions are taken as they are.

    `frame` has the picture's height and width in px, and where its middle square begins once it is made smaller."""

    path: Path
    name: str
    keywords: tuple[str, ...] = ()
    style: str = ""
    colour: str = ""
    fixed: bool = False
    frame: tuple[int, int, int, int] | None = None

    @property
    def flips(self) -> bool:
        """Whether its mirror image shows the same thing: not where sides or writing matter."""
        words = set(re.findall(r"[^\W\d_]+(?:[’'-][^\W\d_]+)*", " ".join((self.name, *self.keywords)).lower()))
        written = bool(re.search(r"\d|\b[A-Z]{1,4}\b|[^\w\s’'.,:()-]", self.name.replace("T-Rex", "")))
        return not (written or words & _SIDED or words & _WRITTEN)

    @property
    def noun(self) -> str:
        """The name with its article: "a red apple", "an owl"; the colour is added where the name has none."""
        name = self.name if self.fixed else normalize_name(self.name)
        if self.fixed:
            return name
        uncoloured = set(name.split()) & (_PEOPLE | {*COLOURS, "gray", "dark", "light", "rainbow", "face"})
        if self.colour and not uncoloured:
            name = f"{self.colour} {name}"
        return name if _without_article(name) else f"{'an' if name[:1] in 'aeiou' else 'a'} {name}"

    @property
    def plain(self) -> str:
        """The name alone, as an artist would type it."""
        return self.name if self.fixed else normalize_name(self.name)


def normalize_name(name: str) -> str:
    """A name as it is spoken: lower case, without marks. "woman: red hair" gives "woman red hair"."""
    return re.sub(r"\s+", " ", re.sub(r"[“”\"():,!]", " ", name.lower())).strip() or name


def draw_caption(subject: Subject, chance: np.random.Generator, ground: str = "") -> str:
    """One of the ways to name a picture: with colour, plainly, or with keywords; then ground and style."""
    if subject.fixed:
        return subject.name
    way = chance.uniform()
    text = subject.noun if way < 0.6 else subject.plain
    if way >= 0.85:
        others = [
            word for word in subject.keywords if normalize_name(word) not in subject.plain and word not in _GENERIC
        ]
        if others:
            text = f"{text}, {normalize_name(others[int(chance.integers(len(others)))])}"
    return complete_caption(text, ground, subject.style)


def complete_caption(text: str, ground: str = "", style: str = "") -> str:
    """Adds "on a blue ground" and the word of the style to what is shown."""
    if ground:
        text = f"{text} on {'an' if ground[0] in 'aeiou' else 'a'} {ground} ground"
    return f"{text}, {STYLES[style]}" if style in STYLES else text


def main_colour(pixels: NDArray[np.uint8]) -> str:
    """The word for the colour that most of an RGBA picture [h, w, 4] has; empty where none has two fifths of it."""
    seen = pixels[..., :3][pixels[..., 3] > 128].astype(np.float32)
    if not len(seen):
        return ""
    import colorsys

    counts: dict[str, int] = {}
    for red, green, blue in seen[:: max(1, len(seen) // 400)] / 255:
        hue, light, _ = colorsys.rgb_to_hls(float(red), float(green), float(blue))
        chroma = float(max(red, green, blue) - min(red, green, blue))
        word = _colour_word(hue * 360, light, chroma)
        counts[word] = counts.get(word, 0) + 1
    word, count = max(counts.items(), key=lambda entry: entry[1])
    return word if count >= 0.4 * sum(counts.values()) else ""


def read_captions(folder: Path, found: Sequence[Path]) -> list[Subject]:
    """The words for the pictures `found` in a folder.

    They come from `FOLDER.jsonl` beside the folder or `captions.jsonl` in it (an object with
    `file`, `name` or `caption`, and perhaps `keywords` and `style`, on each line), from
    `NAME.txt` beside a picture, or from its file name.
    """
    told: dict[str, Mapping[str, Any]] = {}
    for listing in (folder.with_name(f"{folder.name}.jsonl"), folder / "captions.jsonl"):
        told |= _listing(listing, folder.name)
    return [_subject(path, told.get(path.relative_to(folder).as_posix())) for path in found]


def is_held_out(text: str, share: float) -> bool:
    """Whether what goes by this name is kept for measuring. It depends on the name alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) < share * 2**32


def from_file_name(stem: str) -> str:
    """ "red-apple_02" gives "red apple"."""
    words = re.sub(r"[-_\s]+", " ", stem).strip()
    return re.sub(r"\s*\(?\d+\)?$", "", words).strip() or words


def _subject(path: Path, row: Mapping[str, Any] | None) -> Subject:
    beside = path.with_suffix(".txt")
    if beside.is_file():
        try:
            text = " ".join(beside.read_text("utf-8", errors="replace")[:MOST_CAPTION].split())
        except OSError as error:
            raise api.BadInput(f"The words in {beside.name} cannot be read.", "Change its permissions.") from error
        if text:
            return Subject(path, text, fixed=True)
    if row and isinstance(row.get("caption"), str) and row["caption"].strip():
        return Subject(path, row["caption"].strip(), fixed=True)
    if row and isinstance(row.get("name"), str) and row["name"].strip():
        words = row.get("keywords") or []
        keywords = tuple(word for word in words if isinstance(word, str)) if isinstance(words, list) else ()
        return Subject(path, row["name"].strip(), keywords, str(row.get("style") or ""))
    return Subject(path, from_file_name(path.stem), fixed=True)


def _listing(path: Path, folder: str) -> dict[str, Mapping[str, Any]]:
    """Rows by the file's path within the folder, whether or not they begin with the folder's name."""
    if not path.is_file():
        return {}
    rows: dict[str, Mapping[str, Any]] = {}
    try:
        for line in path.read_text("utf-8").splitlines():
            if line.strip():
                row = json.loads(line)
                rows[str(row["file"]).removeprefix(f"{folder}/")] = row
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise api.BadInput(
            f"{path.name} is no list of captions.", "Each line is an object with file and name."
        ) from error
    return rows


def _without_article(name: str) -> bool:
    last = name.split()[-1]
    plural = last.endswith("s") and not last.endswith(("ss", "us", "is"))
    return plural or last in _MASS or name.split()[0] in {"men", "women", "people", "the"}


def _colour_word(hue: float, light: float, chroma: float) -> str:
    if chroma < 0.12:
        return "black" if light < 0.25 else "white" if light > 0.8 else "grey"
    if hue < 45 and light < 0.55 and (chroma < 0.45 or (hue >= 10 and (chroma < 0.55 or light < 0.35))):
        return "brown"
    if light < 0.14:
        return "black"
    if (hue >= 300 and light > 0.6) or ((hue < 12 or hue >= 345) and light > 0.72):
        return "pink"
    for end, word in ((15, "red"), (40, "orange"), (68, "yellow"), (165, "green"), (255, "blue"), (320, "purple")):
        if hue < end:
            return word
    return "red"
