"""Encodings of texts: marks, UTF-16 without one, and code pages."""

from __future__ import annotations

import codecs

import pytest

from studio.core.text_encoding import decode_text

ENGLISH = "Café “quoted” naïve. His hoe was too short — it’s only a spade.\n" + "The garden lay still. " * 200
TEXTS = {
    "english": (ENGLISH, "cp1252"),
    "german": ("Über den Flüssen grünt der Weißdorn – „schön“, sagte Jürgen und ging über die Straße. " * 6, "cp1252"),
    "french": ("L’été dernier, le garçon a mangé une crêpe à la crème près du château. " * 6, "cp1252"),
    "russian": ("Жил-был старик со своею старухой у самого синего моря; они жили в землянке. " * 6, "cp1251"),
    "polish": ("Zażółć gęślą jaźń, w Szczebrzeszynie chrząszcz brzmi w trzcinie i z tego słynie. " * 6, "cp1250"),
    "japanese": ("昔々、あるところに、おじいさんとおばあさんが住んでいました。" * 10, "shift_jis"),
    "chinese": ("很久很久以前，有一个小村庄，村子里住着一位老人和他的孙子。" * 10, "gb18030"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_read_in_its_code_page(name: str) -> None:
    text, encoding = TEXTS[name]
    assert decode_text(text.encode(encoding)).text == text


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_mark_decides(name: str, encoding: str) -> None:
    text, _ = TEXTS[name]
    decoded = decode_text(("\ufeff" + text).encode(encoding))
    assert (decoded.text, decoded.encoding) == (text, encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_western_texts_need_no_mark(encoding: str) -> None:
    for text in (ENGLISH, TEXTS["german"][0], "a fox", ""):
        assert decode_text(text.encode(encoding)).text == text


def test_a_short_text_is_western() -> None:
    assert decode_text("Grün".encode("cp1252")).text == "Grün"


@pytest.mark.parametrize("content", [b"\0\1\2", bytes(range(256)) * 20, bytes(1000), codecs.BOM_UTF16_LE + b"x"])
def test_bytes_that_are_no_text_are_refused(content: bytes) -> None:
    with pytest.raises(UnicodeError):
        decode_text(content)
