"""The model card and the credits of a trained language model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studio.api.model_card import Measure, ModelCard, training_rows

from .documents import Document

if TYPE_CHECKING:
    from studio.api.training import TrainingState

CREDITS = "CREDITS.md"
_SUMMARIES = {
    "new": (
        "A causal language model. It continues a text in the style of its training data. It knows nothing beyond that "
        "data, forgets what is outside its context window, and follows no instructions."
    ),
    "masked": (
        "A masked language model. It predicts the words for a gap from the text on both sides. It knows only words of "
        "its training data."
    ),
    "lora": (
        "A LoRA for a causal language model. It moves its base model towards the style of the training data, and works "
        "with that base model only."
    ),
}
"""By training kind; a full fine-tuning is described like a new model."""


@dataclass(frozen=True)
class CardData:
    """Results of a training, for its card."""

    title: str
    training_kind: str
    base: str
    """Title of the base model, or empty."""
    counts: Mapping[str, int]
    """Number of documents by file."""
    tokens: int
    """Number of tokens in the training data."""
    seen_tokens: int
    """Number of tokens of all batches."""
    state: TrainingState
    seed: int
    parameters: int
    perplexity: float
    held_out_tokens: int
    samples: Sequence[tuple[str, str]]
    """(prompt, output), unedited."""
    has_credits: bool = False
    as_float8: bool = False


def build_card(data: CardData) -> ModelCard:
    """Build the card. Sampled text is in fenced blocks, so that none of it is read as Markdown."""
    is_masked, is_lora = data.training_kind == "masked", data.training_kind == "lora"
    rows = training_rows("writer.train", data.state, seed=data.seed, parameters=data.parameters)
    if data.base:
        rows["Token embeddings copied from" if is_masked else "Base model"] = data.base
    rows["Tokens in the training data"] = data.tokens
    rows["Tokens seen in training"] = data.seen_tokens
    rows["Weights"] = f"exponential moving average, stored as {_dtype_name(is_lora, data.as_float8)}"
    if data.has_credits:
        rows["Credits of the texts"] = f"`{CREDITS}`"
    samples = "\n\n".join(f"{prompt}:\n\n~~~~\n{text.replace('~~~~', '')}\n~~~~" for prompt, text in data.samples)
    predicted = "masked tokens" if is_masked else "next token"
    meaning = f"{predicted}, on {data.held_out_tokens:,} tokens; lower is better"
    return ModelCard(
        title=data.title,
        summary=_SUMMARIES.get(data.training_kind, _SUMMARIES["new"]),
        rows=rows,
        data=data.counts,
        measures=[Measure("Perplexity", f"{data.perplexity:.1f}", meaning)],
        sections={"Samples, unedited": samples},
    )


def format_credits(documents: Iterable[Document], base: Path | None) -> str:
    """Return the credits of all documents and of the base model as Markdown; empty if there are none."""
    lines = [f"- {document.title}: {document.credit}" for document in documents if document.credit]
    base_credits = base / CREDITS if base else None
    if base_credits and base_credits.is_file():
        lines += [line for line in base_credits.read_text("utf-8", "replace").splitlines() if line.startswith("- ")]
    return "# Credits of the texts\n\n" + "\n".join(dict.fromkeys(lines)) + "\n" if lines else ""


def _dtype_name(is_lora: bool, as_float8: bool) -> str:
    if is_lora:
        return "float32"
    return "float8 (E4M3) and float16" if as_float8 else "float16"
