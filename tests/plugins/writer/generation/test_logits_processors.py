"""Each sampler equals a plain numpy calculation that follows its source."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from plugins.writer.generation.logits_processors import (
    BannedSequences,
    Dry,
    LogitBias,
    Mirostat,
    PresencePenalty,
    RepetitionPenalty,
    Xtc,
)
from plugins.writer.generation.sampling_params import NEUTRAL, SamplingParams, build_sampler_chain
from plugins.writer.models.tokenizer import encode_text
from plugins.writer.training.bpe import train_tokenizer
from plugins.writer.training.documents import Document
from studio import api

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SIZE = 40
TOKENS = [1, 2, 3, 4, 9, 1, 2, 3, 5, 1, 2, 3]


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(SIZE, generator=torch.Generator().manual_seed(1)) * 3


def softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    exponentials = np.exp(values - values.max())
    probabilities: NDArray[np.float64] = exponentials / exponentials.sum()
    return probabilities


def assert_close(actual: torch.Tensor, expected: NDArray[np.float64]) -> None:
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_repetition_penalty(logits: torch.Tensor) -> None:
    expected = logits.double().numpy().copy()
    for token in {*TOKENS}:
        expected[token] = expected[token] / 1.3 if expected[token] > 0 else expected[token] * 1.3
    assert_close(RepetitionPenalty(1.3)(logits, TOKENS), expected)


def test_presence_and_frequency_penalties_do_not_count_the_prompt(logits: torch.Tensor) -> None:
    expected = logits.double().numpy().copy()
    for token in range(SIZE):
        count = TOKENS[5:].count(token)
        expected[token] -= 0.7 * count + (0.4 if count else 0)
    assert_close(PresencePenalty(0.4, 0.7, prompt_length=5)(logits, TOKENS), expected)


def find_repetitions(tokens: list[int], breakers: set[int]) -> dict[int, int]:
    """By trying all ends: the longest common tail of `tokens` and of `tokens[: n]`, for each token that follows."""
    lengths: dict[int, int] = {}
    for n in range(1, len(tokens)):
        length = 0
        while length < n and tokens[n - 1 - length] == tokens[-1 - length] and tokens[n - 1 - length] not in breakers:
            length += 1
        if length:
            lengths[tokens[n]] = max(lengths.get(tokens[n], 0), length)
    return lengths


@pytest.mark.parametrize("breakers", [set(), {2}, {3}])
@pytest.mark.parametrize("seed", range(6))
def test_dry(logits: torch.Tensor, breakers: set[int], seed: int) -> None:
    tokens = np.random.default_rng(seed).integers(0, 4, 30).tolist() if seed else TOKENS
    expected = logits.double().numpy().copy()
    for token, length in find_repetitions(tokens, breakers).items():
        if length >= 2:
            expected[token] -= 0.8 * 1.75 ** (length - 2)
    assert_close(Dry(0.8, 1.75, 2, breakers)(logits, tokens), expected)


def test_dry_penalises_tokens_that_would_repeat_a_phrase(logits: torch.Tensor) -> None:
    changed = (Dry(1.0)(logits, TOKENS) != logits).nonzero().flatten().tolist()
    assert changed == [4, 5]


def test_xtc_excludes_top_choices_but_the_least_likely(logits: torch.Tensor) -> None:
    probabilities = softmax(logits.double().numpy())
    likely = [token for token in range(SIZE) if probabilities[token] >= 0.05]
    assert len(likely) > 2
    least = min(likely, key=lambda token: probabilities[token])
    expected = logits.double().numpy().copy()
    expected[[token for token in likely if token != least]] = -np.inf
    generator = torch.Generator().manual_seed(0)
    assert_close(Xtc(1.0, 0.05, generator)(logits, []), expected)
    assert torch.equal(Xtc(0.0, 0.05, generator)(logits, []), logits)
    best = int(logits.argmax())
    assert torch.equal(Xtc(1.0, 0.05, generator, protected=[best])(logits, []), logits)
    assert torch.equal(Xtc(1.0, 0.999, generator)(logits, []), logits)


def test_xtc_is_applied_with_its_probability(logits: torch.Tensor) -> None:
    sampler = Xtc(0.3, 0.05, torch.Generator().manual_seed(4))
    frequency = sum(not torch.equal(sampler(logits, []), logits) for _ in range(5000)) / 5000
    assert frequency == pytest.approx(0.3, abs=0.03)


def test_mirostat_step_by_step() -> None:
    sampler = Mirostat(3.0, 0.2)
    mu, generator = 6.0, np.random.default_rng(5)
    for _ in range(40):
        values = generator.normal(size=SIZE) * 2
        probabilities = softmax(values)
        remaining = np.where(-np.log2(probabilities) > mu, -np.inf, values)
        assert_close(sampler(torch.from_numpy(values), []), remaining)
        token = int(np.argmax(remaining + generator.gumbel(size=SIZE)))
        sampler.accept_token(token)
        mu -= 0.2 * (-math.log2(softmax(remaining)[token]) - 3.0)
        assert sampler.mu == pytest.approx(mu, rel=1e-6)


def test_mirostat_never_excludes_all_tokens() -> None:
    sampler = Mirostat(1.0)
    sampler.mu = -5.0
    assert int(sampler(torch.arange(5.0), []).isfinite().sum()) == 1


def test_logit_bias_and_banned_sequences(logits: torch.Tensor) -> None:
    expected = logits.double().numpy().copy()
    expected[7] += 2
    expected[8] = -np.inf
    assert_close(LogitBias({7: 2.0, 8: -math.inf})(logits, []), expected)
    banned = BannedSequences([[3, 11], [12], [4, 4, 13]])(logits, TOKENS)
    assert (banned != logits).nonzero().flatten().tolist() == [11, 12]
    single = torch.full((20,), -math.inf)
    single[12] = 1.0
    assert_close(BannedSequences([[12]])(single, TOKENS), single.double().numpy())


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return train_tokenizer([Document("", "the moon and the sun and the moon over the sea")], 330)


def sample_many(
    tokenizer: PreTrainedTokenizerBase, logits: torch.Tensor, params: Mapping[str, object], count: int = 400
) -> set[int]:
    """Return all tokens that are sampled in `count` draws."""
    generator = torch.Generator().manual_seed(2)
    chain = build_sampler_chain(SamplingParams.model_validate(params), tokenizer, generator, 0)
    return {chain.sample(logits, TOKENS) for _ in range(count)}


def test_samplers_of_transformers_keep_the_expected_tokens(tokenizer: PreTrainedTokenizerBase) -> None:
    logits = torch.full((330,), -20.0)
    logits[:4] = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    assert sample_many(tokenizer, logits, NEUTRAL) == {0, 1, 2, 3}
    assert sample_many(tokenizer, logits, {**NEUTRAL, "top_k": 2}) == {0, 1}
    assert sample_many(tokenizer, logits, {**NEUTRAL, "top_p": 0.75}) == {0, 1}
    assert sample_many(tokenizer, logits, {**NEUTRAL, "min_p": 0.25}) == {0, 1, 2}
    assert sample_many(tokenizer, logits, {**NEUTRAL, "typical_p": 0.4}) < {0, 1, 2, 3}
    assert sample_many(tokenizer, logits, {**NEUTRAL, "temperature": 0.01}) == {0}
    assert sample_many(tokenizer, logits, {"preset": "greedy"}) == {0}


def test_empty_value_is_taken_from_the_preset() -> None:
    assert SamplingParams(preset="faithful").resolve_values()["temperature"] == 0.6
    assert SamplingParams(preset="faithful", temperature=1.5).resolve_values()["temperature"] == 1.5
    assert SamplingParams(preset="faithful", temperature=1.5).resolve_values()["min_p"] == 0.05


def test_logit_bias_needs_a_value(tokenizer: PreTrainedTokenizerBase) -> None:
    logits = torch.zeros(330)
    moon = encode_text(tokenizer, " moon")
    assert sample_many(tokenizer, logits, {**NEUTRAL, "biased": ["moon:90"]}, 20) <= {
        encode_text(tokenizer, form)[0] for form in ("moon", " moon", "Moon", " Moon")
    }
    banned = sample_many(tokenizer, logits, {**NEUTRAL, "banned": ["moon"]}, 3000)
    assert moon[0] not in banned or len(moon) > 1
    with pytest.raises(api.BadInput, match="moon"):
        sample_many(tokenizer, logits, {"biased": ["moon"]}, 1)
