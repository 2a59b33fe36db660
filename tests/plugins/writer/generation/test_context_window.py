"""What the model sees of a page."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.writer.generation import context_window
from plugins.writer.generation.context_window import PageContext
from plugins.writer.models.tokenizer import encode_text
from plugins.writer.training.bpe import train_tokenizer
from plugins.writer.training.documents import Document
from studio import api


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer([Document("", "a fox and an owl in a wood")], 300)


def told(
    tokenizer: Any, written: PageContext, room: int = 4000, overflow: context_window.Overflow = "oldest"
) -> tuple[str, context_window.ContextWindow]:
    seen = context_window.build_context(tokenizer, written, [], room, overflow)
    return tokenizer.decode(seen.tokens), seen


def test_text_alone_is_the_whole_context(tokenizer: Any) -> None:
    text = "One.\n\nTwo."
    assert told(tokenizer, PageContext(text))[0] == text


def test_memory_comes_first_and_authors_note_before_the_last_paragraphs(tokenizer: Any) -> None:
    written = PageContext("One.\n\nTwo.\n\nThree.", memory="Foxes talk.", note="Be brief.", note_depth=1)
    assert told(tokenizer, written)[0] == "Foxes talk.\n\nOne.\n\nTwo.\n\n[Be brief.]\n\nThree."
    deep = PageContext("One.\n\nTwo.", note="Be brief.", note_depth=9)
    assert told(tokenizer, deep)[0] == "[Be brief.]\n\nOne.\n\nTwo."
    last = PageContext("One.", note="Be brief.", note_depth=0)
    assert told(tokenizer, last)[0] == "One.[Be brief.]\n\n"


def test_lorebook_entry_is_added_when_its_keyword_occurs(tokenizer: Any) -> None:
    entries = context_window.parse_lorebook(["Mira, the fox: a vixen", "Otto: an owl"])
    text, seen = told(tokenizer, PageContext("Then MIRA ran.", lorebook=entries))
    assert text == "a vixen\n\nThen MIRA ran."
    assert seen.lorebook == ("a vixen",)
    assert told(tokenizer, PageContext("Admiral Ottoman.", lorebook=entries))[0] == "Admiral Ottoman."


@pytest.mark.parametrize("line", ["no colon", ": no words", "no text:"])
def test_invalid_lorebook_entry_is_refused(line: str) -> None:
    with pytest.raises(api.BadInput, match="not a lorebook entry"):
        context_window.parse_lorebook([line])


def test_truncated_tokens_are_counted(tokenizer: Any) -> None:
    text = "abcdefghij" * 20
    whole = len(encode_text(tokenizer, text))
    end, seen = told(tokenizer, PageContext(text, memory="M."), 60)
    assert end.startswith("M.\n\n")
    assert text.endswith(end.removeprefix("M.\n\n"))
    assert seen.left_out == whole - seen.text_tokens > 0
    assert len(seen.tokens) == 60
    both, seen = told(tokenizer, PageContext(text), 60, "middle")
    assert (both[:10], both[-10:]) == (text[:10], text[-10:])
    assert len(seen.tokens) == 60
    with pytest.raises(api.BadInput, match="longer than the context window"):
        told(tokenizer, PageContext(text), 60, "refuse")
    with pytest.raises(api.BadInput, match="no space"):
        told(tokenizer, PageContext(text, memory="m" * 100), 60)
