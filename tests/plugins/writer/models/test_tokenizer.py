"""The vocabulary: the same each time, and safe from control tokens in someone's text."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins.writer.documents import Document
from plugins.writer.models import tokenizer as vocabulary
from studio import api

SOME = [Document("The fox", "A fox ran. “Wait!” 狐 🦊", "tale"), Document("", "An owl sang.", "poem")]


def test_it_is_the_same_for_the_same_texts(tmp_path: Path) -> None:
    first, second = (vocabulary.learn(SOME, 320) for _ in range(2))
    assert first.get_vocab() == second.get_vocab()
    first.save_pretrained(tmp_path)
    assert vocabulary.opened(tmp_path).get_vocab() == first.get_vocab()


def test_any_text_comes_back_as_it_was() -> None:
    tokenizer = vocabulary.learn(SOME, 320)
    for text in ("A fox.", "  two  spaces\n\nnew", "🦊 שלום 狐 <|end|> <|poem|>", ""):
        tokens = vocabulary.words(tokenizer, text)
        assert tokenizer.decode(tokens) == text
        assert not set(tokens) & {tokenizer.eos_token_id, *tokenizer.convert_tokens_to_ids([*vocabulary.TAGS])}


def test_a_document_is_its_kind_its_title_its_text_and_an_end() -> None:
    tokenizer = vocabulary.learn(SOME, 320)
    tale, poem = vocabulary.laid_out(tokenizer, SOME)
    assert tokenizer.decode(tale) == "<|tale|>The fox\n\nA fox ran. “Wait!” 狐 🦊<|end|>"
    assert tokenizer.decode(poem) == "<|poem|>An owl sang.<|end|>"
    assert tale[: len(vocabulary.opening(tokenizer, "tale", "The fox"))] == vocabulary.opening(
        tokenizer, "tale", "The fox"
    )


@pytest.mark.parametrize("content", [None, "", "{", '{"model": 3}'])
def test_a_damaged_one_is_one_sentence(tmp_path: Path, content: str | None) -> None:
    vocabulary.learn(SOME, 320).save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(api.BadInput, match="vocabulary"):
        vocabulary.opened(tmp_path)
