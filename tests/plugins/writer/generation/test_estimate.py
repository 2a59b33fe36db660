"""What writing will take is told beforehand."""

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


def test_estimate_gives_memory_and_token_budget(writer: Path) -> None:
    text = "Once there was a fox."
    told = testing.estimate(WriterContinue, text=text, model=str(writer), length=50)
    assert told is not None
    count = len(encode_text(load_tokenizer(writer), text))
    assert told.notes == {}
    assert told.budget == api.TokenBudget(1024, {"title": 1, "text": count, "new tokens": 50})
    assert told.budget.sentence == f"title 1, text {count}, new tokens 50 of 1,024 tokens"
    weights = sum(value.numel() for value in load_file(writer / "model.safetensors").values())
    assert told.memory == 4 * (weights + (1 + count + 50) * 2 * 2 * 32)
    assert told.work == 50
    long = testing.estimate(WriterContinue, text=text * 500, model=str(writer), length=50)
    assert long is not None
    assert long.budget is not None
    assert long.budget.used == 1024
    assert long.budget.left_out == count * 500 - long.budget.parts["text"]


PARTS = {
    "text": "Once there was a fox.\n\nMira ran.\n\nAnd home.",
    "memory": "Foxes talk.",
    "note": "Be brief <|end|>.",
    "lorebook": ["Mira: a vixen", "Otto: an owl"],
    "title": "The fox",
}


@pytest.mark.parametrize("length", [1, 300, 8192])
@pytest.mark.parametrize("times", [1, 40, 400])
@pytest.mark.parametrize("overflow", ["oldest", "middle"])
def test_token_budget_equals_what_the_tool_reads(writer: Path, length: int, times: int, overflow: str) -> None:
    values = {**PARTS, "text": PARTS["text"] * times, "length": length, "overflow": overflow, "model": str(writer)}
    told = testing.estimate(WriterContinue, **values)
    assert told is not None
    assert told.budget is not None
    tokenizer = load_tokenizer(writer)
    params = WriterContinue.Params(**values)
    before = encode_header(tokenizer, "tale", params.title)
    told_page = context_window.PageContext(
        params.text, params.memory, params.note, params.depth, context_window.parse_lorebook(params.lorebook)
    )
    new = min(length, 512)
    seen = context_window.build_context(tokenizer, told_page, before, 1024 - new, params.overflow)
    assert told.budget.parts["new tokens"] == new
    assert told.budget.used - new == len(seen.tokens)
    assert (told.budget.parts["text"], told.budget.left_out) == (seen.text_tokens, seen.left_out)
    assert list(told.budget.parts) == ["title", "memory", "lorebook", "author's note", "text", "new tokens"]
    assert 0 not in told.budget.parts.values()


def test_token_budget_is_exceeded_where_the_tool_would_refuse(writer: Path) -> None:
    for more in ({"text": "A fox ran. " * 900, "overflow": "refuse"}, {"text": "A fox.", "memory": "m " * 3000}):
        told = testing.estimate(WriterContinue, model=str(writer), length=100, **more)
        assert told is not None
        assert told.budget is not None
        assert told.budget.too_many > 0
        assert "too many" in told.budget.sentence


def test_incomplete_lorebook_entry_is_noted_beside_its_field(writer: Path) -> None:
    told = testing.estimate(WriterContinue, model=str(writer), text="A fox.", lorebook=["Mira"])
    assert told is not None
    assert "not a lorebook entry" in told.notes["lorebook"]


def test_chat_and_rewrite_give_estimates(writer: Path) -> None:
    for tool in (WriterChat, WriterRewrite):
        assert testing.estimate(tool, text="Hello.", model=str(writer)) is not None


def test_token_budget_of_a_long_chat_leaves_out_its_beginning(writer: Path) -> None:
    told = testing.estimate(WriterChat, text="Hello. " * 2000, model=str(writer), length=50, system="Be kind.")
    assert told is not None
    assert told.budget is not None
    assert told.budget.left_out > 0
    assert told.budget.used == told.budget.whole == 1024
    assert [*told.budget.parts] == ["system prompt", "text", "new tokens"]


def test_there_is_no_estimate_for_a_missing_or_damaged_model(tmp_path: Path, writer: Path) -> None:
    assert testing.estimate(WriterContinue, text="x", model="") is None
    assert testing.estimate(WriterContinue, text="x", model="nowhere") is None
    assert testing.estimate(WriterContinue, text="x", model=str(tmp_path)) is None
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text("{")
    assert testing.estimate(WriterContinue, text="x", model=str(tmp_path)) is None
