"""The context window holds memory, lorebook, author's note and as much of the text as fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from plugins.writer.generation import context_window
from plugins.writer.generation.context_window import PageContext
from plugins.writer.models.tokenizer import encode_text
from plugins.writer.training.bpe import train_tokenizer
from plugins.writer.training.documents import Document
from studio import api

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return train_tokenizer([Document("", "a fox and an owl in a wood")], 300)


def build(
    tokenizer: PreTrainedTokenizerBase,
    page: PageContext,
    limit: int = 4000,
    overflow: context_window.Overflow = "oldest",
) -> tuple[str, context_window.ContextWindow]:
    """Return the text that the model reads, and the context window."""
    window = context_window.build_context(tokenizer, page, [], limit, overflow)
    return tokenizer.decode(window.tokens), window


def test_text_alone_is_the_whole_context(tokenizer: PreTrainedTokenizerBase) -> None:
    text = "One.\n\nTwo."
    assert build(tokenizer, PageContext(text))[0] == text


def test_memory_comes_first_and_authors_note_before_the_last_paragraphs(tokenizer: PreTrainedTokenizerBase) -> None:
    page = PageContext("One.\n\nTwo.\n\nThree.", memory="Foxes talk.", note="Be brief.", note_depth=1)
    assert build(tokenizer, page)[0] == "Foxes talk.\n\nOne.\n\nTwo.\n\n[Be brief.]\n\nThree."
    deep_note = PageContext("One.\n\nTwo.", note="Be brief.", note_depth=9)
    assert build(tokenizer, deep_note)[0] == "[Be brief.]\n\nOne.\n\nTwo."
    shallow_note = PageContext("One.", note="Be brief.", note_depth=0)
    assert build(tokenizer, shallow_note)[0] == "One.[Be brief.]\n\n"


def test_lorebook_entry_is_added_when_its_keyword_occurs(tokenizer: PreTrainedTokenizerBase) -> None:
    entries = context_window.parse_lorebook(["Mira, the fox: a vixen", "Otto: an owl"])
    text, window = build(tokenizer, PageContext("Then MIRA ran.", lorebook=entries))
    assert text == "a vixen\n\nThen MIRA ran."
    assert window.lorebook == ("a vixen",)
    assert build(tokenizer, PageContext("Admiral Ottoman.", lorebook=entries))[0] == "Admiral Ottoman."


@pytest.mark.parametrize("line", ["no colon", ": no words", "no text:"])
def test_invalid_lorebook_entry_is_refused(line: str) -> None:
    with pytest.raises(api.BadInput, match="not a lorebook entry"):
        context_window.parse_lorebook([line])


def test_truncated_tokens_are_counted(tokenizer: PreTrainedTokenizerBase) -> None:
    text = "abcdefghij" * 20
    count = len(encode_text(tokenizer, text))
    decoded, window = build(tokenizer, PageContext(text, memory="M."), 60)
    assert decoded.startswith("M.\n\n")
    assert text.endswith(decoded.removeprefix("M.\n\n"))
    assert window.left_out == count - window.text_tokens > 0
    assert len(window.tokens) == 60
    decoded, window = build(tokenizer, PageContext(text), 60, "middle")
    assert (decoded[:10], decoded[-10:]) == (text[:10], text[-10:])
    assert len(window.tokens) == 60
    with pytest.raises(api.BadInput, match="longer than the context window"):
        build(tokenizer, PageContext(text), 60, "refuse")
    with pytest.raises(api.BadInput, match="no space"):
        build(tokenizer, PageContext(text, memory="m" * 100), 60)
