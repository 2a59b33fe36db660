"""What writing will take is told beforehand."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from plugins.writer.generation import context_window
from plugins.writer.models import tokenizer as encoding
from plugins.writer.tools.chat import WriterChat
from plugins.writer.tools.continue_text import WriterContinue
from plugins.writer.tools.rewrite import WriterRewrite
from studio import api, testing


def test_memory_and_tokens_are_told(writer: Path) -> None:
    text = "Once there was a fox."
    told = testing.estimate(WriterContinue, text=text, model=str(writer), length=50)
    assert told is not None
    count = len(encoding.encode_text(encoding.load_tokenizer(writer), text))
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
def test_what_is_told_is_what_is_read(writer: Path, length: int, times: int, overflow: str) -> None:
    values = {**PARTS, "text": PARTS["text"] * times, "length": length, "overflow": overflow, "model": str(writer)}
    told = testing.estimate(WriterContinue, **values)
    assert told is not None
    assert told.budget is not None
    tokenizer = encoding.load_tokenizer(writer)
    params = WriterContinue.Params(**values)
    before = encoding.encode_header(tokenizer, "tale", params.title)
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


def test_what_would_be_refused_is_too_many(writer: Path) -> None:
    for more in ({"text": "A fox ran. " * 900, "overflow": "refuse"}, {"text": "A fox.", "memory": "m " * 3000}):
        told = testing.estimate(WriterContinue, model=str(writer), length=100, **more)
        assert told is not None
        assert told.budget is not None
        assert told.budget.too_many > 0
        assert "too many" in told.budget.sentence


def test_a_line_that_is_no_entry_yet_is_told_beside_it(writer: Path) -> None:
    told = testing.estimate(WriterContinue, model=str(writer), text="A fox.", lorebook=["Mira"])
    assert told is not None
    assert "not a lorebook entry" in told.notes["lorebook"]


def test_the_other_tools_tell_it_too(writer: Path) -> None:
    for tool in (WriterChat, WriterRewrite):
        assert testing.estimate(tool, text="Hello.", model=str(writer)) is not None


def test_a_long_talk_leaves_its_beginning_out(writer: Path) -> None:
    told = testing.estimate(WriterChat, text="Hello. " * 2000, model=str(writer), length=50, system="Be kind.")
    assert told is not None
    assert told.budget is not None
    assert told.budget.left_out > 0
    assert told.budget.used == told.budget.whole == 1024
    assert [*told.budget.parts] == ["system prompt", "text", "new tokens"]


def test_nothing_is_told_of_what_is_not_here(tmp_path: Path, writer: Path) -> None:
    assert testing.estimate(WriterContinue, text="x", model="") is None
    assert testing.estimate(WriterContinue, text="x", model="nowhere") is None
    assert testing.estimate(WriterContinue, text="x", model=str(tmp_path)) is None
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text("{")
    assert testing.estimate(WriterContinue, text="x", model=str(tmp_path)) is None
