"""What writing will take is told beforehand."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file

from plugins.writer import vocabulary
from plugins.writer.chat_tool import WriterChat
from plugins.writer.continue_tool import WriterContinue
from plugins.writer.rewrite_tool import WriterRewrite
from studio import testing


def test_memory_and_tokens_are_told(writer: Path) -> None:
    text = "Once there was a fox."
    told = testing.estimate(WriterContinue, text=text, model=str(writer), length=50)
    assert told is not None
    count = len(vocabulary.words(vocabulary.opened(writer), text))
    assert told.notes == {"text": f"{count} of 1,024 tokens"}
    weights = sum(value.numel() for value in load_file(writer / "model.safetensors").values())
    assert told.memory == 4 * (weights + (count + 50) * 2 * 2 * 32)
    assert told.work == 50
    long = testing.estimate(WriterContinue, text=text * 500, model=str(writer), length=50)
    assert long is not None
    assert "too many" in long.notes["text"]


def test_the_other_tools_tell_it_too(writer: Path) -> None:
    for tool in (WriterChat, WriterRewrite):
        assert testing.estimate(tool, text="Hello.", model=str(writer)) is not None


def test_nothing_is_told_of_what_is_not_here(tmp_path: Path, writer: Path) -> None:
    assert testing.estimate(WriterContinue, text="x", model="") is None
    assert testing.estimate(WriterContinue, text="x", model="nowhere") is None
    assert testing.estimate(WriterContinue, text="x", model=str(tmp_path)) is None
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text("{")
    assert testing.estimate(WriterContinue, text="x", model=str(tmp_path)) is None
