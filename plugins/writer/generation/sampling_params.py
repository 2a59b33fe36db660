"""Sampling parameters with presets, and the sampler chain that they describe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from studio import api

from ..models.tokenizer import encode_text
from .constrained import GrammarConstraint
from .logits_processors import (
    BannedSequences,
    Dry,
    LogitBias,
    LogitsProcessor,
    Mirostat,
    PresencePenalty,
    RepetitionPenalty,
    Xtc,
)

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from transformers import PreTrainedTokenizerBase

Preset: TypeAlias = Literal["balanced", "faithful", "lively", "greedy"]
PRESET_LABELS = ("Balanced", "Precise", "Creative", "Greedy")
DRY_SEQUENCE_BREAKERS = ("\n", ":", '"', "*")
NEUTRAL: Mapping[str, float] = {
    "temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "typical_p": 1.0, "repetition_penalty": 1.0,
    "presence_penalty": 0.0, "frequency_penalty": 0.0, "dry": 0.0, "xtc": 0.0, "xtc_threshold": 0.1, "mirostat": 0.0,
}  # fmt: skip
"""Values with which no sampler changes the probabilities of the model."""
PRESETS: Mapping[str, Mapping[str, float]] = {
    "balanced": {"temperature": 0.8, "top_p": 0.95, "min_p": 0.03, "dry": 0.8},
    "faithful": {"temperature": 0.6, "top_p": 0.9, "min_p": 0.05, "dry": 0.8},
    "lively": {"temperature": 1.1, "min_p": 0.05, "dry": 0.8, "xtc": 0.3},
    "greedy": {"temperature": 0.0},
}
"""Values that differ from `NEUTRAL`, by preset."""
GROUP = "Sampling"


def _optional(title: str, ge: float, le: float, unit: str = "") -> Any:
    """Declare an advanced number that may be empty."""
    return api.param(None, ge=ge, le=le, title=title, unit=unit, advanced=True, group=GROUP)


class SamplingParams(api.Params):
    """Sampling parameters of all tools that generate text. An empty value is taken from the preset."""

    preset: Preset = api.param("balanced", labels=PRESET_LABELS, title="Sampling preset")
    """Precise keeps to likely words. Creative takes more risks. Greedy always takes the most likely token."""
    stop: list[str] = api.param([], max_items=16, title="Stop sequences")
    """Generation stops at the first of these. The stop sequence itself is not kept."""
    temperature: float | None = _optional("Temperature", 0, 5)
    """0 always takes the most likely token. Above 1, unlikely tokens become more likely."""
    top_k: int | None = _optional("Top-k", 0, 1000)
    """Keep only this number of the most likely tokens. 0 keeps all."""
    top_p: float | None = _optional("Top-p", 0.01, 1)
    """Keep only the most likely tokens whose probabilities add up to this value. 1 keeps all."""
    min_p: float | None = _optional("Min-p", 0, 1)
    """Keep only tokens with at least this fraction of the probability of the most likely one. 0 keeps all."""
    typical_p: float | None = _optional("Typical-p", 0.01, 1)
    """Keep only the tokens whose surprise is closest to the expected one, up to this total probability. 1 keeps all."""
    repetition_penalty: float | None = _optional("Repetition penalty", 0.5, 3)
    """Above 1, tokens that occur in the prompt or in the text become less likely."""
    presence_penalty: float | None = _optional("Presence penalty", -2, 2)
    """Subtracted once from tokens that were generated already."""
    frequency_penalty: float | None = _optional("Frequency penalty", -2, 2)
    """Subtracted for each time that a token was generated."""
    dry: float | None = _optional("DRY multiplier", 0, 5)
    """Penalises the repetition of phrases (Don't Repeat Yourself). 0 is off."""
    xtc: float | None = _optional("XTC probability", 0, 1)
    """Chance at each token to exclude the top choices, all but the least likely of them. 0 is off."""
    xtc_threshold: float | None = _optional("XTC threshold", 0, 0.5)
    """Probability from which a token is a top choice."""
    mirostat: float | None = _optional("Mirostat tau", 0, 10, "bits")
    """Target for the mean surprise of a token. Replaces top-k, top-p, min-p, typical-p and XTC. 0 is off."""
    banned: list[str] = api.param([], max_items=100, title="Banned words", advanced=True, group=GROUP)
    """Words or phrases that are never generated."""
    biased: list[str] = api.param([], max_items=100, title="Logit bias", advanced=True, group=GROUP)
    """A word with the value to add, such as `moon:2`, or `sun:-2` to make it less likely."""

    def resolve_values(self) -> dict[str, float]:
        """Return every number, with the preset's value where the user gave none."""
        defaults = {**NEUTRAL, **PRESETS[self.preset]}
        values = {name: getattr(self, name) for name in NEUTRAL}
        return {name: defaults[name] if values[name] is None else float(values[name]) for name in NEUTRAL}


@dataclass
class SamplerChain:
    """Applies `processors` in order and samples a token; with `is_greedy` it takes the most likely one."""

    processors: Sequence[LogitsProcessor]
    generator: Generator
    is_greedy: bool = False

    def sample(self, logits: Tensor, tokens: Sequence[int]) -> int:
        """Sample the next token from float logits [vocabulary]. `tokens` are the prompt and the text so far."""
        import torch

        processed = logits.float()
        for processor in self.processors:
            processed = processor(processed, tokens)
        if self.is_greedy:
            token = int(processed.argmax())
        else:
            token = int(torch.multinomial(processed.softmax(-1).cpu(), 1, generator=self.generator))
        for processor in self.processors:
            if isinstance(processor, Mirostat | GrammarConstraint):
                processor.accept_token(token)
        return token

    @property
    def is_complete(self) -> bool:
        """True once the output matches the grammar and nothing may follow."""
        return any(isinstance(one, GrammarConstraint) and one.is_complete for one in self.processors)


def build_sampler_chain(
    params: SamplingParams,
    tokenizer: PreTrainedTokenizerBase,
    generator: Generator,
    prompt_length: int,
    constraint: GrammarConstraint | None = None,
) -> SamplerChain:
    """Build the sampler chain for a prompt of `prompt_length` tokens. `constraint` comes first and always holds.

    Raises BadInput for a logit bias without a number.
    """
    values = params.resolve_values()
    processors: list[LogitsProcessor] = [constraint] if constraint else []
    if values["repetition_penalty"] != 1:
        processors.append(RepetitionPenalty(values["repetition_penalty"]))
    if values["presence_penalty"] or values["frequency_penalty"]:
        processors.append(PresencePenalty(values["presence_penalty"], values["frequency_penalty"], prompt_length))
    if values["dry"]:
        processors.append(Dry(values["dry"], sequence_breakers=_find_sequence_breakers(tokenizer)))
    if banned := [tokens for word in params.banned for tokens in _encode_spellings(tokenizer, word)]:
        processors.append(BannedSequences(banned))
    if params.biased:
        processors.append(LogitBias(_parse_logit_bias(tokenizer, params.biased)))
    if not values["temperature"]:
        return SamplerChain(processors, generator, is_greedy=True)
    processors += _build_warpers(values)
    if values["mirostat"]:
        processors.append(Mirostat(values["mirostat"]))
    elif values["xtc"]:
        protected = [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []
        processors.append(Xtc(values["xtc"], values["xtc_threshold"], generator, protected))
    return SamplerChain(processors, generator)


def _build_warpers(values: Mapping[str, float]) -> list[LogitsProcessor]:
    """Build the samplers that transformers has, in its order."""
    from transformers import (
        MinPLogitsWarper,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
        TypicalLogitsWarper,
    )

    warpers: list[Callable[[Any, Tensor], Tensor]] = []
    if values["temperature"] != 1:
        warpers.append(TemperatureLogitsWarper(values["temperature"]))
    if not values["mirostat"]:
        if values["top_k"]:
            warpers.append(TopKLogitsWarper(int(values["top_k"])))
        if values["typical_p"] < 1:
            warpers.append(TypicalLogitsWarper(values["typical_p"]))
        if values["top_p"] < 1:
            warpers.append(TopPLogitsWarper(values["top_p"]))
        if values["min_p"]:
            warpers.append(MinPLogitsWarper(values["min_p"]))
    return [_adapt_warper(warper) for warper in warpers]


def _adapt_warper(warper: Callable[[Any, Tensor], Tensor]) -> LogitsProcessor:
    """Let a warper of transformers, which takes a batch, process one sequence."""

    def process(logits: Tensor, tokens: Sequence[int]) -> Tensor:  # noqa: ARG001
        return warper(None, logits[None])[0]

    return process


def _find_sequence_breakers(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    breakers: frozenset[int] | None = getattr(tokenizer, "_studio_sequence_breakers", None)
    if breakers is None:
        pieces = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
        breakers = frozenset(
            token for token, piece in enumerate(pieces) if any(mark in piece for mark in DRY_SEQUENCE_BREAKERS)
        )
        tokenizer._studio_sequence_breakers = breakers  # it takes a second for a vocabulary of 100,000
    return breakers


def _encode_spellings(tokenizer: PreTrainedTokenizerBase, word: str) -> list[list[int]]:
    """Return the tokens of a word within a line and at its beginning, as written and capitalised."""
    word = word.strip()
    spellings = {spelling for form in (word, word.capitalize()) for spelling in (form, f" {form}") if form}
    return [tokens for spelling in sorted(spellings) if (tokens := encode_text(tokenizer, spelling))]


def _parse_logit_bias(tokenizer: PreTrainedTokenizerBase, entries: Sequence[str]) -> dict[int, float]:
    """Return the bias of the first token of each word."""
    biases: dict[int, float] = {}
    for entry in entries:
        word, _, number = entry.rpartition(":")
        try:
            bias = min(100.0, max(-100.0, float(number)))
        except ValueError:
            word = ""
        if not word.strip():
            raise api.BadInput(f"The logit bias “{entry}” has no value.", "Write it as moon:2, or sun:-2.")
        for tokens in _encode_spellings(tokenizer, word):
            biases[tokens[0]] = bias
    return biases
