"""What a token won against is kept beside the text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from plugins.writer.generation import top_logprobs
from plugins.writer.generation.top_logprobs import TopLogprobs
from plugins.writer.models.tokenizer import encode_header, encode_text, load_tokenizer
from plugins.writer.models.writer import open_writer
from plugins.writer.tools.continue_text import WriterContinue
from studio import api, testing


def written(writer: Path, **values: Any) -> api.Text:
    given = {"model": str(writer), "length": 24, "text": "Once a fox", **values}
    (text,) = testing.results(testing.run(WriterContinue, testing.FakeContext(seed=2), **given))
    assert isinstance(text, api.Text)
    return text


@pytest.mark.parametrize("preset", ["balanced", "greedy", "lively"])
def test_choices_make_up_the_generated_text(writer: Path, preset: str) -> None:
    text = written(writer, preset=preset)
    choices = text.notes["choices"]
    assert "".join(piece for piece, _ in choices) == text.text[text.notes["begun"] :]
    for piece, options in choices:
        shares = [share for _, share in options]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) <= 1.001
        assert len(options) <= top_logprobs.TOP + 1
        assert not piece or "\ufffd" in piece or piece in [word for word, _ in options]
        assert preset != "greedy" or not piece or options[0][0] == piece


def test_probabilities_are_those_before_the_samplers(writer: Path) -> None:
    text = written(writer, temperature=3.0, length=1)
    opened = open_writer(writer, "cpu", torch.float32)
    tokens = [
        *encode_header(opened.tokenizer, "tale", ""),
        *encode_text(opened.tokenizer, "Once a fox"),
    ]
    shares = opened.kv_cache.prefill(tokens, lambda: None).softmax(-1)
    (_, options), *_ = text.notes["choices"]
    assert options[0][1] == pytest.approx(float(shares.max()), abs=1e-4)
    assert options[0][0] == opened.tokenizer.decode([int(shares.argmax())])


def test_characters_of_several_tokens_stay_complete(writer: Path) -> None:
    tokenizer = load_tokenizer(writer)
    text = "a 🦊 狐 b"
    tokens = encode_text(tokenizer, text)
    assert len(tokens) > len(text)
    found = TopLogprobs()
    logits = torch.zeros(len(tokenizer))
    for token in tokens:
        found.add(logits, token)
    choices = found.decode(tokenizer, [], text)
    assert "".join(piece for piece, _ in choices) == text
    assert len(choices) == len(tokens)


def test_choices_are_limited_in_bytes_and_tokens(writer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top_logprobs, "MAX_BYTES", 700)
    text = written(writer)
    kept = text.notes["choices"]
    assert 0 < len(json.dumps(kept, ensure_ascii=False)) < 800
    assert text.text[text.notes["begun"] :].startswith("".join(piece for piece, _ in kept))
    monkeypatch.setattr(top_logprobs, "MAX_TOKENS", 2)
    assert len(written(writer).notes["choices"]) == 2
    assert written(writer, length=1, stop=["e", "t", " ", "a"]).notes["choices"] is not None
