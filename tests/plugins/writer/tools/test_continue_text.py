"""`writer.continue` and `writer.suggest` as the studio runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, processors
from tokenizers import models as models_of_tokenizers
from transformers import PreTrainedTokenizerFast

from plugins.writer.generation import chat_template
from plugins.writer.models import architectures
from plugins.writer.models.tokenizer import encode_bos, load_tokenizer
from plugins.writer.models.writer import Writer
from plugins.writer.tools.continue_text import WriterContinue
from plugins.writer.tools.fill_gap import WriterSuggest
from studio import api, testing


def written(writer: Path, ctx: testing.FakeContext | None = None, **values: Any) -> api.Text:
    given = {"model": str(writer), "length": 24, **values}
    text = testing.results(testing.run(WriterContinue, ctx, **given))[-1]
    assert isinstance(text, api.Text)
    return text


def test_tools_conform(writer: Path, guesser: Path) -> None:
    testing.check_tool(WriterContinue, {"text": "Once", "model": str(writer), "length": 12})
    testing.check_tool(WriterSuggest, {"text": "A ___ sang.", "model": str(guesser)})


def test_text_is_kept_and_continued(writer: Path) -> None:
    ctx = testing.FakeContext(seed=1)
    text = written(writer, ctx, text="Once a fox", title="The fox")
    assert text.text.startswith("Once a fox")
    assert len(text.text) > len("Once a fox")
    assert text.title == "The fox"
    assert text.notes["begun"] == 10
    assert text.notes["tokens"] == 24 or text.notes["ended"] == "end"
    shown = [event.content for event in ctx.events if isinstance(event, api.Preview)]
    assert all(text.text.startswith(some) for some in shown)


def test_bos_token_comes_first_if_the_tokenizer_adds_one(writer: Path, tmp_path: Path) -> None:
    letters = {letter: number for number, letter in enumerate(["<bos>", "<eos>", *"abcdefghij ĠĊ"])}
    inside = Tokenizer(models_of_tokenizers.BPE(vocab=letters, merges=[]))
    inside.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 0)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inside, bos_token="<bos>", eos_token="<eos>")
    architectures.save_model(
        architectures.build_causal_model(architectures.CAUSAL_SHAPES["tiny"], tokenizer), tokenizer, tmp_path / "gemma"
    )
    ctx = testing.FakeContext(seed=1)
    assert written(tmp_path / "gemma", ctx, text="abc", length=2).notes["seen"] == 4
    assert written(tmp_path / "gemma", ctx, text="", length=2).notes["seen"] == 1
    (loaded,) = (one for one in ctx.models.loaded.values() if isinstance(one, Writer))
    assert chat_template.encode_transcript(loaded, [(chat_template.USER, "a")], ("b", "c"))[0] == 0
    assert encode_bos(load_tokenizer(writer)) == []


def test_each_seed_gives_another_text(writer: Path) -> None:
    assert len({written(writer, testing.FakeContext(seed=seed), text="Once").text for seed in range(4)}) == 4


def test_second_job_computes_only_new_tokens(writer: Path) -> None:
    ctx = testing.FakeContext(seed=1)
    first = written(writer, ctx, text="Once there was a fox in a wood, and the fox was glad.", preset="greedy")
    (loaded,) = (one for one in ctx.models.loaded.values() if isinstance(one, Writer))
    assert loaded.kv_cache.computed_tokens == first.notes["seen"]
    more = written(writer, ctx, text=first.text + " And then", preset="greedy")
    assert loaded.kv_cache.computed_tokens < 12
    assert more.text == written(writer, text=first.text + " And then", preset="greedy").text


def test_generation_ends_at_a_stop_sequence(writer: Path) -> None:
    whole = written(writer, text="Once", length=60, preset="greedy").text
    word = whole[20:24]
    text = written(writer, text="Once", length=60, preset="greedy", stop=[word])
    assert text.text == "Once" + whole[4 : whole.index(word, 4)]
    assert text.notes["ended"] == "stop"


@pytest.mark.parametrize(
    "text", ["", "   ", "🦊" * 20, "שלום עולם", "从前有一只狐狸", "<|end|><|poem|> [/INST]", "\0\x1b[31m"]
)
def test_any_text_is_continued(writer: Path, text: str) -> None:
    assert written(writer, text=text).text.startswith(text)


def test_very_long_text_is_truncated_with_a_notice(writer: Path) -> None:
    ctx = testing.FakeContext()
    text = written(writer, ctx, text="A fox ran. " * 90_000)
    assert text.notes["left_out"] > 100_000
    assert any(isinstance(event, api.Notice) and "are left out" in event.text for event in ctx.events)
    with pytest.raises(api.BadInput, match="longer"):
        written(writer, text="A fox ran. " * 2000, overflow="refuse")


def test_model_is_usable_after_a_cancel(writer: Path) -> None:
    ctx = testing.FakeContext(cancel_after=3)
    with pytest.raises(api.Cancelled):
        written(writer, ctx, text="Once a fox", length=200)
    ctx.cancel_after, seen = None, written(writer, text="Once a fox").text
    assert written(writer, ctx, text="Once a fox").text == seen


def test_unusable_model_raises_bad_input(writer: Path, guesser: Path, tmp_path: Path) -> None:
    for model, words in (("", "No model"), (str(tmp_path), "not a language model"), ("nowhere", "nowhere")):
        with pytest.raises(api.BadInput, match=words):
            written(Path(model), text="x", model=model)
    with pytest.raises(api.BadInput, match="masked language model"):
        written(guesser, text="x")
    with pytest.raises(api.BadInput):
        testing.run(WriterSuggest, text="A ___.", model=str(writer))


def test_suggested_words_have_probabilities(guesser: Path) -> None:
    values = {"text": "Once there was a ___. It was glad.", "model": str(guesser), "words": 5}
    (text,) = testing.results(testing.run(WriterSuggest, **values))
    assert isinstance(text, api.Text)
    shares = [share for _, share in text.notes["words"]]
    assert len(shares) == 5
    assert 0 < sum(shares) <= 1
    assert shares == sorted(shares, reverse=True)
    with pytest.raises(api.BadInput, match="no gap"):
        testing.run(WriterSuggest, **{**values, "text": "No gap."})
