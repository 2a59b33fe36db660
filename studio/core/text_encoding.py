"""The encoding of texts that are read: by byte order mark, as UTF-8, or by their statistics."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins with the mark of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE = 2**18
"""Number of bytes from which an encoding is detected."""
_MIN_DETECTABLE = 100
"""Number of bytes below which statistics say nothing, so that the code page of western Europe is taken."""
_FEW_SIGNS = 0.02
"""Fraction of bytes above 127 below which statistics have no hold, so that a text is taken for English with quotes."""
_WESTERN = "cp1252"


@dataclass(frozen=True)
class DecodedText:
    """A text without its byte order mark, and the name of its encoding in Python."""

    text: str
    encoding: str


def decode_text(content: bytes) -> DecodedText:
    """Decode a text. Raises UnicodeError for bytes that are no text of a known encoding."""
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            return DecodedText(content[len(mark) :].decode(encoding), encoding)
    if (wide := _find_wide_encoding(content[:_SAMPLE])) is not None:
        return DecodedText(content.decode(wide), wide)
    try:
        return DecodedText(content.decode(), "utf-8")
    except UnicodeDecodeError:
        encoding = _detect(content[:_SAMPLE])
    return DecodedText(content.decode(encoding), encoding)


def _find_wide_encoding(sample: bytes) -> str | None:
    """Tell UTF-16 without a mark: every other byte of a western text is 0. Raises UnicodeError for other zeros."""
    if b"\0" not in sample:
        return None
    zeros = [sample[start::2].count(0) for start in (0, 1)]
    half = len(sample) // 2
    if len(sample) % 2 == 0 and max(zeros) > 0.4 * half and min(zeros) < 0.05 * half + 1:
        return "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
    raise UnicodeError("the bytes are no text")


def _detect(sample: bytes) -> str:
    import charset_normalizer

    if len(sample) < _MIN_DETECTABLE:
        return _WESTERN
    matches = charset_normalizer.from_bytes(sample)
    best = matches.best()
    if best is None:
        raise UnicodeError("the encoding of the text is unknown")
    # Western code pages differ in a few signs only; the one of Windows has the quotes and dashes of most texts.
    equal = [match for match in matches if (match.chaos, match.coherence) == (best.chaos, best.coherence)]
    alike = {name for match in (best, *equal) for name in (match.encoding, *match.could_be_from_charset)}
    has_few_signs = sum(byte > 127 for byte in sample) < _FEW_SIGNS * len(sample)
    is_western = bool(alike & {_WESTERN, "latin_1"}) or has_few_signs
    return _WESTERN if is_western and _fits(sample) else best.encoding


def _fits(sample: bytes) -> bool:
    try:
        sample.decode(_WESTERN)
    except UnicodeDecodeError:
        return False
    return True
