"""The most likely tokens at each place are kept beside the text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from plugins.writer.generation import top_logprobs
from plugins.writer.generation.top_logprobs import TopLogprobs
from plugins.writer.models.tokenizer import encode_header, encode_text, load_tokenizer
from plugins.writer.models.writer import open_writer
from plugins.writer.tools.continue_text import WriterContinue
from studio import api, testing
from tests.plugins.writer.conftest import run_text


def continue_text(causal_model: Path, **values: object) -> api.Text:
    params = {"model": str(causal_model), "length": 24, "text": "Once a fox", **values}
    return run_text(WriterContinue, testing.FakeContext(seed=2), **params)


@pytest.mark.parametrize("preset", ["balanced", "greedy", "lively"])
def test_choices_make_up_the_generated_text(causal_model: Path, preset: str) -> None:
    text = continue_text(causal_model, preset=preset)
    choices = text.notes["choices"]
    assert "".join(piece for piece, _ in choices) == text.text[text.notes["begun"] :]
    for piece, options in choices:
        probabilities = [probability for _, probability in options]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) <= 1.001
        assert len(options) <= top_logprobs.TOP + 1
        assert not piece or "\ufffd" in piece or piece in [word for word, _ in options]
        assert preset != "greedy" or not piece or options[0][0] == piece


def test_probabilities_are_those_before_the_samplers(causal_model: Path) -> None:
    text = continue_text(causal_model, temperature=3.0, length=1)
    loaded = open_writer(causal_model, "cpu", torch.float32)
    tokens = [
        *encode_header(loaded.tokenizer, "tale", ""),
        *encode_text(loaded.tokenizer, "Once a fox"),
    ]
    probabilities = loaded.kv_cache.prefill(tokens, lambda: None).softmax(-1)
    (_, options), *_ = text.notes["choices"]
    assert options[0][1] == pytest.approx(float(probabilities.max()), abs=1e-4)
    assert options[0][0] == loaded.tokenizer.decode([int(probabilities.argmax())])


def test_characters_of_several_tokens_stay_complete(causal_model: Path) -> None:
    tokenizer = load_tokenizer(causal_model)
    text = "a 🦊 狐 b"
    tokens = encode_text(tokenizer, text)
    assert len(tokens) > len(text)
    collected = TopLogprobs()
    logits = torch.zeros(len(tokenizer))
    for token in tokens:
        collected.add(logits, token)
    choices = collected.decode(tokenizer, [], text)
    assert "".join(str(piece) for piece, _ in choices) == text
    assert len(choices) == len(tokens)


def test_choices_are_limited_in_bytes_and_tokens(causal_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top_logprobs, "MAX_BYTES", 700)
    text = continue_text(causal_model)
    choices = text.notes["choices"]
    assert 0 < len(json.dumps(choices, ensure_ascii=False)) < 800
    assert text.text[text.notes["begun"] :].startswith("".join(piece for piece, _ in choices))
    monkeypatch.setattr(top_logprobs, "MAX_TOKENS", 2)
    assert len(continue_text(causal_model).notes["choices"]) == 2
    assert continue_text(causal_model, length=1, stop=["e", "t", " ", "a"]).notes["choices"] is not None
