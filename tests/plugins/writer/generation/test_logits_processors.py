"""Each sampler against a calculation in plain numpy, straight from its source."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from plugins.writer.generation import sampling_params
from plugins.writer.generation.logits_processors import (
    BannedSequences,
    Dry,
    LogitBias,
    Mirostat,
    PresencePenalty,
    RepetitionPenalty,
    Xtc,
)
from plugins.writer.generation.sampling_params import SamplingParams
from plugins.writer.models.tokenizer import encode_text
from plugins.writer.training.bpe import train_tokenizer
from plugins.writer.training.documents import Document
from studio import api

SIZE = 40
TOKENS = [1, 2, 3, 4, 9, 1, 2, 3, 5, 1, 2, 3]


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(SIZE, generator=torch.Generator().manual_seed(1)) * 3


def softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    some = np.exp(values - values.max())
    return some / some.sum()


def same(ours: torch.Tensor, theirs: NDArray[np.float64]) -> None:
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-4, atol=1e-5)


def test_repetition_penalty(logits: torch.Tensor) -> None:
    wanted = logits.double().numpy().copy()
    for token in {*TOKENS}:
        wanted[token] = wanted[token] / 1.3 if wanted[token] > 0 else wanted[token] * 1.3
    same(RepetitionPenalty(1.3)(logits, TOKENS), wanted)


def test_presence_and_frequency_penalties_do_not_count_the_prompt(logits: torch.Tensor) -> None:
    wanted = logits.double().numpy().copy()
    for token in range(SIZE):
        count = TOKENS[5:].count(token)
        wanted[token] -= 0.7 * count + (0.4 if count else 0)
    same(PresencePenalty(0.4, 0.7, prompt_length=5)(logits, TOKENS), wanted)


def longest_runs(tokens: list[int], breakers: set[int]) -> dict[int, int]:
    """By trying all ends: the longest common tail of `tokens` and of `tokens[: n]`, for each token that follows."""
    found: dict[int, int] = {}
    for n in range(1, len(tokens)):
        length = 0
        while length < n and tokens[n - 1 - length] == tokens[-1 - length] and tokens[n - 1 - length] not in breakers:
            length += 1
        if length:
            found[tokens[n]] = max(found.get(tokens[n], 0), length)
    return found


@pytest.mark.parametrize("breakers", [set(), {2}, {3}])
@pytest.mark.parametrize("seed", range(6))
def test_dry(logits: torch.Tensor, breakers: set[int], seed: int) -> None:
    tokens = np.random.default_rng(seed).integers(0, 4, 30).tolist() if seed else TOKENS
    wanted = logits.double().numpy().copy()
    for token, length in longest_runs(tokens, breakers).items():
        if length >= 2:
            wanted[token] -= 0.8 * 1.75 ** (length - 2)
    same(Dry(0.8, 1.75, 2, breakers)(logits, tokens), wanted)


def test_dry_penalises_tokens_that_would_repeat_a_phrase(logits: torch.Tensor) -> None:
    changed = (Dry(1.0)(logits, TOKENS) != logits).nonzero().flatten().tolist()
    assert changed == [4, 5]


def test_xtc_excludes_top_choices_but_the_least_likely(logits: torch.Tensor) -> None:
    shares = softmax(logits.double().numpy())
    likely = [token for token in range(SIZE) if shares[token] >= 0.05]
    assert len(likely) > 2
    kept = min(likely, key=lambda token: shares[token])
    wanted = logits.double().numpy().copy()
    wanted[[token for token in likely if token != kept]] = -np.inf
    chance = torch.Generator().manual_seed(0)
    same(Xtc(1.0, 0.05, chance)(logits, []), wanted)
    assert torch.equal(Xtc(0.0, 0.05, chance)(logits, []), logits)
    best = int(logits.argmax())
    assert torch.equal(Xtc(1.0, 0.05, chance, protected=[best])(logits, []), logits)
    assert torch.equal(Xtc(1.0, 0.999, chance)(logits, []), logits)


def test_xtc_is_applied_with_its_probability(logits: torch.Tensor) -> None:
    sampler = Xtc(0.3, 0.05, torch.Generator().manual_seed(4))
    often = sum(not torch.equal(sampler(logits, []), logits) for _ in range(5000)) / 5000
    assert often == pytest.approx(0.3, abs=0.03)


def test_mirostat_step_by_step() -> None:
    sampler = Mirostat(3.0, 0.2)
    mu, chance = 6.0, np.random.default_rng(5)
    for _ in range(40):
        values = chance.normal(size=SIZE) * 2
        shares = softmax(values)
        left = np.where(-np.log2(shares) > mu, -np.inf, values)
        same(sampler(torch.from_numpy(values), []), left)
        token = int(np.argmax(left + chance.gumbel(size=SIZE)))
        sampler.accept_token(token)
        mu -= 0.2 * (-math.log2(softmax(left)[token]) - 3.0)
        assert sampler.mu == pytest.approx(mu, rel=1e-6)


def test_mirostat_never_excludes_all_tokens() -> None:
    sampler = Mirostat(1.0)
    sampler.mu = -5.0
    assert int(sampler(torch.arange(5.0), []).isfinite().sum()) == 1


def test_logit_bias_and_banned_sequences(logits: torch.Tensor) -> None:
    wanted = logits.double().numpy().copy()
    wanted[7] += 2
    wanted[8] = -np.inf
    same(LogitBias({7: 2.0, 8: -math.inf})(logits, []), wanted)
    banned = BannedSequences([[3, 11], [12], [4, 4, 13]])(logits, TOKENS)
    assert (banned != logits).nonzero().flatten().tolist() == [11, 12]
    only = torch.full((20,), -math.inf)
    only[12] = 1.0
    same(BannedSequences([[12]])(only, TOKENS), only.double().numpy())


@pytest.fixture(scope="module")
def tokenizer() -> object:
    return train_tokenizer([Document("", "the moon and the sun and the moon over the sea")], 330)


def drawn(tokenizer: object, values: torch.Tensor, count: int = 400, **given: object) -> set[int]:
    chain = sampling_params.build_sampler_chain(SamplingParams(**given), tokenizer, torch.Generator().manual_seed(2), 0)  # type: ignore[arg-type]
    return {chain.sample(values, TOKENS) for _ in range(count)}


def nothing() -> dict[str, float]:
    return dict(sampling_params.NEUTRAL)


def test_samplers_of_transformers_keep_the_expected_tokens(tokenizer: object) -> None:
    values = torch.full((330,), -20.0)
    values[:4] = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    assert drawn(tokenizer, values, **nothing()) == {0, 1, 2, 3}
    assert drawn(tokenizer, values, **{**nothing(), "top_k": 2}) == {0, 1}
    assert drawn(tokenizer, values, **{**nothing(), "top_p": 0.75}) == {0, 1}
    assert drawn(tokenizer, values, **{**nothing(), "min_p": 0.25}) == {0, 1, 2}
    assert drawn(tokenizer, values, **{**nothing(), "typical_p": 0.4}) < {0, 1, 2, 3}
    assert drawn(tokenizer, values, **{**nothing(), "temperature": 0.01}) == {0}
    assert drawn(tokenizer, values, preset="greedy") == {0}


def test_empty_value_is_taken_from_the_preset() -> None:
    assert SamplingParams(preset="faithful").resolve_values()["temperature"] == 0.6
    assert SamplingParams(preset="faithful", temperature=1.5).resolve_values()["temperature"] == 1.5
    assert SamplingParams(preset="faithful", temperature=1.5).resolve_values()["min_p"] == 0.05


def test_logit_bias_needs_a_value(tokenizer: object) -> None:
    values = torch.zeros(330)
    moon = encode_text(tokenizer, " moon")[0]
    assert drawn(tokenizer, values, 20, **nothing(), biased=["moon:90"]) <= {
        encode_text(tokenizer, form)[0] for form in ("moon", " moon", "Moon", " Moon")
    }
    assert (
        moon not in drawn(tokenizer, values, 3000, **nothing(), banned=["moon"])
        or len(encode_text(tokenizer, " moon")) > 1
    )
    with pytest.raises(api.BadInput, match="moon"):
        drawn(tokenizer, values, 1, biased=["moon"])
