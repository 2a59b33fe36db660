"""The difference of two texts, and the count of words."""

from __future__ import annotations

import pytest

from studio.core.page.plain_text import WordCount, count_words, find_difference


@pytest.mark.parametrize(
    ("old", "new", "cursor", "expected"),
    [
        ("", "a", 1, (0, 0, "a")),
        ("aaaa", "aaaaa", 2, (1, 0, "a")),
        ("aaaa", "aaa", 1, (1, 1, "")),
        ("the fox", "the red fox", 8, (4, 0, "red ")),
        ("the red fox", "the fox", None, (3, 4, "")),
        ("one two", "one six", None, (4, 3, "six")),
        ("same", "same", 2, (2, 0, "")),
    ],
)
def test_the_difference_of_two_texts_is_found(
    old: str, new: str, cursor: int | None, expected: tuple[int, int, str]
) -> None:
    at, removed, text = find_difference(old, new, cursor)
    assert (at, removed, text) == expected
    assert old[:at] + text + old[at + removed :] == new


@pytest.mark.parametrize(
    ("text", "words"),
    [("", 0), ("  \n", 0), ("It's a well-known fox.", 4), ("狐が", 2), ("— “Fox”, 3.5 m — 🦊", 3), ("שלום עולם", 2)],
)
def test_words_are_counted_in_every_script(text: str, words: int) -> None:
    assert count_words(text) == words


def test_an_incremental_count_equals_a_new_count() -> None:
    count = WordCount()
    for text in ("", "One two.\n\nOne two.\n", "One two.\nthree 狐が", "One two.\nthree\nOne two.\nfour five"):
        assert count(text) == count_words(text)
