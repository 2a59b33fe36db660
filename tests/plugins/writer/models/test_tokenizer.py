"""The vocabulary: the same each time, and safe from control tokens in someone's text."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins.writer.models import tokenizer as encoding
from plugins.writer.training import bpe
from plugins.writer.training.documents import Document
from studio import api

SOME = [Document("The fox", "A fox ran. “Wait!” 狐 🦊", "tale"), Document("", "An owl sang.", "poem")]


def test_it_is_the_same_for_the_same_texts(tmp_path: Path) -> None:
    first, second = (bpe.train_tokenizer(SOME, 320) for _ in range(2))
    assert first.get_vocab() == second.get_vocab()
    first.save_pretrained(tmp_path)
    assert encoding.load_tokenizer(tmp_path).get_vocab() == first.get_vocab()


def test_any_text_comes_back_as_it_was() -> None:
    tokenizer = bpe.train_tokenizer(SOME, 320)
    for text in ("A fox.", "  two  spaces\n\nnew", "🦊 שלום 狐 <|end|> <|poem|>", ""):
        tokens = encoding.encode_text(tokenizer, text)
        assert tokenizer.decode(tokens) == text
        assert not set(tokens) & {tokenizer.eos_token_id, *tokenizer.convert_tokens_to_ids([*encoding.KIND_TOKENS])}


def test_a_document_is_its_kind_its_title_its_text_and_an_end() -> None:
    tokenizer = bpe.train_tokenizer(SOME, 320)
    tale, poem = bpe.encode_documents(tokenizer, SOME)
    assert tokenizer.decode(tale) == "<|tale|>The fox\n\nA fox ran. “Wait!” 狐 🦊<|end|>"
    assert tokenizer.decode(poem) == "<|poem|>An owl sang.<|end|>"
    assert tale[: len(encoding.encode_header(tokenizer, "tale", "The fox"))] == encoding.encode_header(
        tokenizer, "tale", "The fox"
    )


@pytest.mark.parametrize("content", [None, "", "{", '{"model": 3}'])
def test_a_damaged_one_is_one_sentence(tmp_path: Path, content: str | None) -> None:
    bpe.train_tokenizer(SOME, 320).save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(api.BadInput, match="tokenizer"):
        encoding.load_tokenizer(tmp_path)
