"""What the model sees of a page."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.writer.documents import Document
from plugins.writer.generation import context_window
from plugins.writer.generation.context_window import Page
from plugins.writer.models import tokenizer as vocabulary
from studio import api


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return vocabulary.learn([Document("", "a fox and an owl in a wood")], 300)


def told(
    tokenizer: Any, written: Page, room: int = 4000, overflow: context_window.Overflow = "oldest"
) -> tuple[str, context_window.Seen]:
    seen = context_window.seen(tokenizer, written, [], room, overflow)
    return tokenizer.decode(seen.tokens), seen


def test_a_plain_text_is_seen_as_it_is(tokenizer: Any) -> None:
    text = "One.\n\nTwo."
    assert told(tokenizer, Page(text))[0] == text


def test_memory_comes_first_and_the_note_before_the_last_paragraphs(tokenizer: Any) -> None:
    written = Page("One.\n\nTwo.\n\nThree.", memory="Foxes talk.", note="Be brief.", depth=1)
    assert told(tokenizer, written)[0] == "Foxes talk.\n\nOne.\n\nTwo.\n\n[Be brief.]\n\nThree."
    deep = Page("One.\n\nTwo.", note="Be brief.", depth=9)
    assert told(tokenizer, deep)[0] == "[Be brief.]\n\nOne.\n\nTwo."
    last = Page("One.", note="Be brief.", depth=0)
    assert told(tokenizer, last)[0] == "One.[Be brief.]\n\n"


def test_lore_is_told_once_its_words_are_there(tokenizer: Any) -> None:
    entries = context_window.lore(["Mira, the fox: a vixen", "Otto: an owl"])
    text, seen = told(tokenizer, Page("Then MIRA ran.", lore=entries))
    assert text == "a vixen\n\nThen MIRA ran."
    assert seen.lore == ("a vixen",)
    assert told(tokenizer, Page("Admiral Ottoman.", lore=entries))[0] == "Admiral Ottoman."


@pytest.mark.parametrize("line", ["no colon", ": no words", "no text:"])
def test_a_line_that_is_no_entry_is_told(line: str) -> None:
    with pytest.raises(api.BadInput, match="no entry"):
        context_window.lore([line])


def test_what_does_not_fit_is_counted(tokenizer: Any) -> None:
    text = "abcdefghij" * 20
    whole = len(vocabulary.words(tokenizer, text))
    end, seen = told(tokenizer, Page(text, memory="M."), 60)
    assert end.startswith("M.\n\n")
    assert text.endswith(end.removeprefix("M.\n\n"))
    assert seen.left_out == whole - seen.of_text > 0
    assert len(seen.tokens) == 60
    both, seen = told(tokenizer, Page(text), 60, "middle")
    assert (both[:10], both[-10:]) == (text[:10], text[-10:])
    assert len(seen.tokens) == 60
    with pytest.raises(api.BadInput, match="longer than the model"):
        told(tokenizer, Page(text), 60, "refuse")
    with pytest.raises(api.BadInput, match="no room"):
        told(tokenizer, Page(text, memory="m" * 100), 60)
