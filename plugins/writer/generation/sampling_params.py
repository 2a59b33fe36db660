"""How the next token is drawn: the artist's settings, presets, and the chain of samplers they stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from studio import api

from ..models import tokenizer as vocabulary
from .constrained import Constrained
from .logits_processors import Banned, Bias, Dry, Mirostat, Presence, Repetition, Sampler, Xtc

if TYPE_CHECKING:
    from torch import Generator, Tensor

Preset: TypeAlias = Literal["balanced", "faithful", "lively", "greedy"]
LABELS = ("Balanced", "Faithful", "Lively", "Always the likeliest")
BREAKS = ("\n", ":", '"', "*")
"""What ends a run that must not be repeated."""
NOTHING: Mapping[str, float] = {
    "temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "typical_p": 1.0, "repetition_penalty": 1.0,
    "presence_penalty": 0.0, "frequency_penalty": 0.0, "dry": 0.0, "xtc": 0.0, "xtc_threshold": 0.1, "mirostat": 0.0,
}  # fmt: skip
PRESETS: Mapping[str, Mapping[str, float]] = {
    "balanced": {"temperature": 0.8, "top_p": 0.95, "min_p": 0.03, "dry": 0.8},
    "faithful": {"temperature": 0.6, "top_p": 0.9, "min_p": 0.05, "dry": 0.8},
    "lively": {"temperature": 1.1, "min_p": 0.05, "dry": 0.8, "xtc": 0.3},
    "greedy": {"temperature": 0.0},
}
_GROUP = {"advanced": True, "group": "Choice of words"}


class Sampling(api.Params):
    """Parameters that every writing tool has. What is empty is as the preset has it."""

    preset: Preset = api.param("balanced", labels=LABELS, title="Choice of words")
    """Faithful stays close to what is likely, lively surprises."""
    stop: list[str] = api.param([], max_items=16, title="Stop at")
    """Words at which it stops; they are not kept."""
    temperature: float | None = api.param(None, ge=0, le=5, title="Temperature", **_GROUP)
    """0 always takes the likeliest; above 1 the unlikely becomes likelier."""
    top_k: int | None = api.param(None, ge=0, le=1000, title="Top k", **_GROUP)
    """Only so many of the likeliest. 0 means all."""
    top_p: float | None = api.param(None, ge=0.01, le=1, title="Top p", **_GROUP)
    """Only the likeliest that make up this share together."""
    min_p: float | None = api.param(None, ge=0, le=1, title="Min p", **_GROUP)
    """Only what is at least this share as likely as the likeliest."""
    typical_p: float | None = api.param(None, ge=0.01, le=1, title="Typical p", **_GROUP)
    """Only what is about as surprising as is to be expected, up to this share."""
    repetition_penalty: float | None = api.param(None, ge=0.5, le=3, title="Repetition", **_GROUP)
    """Above 1, what is there already becomes less likely."""
    presence_penalty: float | None = api.param(None, ge=-2, le=2, title="Presence", **_GROUP)
    """Taken from words that were written already."""
    frequency_penalty: float | None = api.param(None, ge=-2, le=2, title="Frequency", **_GROUP)
    """Taken each time that a word was written."""
    dry: float | None = api.param(None, ge=0, le=5, title="Repeated phrases", **_GROUP)
    """How much a phrase may not be repeated (DRY). 0 is off."""
    xtc: float | None = api.param(None, ge=0, le=1, title="Leave out the obvious", **_GROUP)
    """How often the likeliest choices are left out (XTC)."""
    xtc_threshold: float | None = api.param(None, ge=0, le=0.5, title="Obvious from", **_GROUP)
    mirostat: float | None = api.param(None, ge=0, le=10, title="Mirostat", unit="bits", **_GROUP)
    """How surprising each token is, in the mean; then top k, top p, min p and typical p do not count. 0 is off."""
    banned: list[str] = api.param([], max_items=100, title="Words never to use", **_GROUP)
    biased: list[str] = api.param([], max_items=100, title="Words to favour", **_GROUP)
    """Such as `moon:2`, or `sun:-2` to avoid one."""

    def values(self) -> dict[str, float]:
        """Every number, with the preset's where the artist says nothing."""
        usual = {**NOTHING, **PRESETS[self.preset]}
        own = {name: getattr(self, name) for name in NOTHING}
        return {name: usual[name] if own[name] is None else float(own[name]) for name in NOTHING}


@dataclass
class Chain:
    """Draws tokens. `samplers` come one after the other; with `greedy` the likeliest is taken."""

    samplers: Sequence[Sampler]
    chance: Generator
    greedy: bool = False

    def draw(self, logits: Tensor, tokens: Sequence[int]) -> int:
        """The next token from float logits [vocabulary]."""
        import torch

        left = logits.float()
        for sampler in self.samplers:
            left = sampler(left, tokens)
        if self.greedy:
            drawn = int(left.argmax())
        else:
            drawn = int(torch.multinomial(left.softmax(-1).cpu(), 1, generator=self.chance))
        for sampler in self.samplers:
            if isinstance(sampler, Mirostat | Constrained):
                sampler.drew(drawn)
        return drawn

    @property
    def done(self) -> bool:
        """Whether a form is whole, so that nothing may follow."""
        return any(isinstance(sampler, Constrained) and sampler.done for sampler in self.samplers)


def chain(params: Sampling, tokenizer: Any, chance: Generator, prompt: int, form: Constrained | None = None) -> Chain:
    """What the parameters stand for; the first `prompt` tokens were there before, and `form` is kept whatever else.

    Raises BadInput for a word to favour without a number.
    """
    values = params.values()
    made: list[Sampler] = [form] if form else []
    if values["repetition_penalty"] != 1:
        made.append(Repetition(values["repetition_penalty"]))
    if values["presence_penalty"] or values["frequency_penalty"]:
        made.append(Presence(values["presence_penalty"], values["frequency_penalty"], prompt))
    if values["dry"]:
        made.append(Dry(values["dry"], breakers=_breakers(tokenizer)))
    if banned := [tokens for word in params.banned for tokens in _spellings(tokenizer, word)]:
        made.append(Banned(banned))
    if params.biased:
        made.append(Bias(_biases(tokenizer, params.biased)))
    if not values["temperature"]:
        return Chain(made, chance, greedy=True)
    made += _warpers(values)
    if values["mirostat"]:
        made.append(Mirostat(values["mirostat"]))
    elif values["xtc"]:
        ends = [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []
        made.append(Xtc(values["xtc"], values["xtc_threshold"], chance, ends))
    return Chain(made, chance)


def _warpers(values: Mapping[str, float]) -> list[Sampler]:
    """Those that transformers has, in its order."""
    from transformers import (
        MinPLogitsWarper,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
        TypicalLogitsWarper,
    )

    found: list[Any] = []
    if values["temperature"] != 1:
        found.append(TemperatureLogitsWarper(values["temperature"]))
    if not values["mirostat"]:
        if values["top_k"]:
            found.append(TopKLogitsWarper(int(values["top_k"])))
        if values["typical_p"] < 1:
            found.append(TypicalLogitsWarper(values["typical_p"]))
        if values["top_p"] < 1:
            found.append(TopPLogitsWarper(values["top_p"]))
        if values["min_p"]:
            found.append(MinPLogitsWarper(values["min_p"]))
    return [_single(warper) for warper in found]


def _single(warper: Callable[[Any, Tensor], Tensor]) -> Sampler:
    """One of transformers' for one sequence."""

    def warp(logits: Tensor, tokens: Sequence[int]) -> Tensor:  # noqa: ARG001
        warped: Tensor = warper(None, logits[None])[0]
        return warped

    return warp


def _breakers(tokenizer: Any) -> frozenset[int]:
    kept: frozenset[int] | None = getattr(tokenizer, "_studio_breakers", None)
    if kept is None:
        pieces = tokenizer.batch_decode([[number] for number in range(len(tokenizer))])
        kept = frozenset(number for number, piece in enumerate(pieces) if any(mark in piece for mark in BREAKS))
        tokenizer._studio_breakers = kept  # Looking through a vocabulary of 100,000 takes a second.
    return kept


def _spellings(tokenizer: Any, word: str) -> list[list[int]]:
    """The tokens of a word in the middle of a line and at its beginning, as written and with a capital."""
    word = word.strip()
    forms = {form for plain in (word, word.capitalize()) for form in (plain, f" {plain}") if plain}
    return [tokens for form in sorted(forms) if (tokens := vocabulary.words(tokenizer, form))]


def _biases(tokenizer: Any, told: Sequence[str]) -> dict[int, float]:
    found: dict[int, float] = {}
    for one in told:
        word, _, number = one.rpartition(":")
        try:
            value = min(100.0, max(-100.0, float(number)))
        except ValueError:
            word = ""
        if not word.strip():
            raise api.BadInput(f"“{one}” does not say how much to favour.", "Write it as moon:2, or sun:-2.")
        for tokens in _spellings(tokenizer, word):
            found[tokens[0]] = value
    return found
