"""Captions of training images: names, keywords, colours and styles."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from studio import api

STYLES = {"fluent": "3d", "noto": "flat"}
"""The word at the end of a caption, for the styles that a list of captions may name."""
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
"""sRGB values of the colour words."""
_SIDED = frozenset({"left", "right", "clockwise", "counterclockwise", "clock", "flag", "flags", "keycap", "button"})
_WRITTEN = frozenset(
    {"letter", "letters", "digit", "digits", "number", "numbers", "symbol", "text", "sign", "input", "indicator"}
    | {"abc", "abcd", "atm", "wc", "sos", "end", "back", "soon", "on", "top", "hash", "hundred", "percent", "question"}
    | {"arrow", "arrows", "cyclone", "music", "musical", "mark", "chart", "scroll", "newspaper", "medal", "regional"}
    | {"calendar", "date", "watch", "timer", "o’clock", "thirty", "banknote", "currency"}
)
"""Words for images that must not be mirrored, because of writing on them or a direction."""
_PEOPLE = frozenset(
    {"man", "woman", "person", "men", "women", "people", "boy", "girl", "child", "children", "baby", "adult"}
    | {"hand", "hands", "fist", "finger", "family", "couple", "prince", "princess", "merman", "mermaid"}
)
"""Words for images whose main colour is that of skin or clothes, which nobody would prompt for."""
_GENERIC = frozenset({"button", "face", "symbol", "sign"})
_MASS = frozenset(
    {"money", "hair", "water", "rice", "fire", "bread", "cheese", "sand"}
    | {"milk", "sake", "bacon", "butter", "honey", "salt", "ice"}
)
"""Words without an article."""


@dataclass(frozen=True)
class Subject:
    """An image and the words for it."""

    path: Path
    name: str
    keywords: tuple[str, ...] = ()
    style: str = ""
    """A key of `STYLES`, or empty."""
    colour: str = ""
    fixed: bool = False
    """Whether `name` is a complete caption that is used as it is."""
    frame: tuple[int, int, int, int, int, int] | None = None
    """Height and width in pixels, the top and left of the crop after scaling, and the crop's height and width."""
    repeats: int = 1
    """Number of times that it is used in an epoch."""
    is_regularisation: bool = False
    """Whether it shows what the network must not forget, rather than something new."""

    @property
    def flips(self) -> bool:
        """Whether its mirror image shows the same thing: not if it has sides or writing."""
        words = set(re.findall(r"[^\W\d_]+(?:[’'-][^\W\d_]+)*", " ".join((self.name, *self.keywords)).lower()))
        has_writing = bool(re.search(r"\d|\b[A-Z]{1,4}\b|[^\w\s’'.,:()-]", self.name.replace("T-Rex", "")))
        return not (has_writing or words & _SIDED or words & _WRITTEN)

    @property
    def noun(self) -> str:
        """The name with its article, such as "a red apple" or "an owl". A missing colour is added."""
        name = self.plain
        if self.fixed:
            return name
        uncoloured = set(name.split()) & (_PEOPLE | {*COLOURS, "gray", "dark", "light", "rainbow", "face"})
        if self.colour and not uncoloured:
            name = f"{self.colour} {name}"
        return name if _has_no_article(name) else f"{'an' if name[:1] in 'aeiou' else 'a'} {name}"

    @property
    def plain(self) -> str:
        """The name alone, as an artist would type it."""
        return self.name if self.fixed else normalize_name(self.name)


def normalize_name(name: str) -> str:
    """Return a name in lower case and without punctuation: "woman: red hair" gives "woman red hair"."""
    return re.sub(r"\s+", " ", re.sub(r"[“”\"():,!]", " ", name.lower())).strip() or name


def draw_caption(subject: Subject, rng: np.random.Generator, ground: str = "") -> str:
    """Draw a caption at random: with the colour, the plain name, or with a keyword; then the ground and the style."""
    if subject.fixed:
        return subject.name
    draw = rng.uniform()
    text = subject.noun if draw < 0.6 else subject.plain
    if draw >= 0.85:
        keywords = [
            word for word in subject.keywords if normalize_name(word) not in subject.plain and word not in _GENERIC
        ]
        if keywords:
            text = f"{text}, {normalize_name(keywords[int(rng.integers(len(keywords)))])}"
    return complete_caption(text, ground, subject.style)


def complete_caption(text: str, ground: str = "", style: str = "") -> str:
    """Add a coloured ground, such as "on a blue ground", and the word for a style to a caption."""
    if ground:
        text = f"{text} on {'an' if ground[0] in 'aeiou' else 'a'} {ground} ground"
    return f"{text}, {STYLES[style]}" if style in STYLES else text


def find_main_colour(pixels: NDArray[np.uint8]) -> str:
    """Return the word for the main colour of an RGBA image [h, w, 4]; empty if no colour covers two fifths of it."""
    opaque = pixels[..., :3][pixels[..., 3] > 128].astype(np.float32)
    if not len(opaque):
        return ""
    import colorsys

    counts: dict[str, int] = {}
    for red, green, blue in opaque[:: max(1, len(opaque) // 400)] / 255:
        hue, light, _ = colorsys.rgb_to_hls(float(red), float(green), float(blue))
        chroma = float(max(red, green, blue) - min(red, green, blue))
        word = _name_colour(hue * 360, light, chroma)
        counts[word] = counts.get(word, 0) + 1
    word, count = max(counts.items(), key=lambda entry: entry[1])
    return word if count >= 0.4 * sum(counts.values()) else ""


def read_captions(folder: Path, paths: Sequence[Path]) -> list[Subject]:
    """Read the words for images in a folder, from the files that `api.datasets.read_captions` reads.

    Raises BadInput if one of these files is damaged.
    """
    return [
        Subject(caption.path, caption.text, caption.keywords, caption.style, fixed=caption.is_complete)
        for caption in api.datasets.read_captions(folder, paths)
    ]


def _has_no_article(name: str) -> bool:
    last = name.split()[-1]
    is_plural = last.endswith("s") and not last.endswith(("ss", "us", "is"))
    return is_plural or last in _MASS or name.split()[0] in {"men", "women", "people", "the"}


def _name_colour(hue: float, light: float, chroma: float) -> str:
    """Return the word for a colour. `hue` is in degrees, `light` and `chroma` from 0 to 1."""
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
