"""The KV cache gives the same tokens as no cache, and only new tokens are computed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma3TextConfig, Lfm2Config, MistralConfig

from plugins.writer.models import kv_cache
from plugins.writer.models.writer import Writer, load_writer, open_writer
from plugins.writer.tools.continue_text import WriterContinue
from studio import api, testing
from studio.worker.models.cache import ModelCache
from studio.worker.models.evicted_state import EvictedStates
from tests.plugins.writer.conftest import run_text

if TYPE_CHECKING:
    from transformers import PretrainedConfig


@pytest.fixture
def loaded(causal_model: Path) -> Writer:
    return open_writer(causal_model, "cpu", torch.float32)


def ignore_cancel() -> None:
    pass


def greedy(writer: Writer, tokens: list[int], count: int) -> list[int]:
    logits, new_tokens = writer.kv_cache.prefill(tokens, ignore_cancel), []
    for _ in range(count):
        new_tokens.append(int(logits.argmax()))
        logits = writer.kv_cache.append(new_tokens[-1])
    return new_tokens


def test_greedy_tokens_equal_those_of_generate(loaded: Writer) -> None:
    tokens = [*range(10, 30)]
    ids = torch.tensor([tokens])
    expected = loaded.model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24, eos_token_id=None
    )
    assert greedy(loaded, tokens, 24) == expected[0, 20:].tolist()


def test_output_after_an_edit_equals_that_without_a_cache(loaded: Writer, causal_model: Path) -> None:
    tokens = [*range(10, 90)]
    greedy(loaded, tokens, 8)
    for changed, computed in (([*tokens[:60], 5, 6, 7], 3), (tokens[:40], 1), ([*tokens[:40], *tokens], 80)):
        actual = greedy(loaded, changed, 8)
        fresh = open_writer(causal_model, "cpu", torch.float32)
        assert actual == greedy(fresh, changed, 8)
        again = loaded.kv_cache.prefill(changed, ignore_cancel)
        assert loaded.kv_cache.computed_tokens == 1
        assert int(again.argmax()) == actual[0]
        assert computed >= 1


def test_only_new_tokens_are_computed(loaded: Writer) -> None:
    loaded.kv_cache.prefill([*range(10, 90)], ignore_cancel)
    loaded.kv_cache.prefill([*range(10, 100)], ignore_cancel)
    assert loaded.kv_cache.computed_tokens == 10
    loaded.kv_cache.prefill([*range(10, 50), 3], ignore_cancel)
    assert loaded.kv_cache.computed_tokens == 1


def test_cancel_between_two_chunks_keeps_the_cache(loaded: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kv_cache, "CHUNK", 8)
    outcomes = iter([None, None, api.Cancelled()])

    def check() -> None:
        if stop := next(outcomes, None):
            raise stop

    with pytest.raises(api.Cancelled):
        loaded.kv_cache.prefill([*range(10, 60)], check)
    assert loaded.kv_cache.tokens == [*range(10, 26)]
    loaded.kv_cache.prefill([*range(10, 60)], ignore_cancel)
    assert loaded.kv_cache.computed_tokens == 34


def test_cache_is_cleared_after_an_error(loaded: Writer) -> None:
    loaded.kv_cache.prefill([1, 2, 3], ignore_cancel)
    with pytest.raises(IndexError):
        loaded.kv_cache.prefill([1, 2, 10**6], ignore_cancel)
    assert loaded.kv_cache.tokens == []
    assert greedy(loaded, [1, 2, 3], 2)


SIZES = {
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
SLIDING_AND_FULL, CONV_AND_FULL = ["sliding_attention", "full_attention"], ["conv", "full_attention"]
CONFIGS = {
    "trained here": None,
    "with a sliding window": MistralConfig(sliding_window=24, **SIZES),
    "with sliding and full attention": Gemma3TextConfig(sliding_window=24, layer_types=SLIDING_AND_FULL, **SIZES),
    "with states instead of keys and values": Lfm2Config(
        layer_types=CONV_AND_FULL, block_auto_adjust_ff_dim=False, **SIZES
    ),
}


def build_writer(config: PretrainedConfig | None, loaded: Writer) -> Writer:
    """Return a tiny random model with `config`, always the same one; without a config, `loaded`."""
    if config is None:
        return loaded
    torch.manual_seed(2)
    return Writer(AutoModelForCausalLM.from_config(config), loaded.tokenizer, "shaped", "cpu")


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("length", [10, 80])
def test_restored_cache_gives_the_same_tokens(name: str, length: int, loaded: Writer, tmp_path: Path) -> None:
    first, second = build_writer(CONFIGS[name], loaded), build_writer(CONFIGS[name], loaded)
    tokens = [*range(10, 10 + length)]
    new_tokens = greedy(first, tokens, 6)
    cached_tokens = [*first.kv_cache.tokens]
    first.save_state(tmp_path)
    expected = greedy(first, [*tokens, *new_tokens, 5], 20)
    computed = first.kv_cache.computed_tokens
    if name == "with states instead of keys and values":
        assert [*tmp_path.iterdir()] == []
        return
    second.kv_cache.clear()
    second.restore_state(tmp_path)
    assert second.kv_cache.tokens == cached_tokens
    assert greedy(second, [*tokens, *new_tokens, 5], 20) == expected
    assert second.kv_cache.computed_tokens == computed == 1


def test_saved_cache_is_limited_in_bytes(loaded: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = [*range(10, 90)]
    expected = greedy(loaded, tokens, 8)
    tensors = loaded.kv_cache._layer_tensors()
    per_token = sum(tensor.nbytes for tensor in tensors.values()) // len(loaded.kv_cache.tokens)
    monkeypatch.setattr(kv_cache, "MAX_SAVED_BYTES", 30 * per_token)
    loaded.save_state(tmp_path)
    loaded.kv_cache.clear()
    loaded.restore_state(tmp_path)
    assert loaded.kv_cache.tokens == tokens[:30]
    assert greedy(loaded, tokens, 8) == expected
    assert loaded.kv_cache.computed_tokens == 50
    monkeypatch.setattr(kv_cache, "MAX_SAVED_BYTES", 3)
    (tmp_path / "none").mkdir()
    loaded.save_state(tmp_path / "none")
    assert [*(tmp_path / "none").iterdir()] == []


def test_empty_cache_is_not_saved(loaded: Writer, tmp_path: Path) -> None:
    loaded.save_state(tmp_path)
    assert [*tmp_path.iterdir()] == []


def test_damaged_saved_cache_is_refused(loaded: Writer, tmp_path: Path) -> None:
    loaded.kv_cache.prefill([1, 2, 3], ignore_cancel)
    loaded.save_state(tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:200])
    loaded.kv_cache.clear()
    with pytest.raises(ValueError, match="damaged"):
        loaded.restore_state(tmp_path)
    assert loaded.kv_cache.tokens == []


def test_output_after_an_eviction_is_the_same(causal_model: Path, tmp_path: Path) -> None:
    is_short = False

    def memory() -> tuple[int, int]:
        return 100, 1 if is_short else 100

    def continue_text(ctx: testing.FakeContext, text: str) -> str:
        values = {"text": text, "model": str(causal_model), "length": 16, "preset": "greedy"}
        result = run_text(WriterContinue, ctx, **values)
        ctx.events.clear()
        return result.text

    cache = ModelCache(memory, lambda: None, EvictedStates(tmp_path / "parked"))
    ctx, other = testing.FakeContext(models=cache), testing.FakeContext()  # type: ignore[arg-type]
    page = "Once there was a fox. The fox had friends, and they lived in a wood, and were glad. " * 6
    first = continue_text(ctx, page)
    assert first == continue_text(other, page)
    is_short = True
    cache.load("another model", lambda: torch.zeros(8))
    assert [*cache.sizes] == ["another model"]
    is_short = False
    assert continue_text(ctx, f"{first} And then") == continue_text(other, f"{first} And then")
    assert load_writer(ctx, str(causal_model)).kv_cache.computed_tokens < 12
    assert len(load_writer(ctx, str(causal_model)).kv_cache.tokens) > 100
