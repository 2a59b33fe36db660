"""The sizes of a training, from its network's shapes and the files alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from studio import api

from ..models import architectures, lora
from .documents import SUFFIXES

if TYPE_CHECKING:
    from torch import Tensor, nn

BYTES_PER_TOKEN = 3.5
"""Typical for a vocabulary of some thousand tokens."""
COMPRESSION = 4
"""Typical ratio of a compressed text."""
FEW_TOKENS = {"new": 300_000, "masked": 300_000}
"""Number of tokens below which a new model learns words and no sentences, by kind of training."""


@dataclass
class SizedVocabulary:
    """Stands for a tokenizer that is not trained yet."""

    size: int
    eos_token_id: int = 0
    pad_token_id: int = 1

    def __len__(self) -> int:
        return self.size


@cache
def measure_new_model(kind: str, size: str, vocabulary: int, context: int) -> api.training.NetworkCost:
    """Return the cost of a new model for one sequence."""
    tokens = SizedVocabulary(vocabulary)

    def build() -> nn.Module:
        if kind == "masked":
            return cast(
                "nn.Module", architectures.build_masked_model(architectures.MASKED_SHAPES[size], tokens, context)
            )
        return cast("nn.Module", architectures.build_causal_model(architectures.CAUSAL_SHAPES[size], tokens))

    return api.training.measure_network(build, lambda network: _compute_loss(network, context))


def measure_base_model(
    ctx: api.EstimateContext, choice: str, context: int, rank: int, kind: str
) -> api.training.NetworkCost | None:
    """Return the cost of fine-tuning a model for one sequence, or of a LoRA. None where the model is not known."""
    try:
        folder = ctx.model(choice)
        if kind == "lora" and isinstance(folder, Path) and (base := lora.read_base_model(folder)):
            folder = ctx.model(base)
        if not isinstance(folder, Path) or not (folder / "config.json").is_file():
            return None
        return _measure_base_model(folder, api.model_files.file_stamp(folder), context, rank if kind == "lora" else 0)
    except (api.BadInput, OSError, ValueError, KeyError):
        return None


@cache
def _measure_base_model(folder: Path, _stamp: int, context: int, rank: int) -> api.training.NetworkCost:
    from transformers import AutoConfig, AutoModelForCausalLM

    def build() -> nn.Module:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model = AutoModelForCausalLM.from_config(config)
        based: nn.Module = lora.add_lora(model, "", rank) if rank else model
        return based

    return api.training.measure_network(build, lambda network: _compute_loss(network, context))


def _compute_loss(network: Any, context: int) -> Tensor:
    import torch

    tokens = torch.zeros(1, context, dtype=torch.long)
    loss: Tensor = network(input_ids=tokens, labels=tokens).loss
    return loss


def count_tokens(folders: Sequence[Path], words: Sequence[str]) -> int:
    """Return about how many tokens the texts in some folders have, by the size of their files."""
    total = 0.0
    for folder in folders:
        for path in api.datasets.find_files(folder, SUFFIXES):
            if not words or any(word.lower() in path.name.lower() for word in words):
                total += path.stat().st_size * (COMPRESSION if path.suffix == ".xz" else 1)
    return int(total / BYTES_PER_TOKEN)


def describe_data(kind: str, tokens: int) -> str:
    """Say what to expect of so many tokens."""
    size = f"about {tokens:,} tokens" if tokens < 1_000_000 else f"about {tokens / 1e6:.1f} million tokens"
    if tokens < FEW_TOKENS.get(kind, 0):
        return f"{size}: a new model learns words and few sentences from so little"
    return size
