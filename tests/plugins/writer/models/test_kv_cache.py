"""What was read stays: equal words with and without it, and only what differs is read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma3TextConfig, Lfm2Config, MistralConfig

from plugins.writer.models import kv_cache
from plugins.writer.models import writer as models
from plugins.writer.models.writer import Writer
from plugins.writer.tools.continue_text import WriterContinue
from studio import api, testing
from studio.worker.models.cache import ModelCache
from studio.worker.models.evicted_state import EvictedStates


@pytest.fixture
def opened(writer: Path) -> Writer:
    return models.open_writer(writer, "cpu", torch.float32)


def never() -> None:
    pass


def greedy(writer: Writer, tokens: list[int], count: int) -> list[int]:
    logits, made = writer.kv_cache.prefill(tokens, never), []
    for _ in range(count):
        made.append(int(logits.argmax()))
        logits = writer.kv_cache.append(made[-1])
    return made


def test_greedy_words_equal_those_of_generate(opened: Writer) -> None:
    tokens = [*range(10, 30)]
    ids = torch.tensor([tokens])
    theirs = opened.model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24, eos_token_id=None
    )
    assert greedy(opened, tokens, 24) == theirs[0, 20:].tolist()


def test_an_edit_reads_only_what_follows_it(opened: Writer, writer: Path) -> None:
    tokens = [*range(10, 90)]
    greedy(opened, tokens, 8)
    for changed, read in (([*tokens[:60], 5, 6, 7], 3), (tokens[:40], 1), ([*tokens[:40], *tokens], 80)):
        ours = greedy(opened, changed, 8)
        fresh = models.open_writer(writer, "cpu", torch.float32)
        assert ours == greedy(fresh, changed, 8)
        again = opened.kv_cache.prefill(changed, never)
        assert opened.kv_cache.computed_tokens == 1
        assert int(again.argmax()) == ours[0]
        assert read >= 1


def test_only_new_tokens_are_read(opened: Writer) -> None:
    opened.kv_cache.prefill([*range(10, 90)], never)
    opened.kv_cache.prefill([*range(10, 100)], never)
    assert opened.kv_cache.computed_tokens == 10
    opened.kv_cache.prefill([*range(10, 50), 3], never)
    assert opened.kv_cache.computed_tokens == 1


def test_a_cancel_between_two_chunks_keeps_what_was_read(opened: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kv_cache, "CHUNK", 8)
    left = iter([None, None, api.Cancelled()])

    def check() -> None:
        if stop := next(left, None):
            raise stop

    with pytest.raises(api.Cancelled):
        opened.kv_cache.prefill([*range(10, 60)], check)
    assert opened.kv_cache.tokens == [*range(10, 26)]
    opened.kv_cache.prefill([*range(10, 60)], never)
    assert opened.kv_cache.computed_tokens == 34


def test_what_breaks_in_the_middle_is_forgotten(opened: Writer) -> None:
    opened.kv_cache.prefill([1, 2, 3], never)
    with pytest.raises(IndexError):
        opened.kv_cache.prefill([1, 2, 10**6], never)
    assert opened.kv_cache.tokens == []
    assert greedy(opened, [1, 2, 3], 2)


SMALL = {
    "vocab_size": 400,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
BOTH, STATES = ["sliding_attention", "full_attention"], ["conv", "full_attention"]
SHAPES = {
    "of this studio": None,
    "with a sliding window": MistralConfig(sliding_window=24, **SMALL),
    "with both kinds of layers": Gemma3TextConfig(sliding_window=24, layer_types=BOTH, **SMALL),
    "with states instead of keys": Lfm2Config(layer_types=STATES, block_auto_adjust_ff_dim=False, **SMALL),
}


def shaped(config: Any, opened: Writer) -> Writer:
    """A tiny random writer of another shape; always the same one."""
    if config is None:
        return opened
    torch.manual_seed(2)
    return Writer(AutoModelForCausalLM.from_config(config), opened.tokenizer, "shaped", "cpu")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("length", [10, 80])
def test_what_was_parked_goes_on_with_equal_words(shape: str, length: int, opened: Writer, tmp_path: Path) -> None:
    first, second, tokens = shaped(SHAPES[shape], opened), shaped(SHAPES[shape], opened), [*range(10, 10 + length)]
    written = greedy(first, tokens, 6)
    told = [*first.kv_cache.tokens]
    first.save_state(tmp_path)
    expected = greedy(first, [*tokens, *written, 5], 20)
    read = first.kv_cache.computed_tokens
    if shape == "with states instead of keys":
        assert [*tmp_path.iterdir()] == []
        return
    second.kv_cache.clear()
    second.restore_state(tmp_path)
    assert second.kv_cache.tokens == told
    assert greedy(second, [*tokens, *written, 5], 20) == expected
    assert second.kv_cache.computed_tokens == read == 1


def test_only_so_much_is_parked(opened: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = [*range(10, 90)]
    expected = greedy(opened, tokens, 8)
    held = opened.kv_cache._layer_tensors()
    per_token = sum(tensor.nbytes for tensor in held.values()) // len(opened.kv_cache.tokens)
    monkeypatch.setattr(kv_cache, "MAX_SAVED_BYTES", 30 * per_token)
    opened.save_state(tmp_path)
    opened.kv_cache.clear()
    opened.restore_state(tmp_path)
    assert opened.kv_cache.tokens == tokens[:30]
    assert greedy(opened, tokens, 8) == expected
    assert opened.kv_cache.computed_tokens == 50
    monkeypatch.setattr(kv_cache, "MAX_SAVED_BYTES", 3)
    (tmp_path / "none").mkdir()
    opened.save_state(tmp_path / "none")
    assert [*(tmp_path / "none").iterdir()] == []


def test_nothing_read_is_nothing_parked(opened: Writer, tmp_path: Path) -> None:
    opened.save_state(tmp_path)
    assert [*tmp_path.iterdir()] == []


def test_what_is_damaged_is_read_again(opened: Writer, tmp_path: Path) -> None:
    opened.kv_cache.prefill([1, 2, 3], never)
    opened.save_state(tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:200])
    opened.kv_cache.clear()
    with pytest.raises(ValueError, match="damaged"):
        opened.restore_state(tmp_path)
    assert opened.kv_cache.tokens == []


def test_words_after_an_eviction_are_those_without(writer: Path, tmp_path: Path) -> None:
    short = False

    def memory() -> tuple[int, int]:
        return 100, 1 if short else 100

    def words(ctx: testing.FakeContext, text: str) -> str:
        values = {"text": text, "model": str(writer), "length": 16, "preset": "greedy"}
        (made,) = testing.results(testing.run(WriterContinue, ctx, **values))
        assert isinstance(made, api.Text)
        ctx.events.clear()
        return made.text

    cache = ModelCache(memory, lambda: None, EvictedStates(tmp_path / "parked"))
    ctx, other = testing.FakeContext(models=cache), testing.FakeContext()
    page = "Once there was a fox. The fox had friends, and they lived in a wood, and were glad. " * 6
    first = words(ctx, page)
    assert first == words(other, page)
    short = True
    cache.load("a painter", lambda: torch.zeros(8))
    assert [*cache.sizes] == ["a painter"]
    short = False
    assert words(ctx, f"{first} And then") == words(other, f"{first} And then")
    assert models.load_writer(ctx, str(writer)).kv_cache.computed_tokens < 12
    assert len(models.load_writer(ctx, str(writer)).kv_cache.tokens) > 100
