"""What was read stays: equal words with and without it, and only what differs is read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma3TextConfig, Lfm2Config, MistralConfig

from plugins.writer.models import kv_cache
from plugins.writer.models.writer import Writer, load_writer, open_writer
from plugins.writer.tools.continue_text import WriterContinue
from studio import api, testing
from studio.worker.models.cache import ModelCache
from studio.worker.models.evicted_state import EvictedStates


@pytest.fixture
def opened(writer: Path) -> Writer:
    return open_writer(writer, "cpu", torch.float32)


def never() -> None:
    pass


def greedy(writer: Writer, tokens: list[int], count: int) -> list[int]:
    logits, made = writer.kv_cache.prefill(tokens, never), []
    for _ in range(count):
        made.append(int(logits.argmax()))
        logits = writer.kv_cache.append(made[-1])
    return made


def test_greedy_tokens_equal_those_of_generate(opened: Writer) -> None:
    tokens = [*range(10, 30)]
    ids = torch.tensor([tokens])
    theirs = opened.model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24, eos_token_id=None
    )
    assert greedy(opened, tokens, 24) == theirs[0, 20:].tolist()


def test_output_after_an_edit_equals_that_without_a_cache(opened: Writer, writer: Path) -> None:
    tokens = [*range(10, 90)]
    greedy(opened, tokens, 8)
    for changed, read in (([*tokens[:60], 5, 6, 7], 3), (tokens[:40], 1), ([*tokens[:40], *tokens], 80)):
        ours = greedy(opened, changed, 8)
        fresh = open_writer(writer, "cpu", torch.float32)
        assert ours == greedy(fresh, changed, 8)
        again = opened.kv_cache.prefill(changed, never)
        assert opened.kv_cache.computed_tokens == 1
        assert int(again.argmax()) == ours[0]
        assert read >= 1


def test_only_new_tokens_are_computed(opened: Writer) -> None:
    opened.kv_cache.prefill([*range(10, 90)], never)
    opened.kv_cache.prefill([*range(10, 100)], never)
    assert opened.kv_cache.computed_tokens == 10
    opened.kv_cache.prefill([*range(10, 50), 3], never)
    assert opened.kv_cache.computed_tokens == 1


def test_cancel_between_two_chunks_keeps_the_cache(opened: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_cache_is_cleared_after_an_error(opened: Writer) -> None:
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
def test_restored_cache_gives_the_same_tokens(shape: str, length: int, opened: Writer, tmp_path: Path) -> None:
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


def test_saved_cache_is_limited_in_bytes(opened: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_empty_cache_is_not_saved(opened: Writer, tmp_path: Path) -> None:
    opened.save_state(tmp_path)
    assert [*tmp_path.iterdir()] == []


def test_damaged_saved_cache_is_refused(opened: Writer, tmp_path: Path) -> None:
    opened.kv_cache.prefill([1, 2, 3], never)
    opened.save_state(tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:200])
    opened.kv_cache.clear()
    with pytest.raises(ValueError, match="damaged"):
        opened.restore_state(tmp_path)
    assert opened.kv_cache.tokens == []


def test_output_after_an_eviction_is_the_same(writer: Path, tmp_path: Path) -> None:
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
    assert load_writer(ctx, str(writer)).kv_cache.computed_tokens < 12
    assert len(load_writer(ctx, str(writer)).kv_cache.tokens) > 100
