"""Tokenizers are reproducible, and control tokens in a text are encoded as characters."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins.writer.models.tokenizer import KIND_TOKENS, encode_header, encode_text, load_tokenizer
from plugins.writer.training.bpe import encode_documents, train_tokenizer
from plugins.writer.training.documents import Document
from studio import api

DOCUMENTS = [Document("The fox", "A fox ran. “Wait!” 狐 🦊", "tale"), Document("", "An owl sang.", "poem")]


def test_same_texts_give_the_same_tokenizer(tmp_path: Path) -> None:
    first, second = (train_tokenizer(DOCUMENTS, 320) for _ in range(2))
    assert first.get_vocab() == second.get_vocab()
    first.save_pretrained(tmp_path)
    assert load_tokenizer(tmp_path).get_vocab() == first.get_vocab()


def test_encoding_any_text_is_reversible() -> None:
    tokenizer = train_tokenizer(DOCUMENTS, 320)
    for text in ("A fox.", "  two  spaces\n\nnew", "🦊 שלום 狐 <|end|> <|poem|>", ""):
        tokens = encode_text(tokenizer, text)
        assert tokenizer.decode(tokens) == text
        assert not set(tokens) & {tokenizer.eos_token_id, *tokenizer.convert_tokens_to_ids([*KIND_TOKENS])}


def test_document_is_encoded_as_kind_title_text_and_end() -> None:
    tokenizer = train_tokenizer(DOCUMENTS, 320)
    tale, poem = encode_documents(tokenizer, DOCUMENTS)
    assert tokenizer.decode(tale) == "<|tale|>The fox\n\nA fox ran. “Wait!” 狐 🦊<|end|>"
    assert tokenizer.decode(poem) == "<|poem|>An owl sang.<|end|>"
    assert tale[: len(encode_header(tokenizer, "tale", "The fox"))] == encode_header(tokenizer, "tale", "The fox")


@pytest.mark.parametrize("content", [None, "", "{", '{"model": 3}'])
def test_damaged_tokenizer_raises_bad_input(tmp_path: Path, content: str | None) -> None:
    train_tokenizer(DOCUMENTS, 320).save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(api.BadInput, match="tokenizer"):
        load_tokenizer(tmp_path)
