"""`writer.continue` and `writer.suggest` as the studio runs them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, processors
from transformers import PreTrainedTokenizerFast

from plugins.writer.generation import chat_template
from plugins.writer.models import architectures
from plugins.writer.models.tokenizer import encode_bos, load_tokenizer
from plugins.writer.models.writer import Writer
from plugins.writer.tools.continue_text import WriterContinue
from plugins.writer.tools.fill_gap import WriterSuggest
from studio import api, testing
from tests.plugins.writer.conftest import run_text


def continue_text(model: Path, ctx: testing.FakeContext | None = None, /, **values: object) -> api.Text:
    return run_text(WriterContinue, ctx, **{"model": str(model), "length": 24, **values})


def find_writer(ctx: testing.FakeContext) -> Writer:
    """Return the one causal model that the context has loaded."""
    (writer,) = (model for model in ctx.models.loaded.values() if isinstance(model, Writer))
    return writer


def test_tools_conform(causal_model: Path, masked_model: Path) -> None:
    testing.check_tool(WriterContinue, {"text": "Once", "model": str(causal_model), "length": 12})
    testing.check_tool(WriterSuggest, {"text": "A ___ sang.", "model": str(masked_model)})


def test_text_is_kept_and_continued(causal_model: Path) -> None:
    ctx = testing.FakeContext(seed=1)
    text = continue_text(causal_model, ctx, text="Once a fox", title="The fox")
    assert text.text.startswith("Once a fox")
    assert len(text.text) > len("Once a fox")
    assert text.title == "The fox"
    assert text.notes["begun"] == 10
    assert text.notes["tokens"] == 24 or text.notes["ended"] == "end"
    previews = [event.content for event in ctx.events if isinstance(event, api.Preview)]
    assert all(text.text.startswith(str(preview)) for preview in previews)


def test_bos_token_comes_first_if_the_tokenizer_adds_one(causal_model: Path, tmp_path: Path) -> None:
    letters = {letter: number for number, letter in enumerate(["<bos>", "<eos>", *"abcdefghij ĠĊ"])}
    inner = Tokenizer(models.BPE(vocab=letters, merges=[]))
    inner.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 0)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<bos>", eos_token="<eos>")
    architectures.save_model(
        architectures.build_causal_model(architectures.CAUSAL_SHAPES["tiny"], tokenizer), tokenizer, tmp_path / "gemma"
    )
    ctx = testing.FakeContext(seed=1)
    assert continue_text(tmp_path / "gemma", ctx, text="abc", length=2).notes["seen"] == 4
    assert continue_text(tmp_path / "gemma", ctx, text="", length=2).notes["seen"] == 1
    loaded = find_writer(ctx)
    assert chat_template.encode_transcript(loaded, [(chat_template.USER, "a")], ("b", "c"))[0] == 0
    assert encode_bos(load_tokenizer(causal_model)) == []


def test_each_seed_gives_another_text(causal_model: Path) -> None:
    contexts = [testing.FakeContext(seed=seed) for seed in range(4)]
    assert len({continue_text(causal_model, ctx, text="Once").text for ctx in contexts}) == 4


def test_second_job_computes_only_new_tokens(causal_model: Path) -> None:
    ctx = testing.FakeContext(seed=1)
    text = "Once there was a fox in a wood, and the fox was glad."
    earlier = continue_text(causal_model, ctx, text=text, preset="greedy")
    loaded = find_writer(ctx)
    assert loaded.kv_cache.computed_tokens == earlier.notes["seen"]
    later = continue_text(causal_model, ctx, text=earlier.text + " And then", preset="greedy")
    assert loaded.kv_cache.computed_tokens < 12
    assert later.text == continue_text(causal_model, text=earlier.text + " And then", preset="greedy").text


def test_generation_ends_at_a_stop_sequence(causal_model: Path) -> None:
    complete = continue_text(causal_model, text="Once", length=60, preset="greedy").text
    word = complete[20:24]
    text = continue_text(causal_model, text="Once", length=60, preset="greedy", stop=[word])
    assert text.text == "Once" + complete[4 : complete.index(word, 4)]
    assert text.notes["ended"] == "stop"


@pytest.mark.parametrize(
    "text", ["", "   ", "🦊" * 20, "שלום עולם", "从前有一只狐狸", "<|end|><|poem|> [/INST]", "\0\x1b[31m"]
)
def test_any_text_is_continued(causal_model: Path, text: str) -> None:
    assert continue_text(causal_model, text=text).text.startswith(text)


def test_very_long_text_is_truncated_with_a_notice(causal_model: Path) -> None:
    ctx = testing.FakeContext()
    text = continue_text(causal_model, ctx, text="A fox ran. " * 90_000)
    assert text.notes["left_out"] > 100_000
    assert any(isinstance(event, api.Notice) and "are left out" in event.text for event in ctx.events)
    with pytest.raises(api.BadInput, match="longer"):
        continue_text(causal_model, text="A fox ran. " * 2000, overflow="refuse")


def test_model_is_usable_after_a_cancel(causal_model: Path) -> None:
    ctx = testing.FakeContext(cancel_after=3)
    with pytest.raises(api.Cancelled):
        continue_text(causal_model, ctx, text="Once a fox", length=200)
    ctx.cancel_after, expected = None, continue_text(causal_model, text="Once a fox").text
    assert continue_text(causal_model, ctx, text="Once a fox").text == expected


def test_unusable_model_raises_bad_input(causal_model: Path, masked_model: Path, tmp_path: Path) -> None:
    for model, words in (("", "No model"), (str(tmp_path), "not a language model"), ("nowhere", "nowhere")):
        with pytest.raises(api.BadInput, match=words):
            run_text(WriterContinue, text="x", model=model)
    with pytest.raises(api.BadInput, match="masked language model"):
        continue_text(masked_model, text="x")
    with pytest.raises(api.BadInput):
        testing.run(WriterSuggest, text="A ___.", model=str(causal_model))


def test_suggested_words_have_probabilities(masked_model: Path) -> None:
    values = {"text": "Once there was a ___. It was glad.", "model": str(masked_model), "words": 5}
    text = run_text(WriterSuggest, **values)
    probabilities = [probability for _, probability in text.notes["words"]]
    assert len(probabilities) == 5
    assert 0 < sum(probabilities) <= 1
    assert probabilities == sorted(probabilities, reverse=True)
    with pytest.raises(api.BadInput, match="no gap"):
        run_text(WriterSuggest, **{**values, "text": "No gap."})
