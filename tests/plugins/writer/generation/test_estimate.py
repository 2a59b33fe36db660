"""Estimates of memory and tokens before a generation."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from plugins.writer.generation import context_window
from plugins.writer.models.tokenizer import encode_header, encode_text, load_tokenizer
from plugins.writer.tools.chat import WriterChat
from plugins.writer.tools.continue_text import WriterContinue
from plugins.writer.tools.rewrite import WriterRewrite
from studio import api, testing
from tests.plugins.writer.conftest import run_budget, run_estimate


def test_estimate_gives_memory_and_token_budget(causal_model: Path) -> None:
    text = "Once there was a fox."
    estimate = run_estimate(WriterContinue, text=text, model=str(causal_model), length=50)
    count = len(encode_text(load_tokenizer(causal_model), text))
    assert estimate.notes == {}
    assert estimate.budget == api.TokenBudget(1024, {"title": 1, "text": count, "new tokens": 50})
    assert estimate.budget.sentence == f"title 1, text {count}, new tokens 50 of 1,024 tokens"
    weights = sum(value.numel() for value in load_file(causal_model / "model.safetensors").values())
    assert estimate.memory == 4 * (weights + (1 + count + 50) * 2 * 2 * 32)
    assert estimate.work == 50
    budget = run_budget(WriterContinue, text=text * 500, model=str(causal_model), length=50)
    assert budget.used == 1024
    assert budget.left_out == count * 500 - budget.parts["text"]


TEXT = "Once there was a fox.\n\nMira ran.\n\nAnd home."
PARTS = {
    "memory": "Foxes talk.",
    "note": "Be brief <|end|>.",
    "lorebook": ["Mira: a vixen", "Otto: an owl"],
    "title": "The fox",
}


@pytest.mark.parametrize("length", [1, 300, 8192])
@pytest.mark.parametrize("times", [1, 40, 400])
@pytest.mark.parametrize("overflow", ["oldest", "middle"])
def test_token_budget_equals_what_the_tool_reads(causal_model: Path, length: int, times: int, overflow: str) -> None:
    values = {**PARTS, "text": TEXT * times, "length": length, "overflow": overflow, "model": str(causal_model)}
    budget = run_budget(WriterContinue, **values)
    tokenizer = load_tokenizer(causal_model)
    params = WriterContinue.Params(**values)
    header = encode_header(tokenizer, "tale", params.title)
    page = context_window.PageContext(
        params.text, params.memory, params.note, params.depth, context_window.parse_lorebook(params.lorebook)
    )
    new_tokens = min(length, 512)
    window = context_window.build_context(tokenizer, page, header, 1024 - new_tokens, params.overflow)
    assert budget.parts["new tokens"] == new_tokens
    assert budget.used - new_tokens == len(window.tokens)
    assert (budget.parts["text"], budget.left_out) == (window.text_tokens, window.left_out)
    assert list(budget.parts) == ["title", "memory", "lorebook", "author's note", "text", "new tokens"]
    assert 0 not in budget.parts.values()


def test_token_budget_is_exceeded_where_the_tool_would_refuse(causal_model: Path) -> None:
    for values in ({"text": "A fox ran. " * 900, "overflow": "refuse"}, {"text": "A fox.", "memory": "m " * 3000}):
        budget = run_budget(WriterContinue, model=str(causal_model), length=100, **values)
        assert budget.too_many > 0
        assert "too many" in budget.sentence


def test_incomplete_lorebook_entry_is_noted_beside_its_field(causal_model: Path) -> None:
    estimate = run_estimate(WriterContinue, model=str(causal_model), text="A fox.", lorebook=["Mira"])
    assert "not a lorebook entry" in estimate.notes["lorebook"]


def test_chat_and_rewrite_give_estimates(causal_model: Path) -> None:
    for tool in (WriterChat, WriterRewrite):
        assert testing.estimate(tool, text="Hello.", model=str(causal_model)) is not None


def test_token_budget_of_a_long_chat_leaves_out_its_beginning(causal_model: Path) -> None:
    budget = run_budget(WriterChat, text="Hello. " * 2000, model=str(causal_model), length=50, system="Be kind.")
    assert budget.left_out > 0
    assert budget.used == budget.whole == 1024
    assert [*budget.parts] == ["system prompt", "text", "new tokens"]


def test_there_is_no_estimate_for_a_missing_or_damaged_model(tmp_path: Path, causal_model: Path) -> None:
    assert testing.estimate(WriterContinue, text="x", model="") is None
    assert testing.estimate(WriterContinue, text="x", model="nowhere") is None
    assert testing.estimate(WriterContinue, text="x", model=str(tmp_path)) is None
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text("{")
    assert testing.estimate(WriterContinue, text="x", model=str(tmp_path)) is None
