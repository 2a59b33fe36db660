"""Language models on a device, with what they remember of the text that they last read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from . import downloading, lora, networks, vocabulary
from .prefix import Prefix

if TYPE_CHECKING:
    import torch

KIND, MASKED = "language", "masked-language"


class Writer:
    """A causal model that writes on. `longest` is how many tokens it can look back on."""

    def __init__(self, model: Any, tokenizer: Any, name: str, device: str) -> None:
        self.model = model.eval().requires_grad_(False).to(device)
        self.tokenizer, self.name, self.device = tokenizer, name, device
        self.longest = int(getattr(model.config, "max_position_embeddings", 0) or 2048)
        self.prefix = Prefix(self.model, device)
        ends = getattr(model.generation_config, "eos_token_id", None) or tokenizer.eos_token_id
        self.ends = frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])

    @property
    def has_tags(self) -> bool:
        """Whether kinds and titles can be told to it, as to those trained here."""
        return vocabulary.has_tags(self.tokenizer)


def load(ctx: api.Context, choice: str) -> Writer:
    """The writer that a `ModelChoice` stands for, kept with what it has read. Raises BadInput with one sentence."""
    where = folder(ctx, choice)
    base = lora.base_of(where)
    under = folder(ctx, base) if base else None
    key = f"writer:{where}:{stamp(where)}:{ctx.device}" + (f":{under}:{stamp(under)}" if under else "")
    return ctx.models.load(key, lambda: opened(where, ctx.device, ctx.dtype, under))


def opened(where: Path, device: str, dtype: torch.dtype, under: Path | None = None) -> Writer:
    """The writer in a folder in transformers' format, or with a LoRA in `where`, that `under` it. Raises BadInput."""
    tokenizer = vocabulary.opened(under or where)
    model = lora.merged(networks.opened(under), where) if under else networks.opened(where)
    return Writer(model.to(dtype), tokenizer, title(where), device)


def load_guesser(ctx: api.Context, choice: str) -> tuple[Any, Any]:
    """(a masked model, its tokenizer). Raises BadInput."""
    where = folder(ctx, choice)
    key = f"guesser:{where}:{stamp(where)}:{ctx.device}"

    def opened() -> tuple[Any, Any]:
        tokenizer = vocabulary.opened(where)
        if tokenizer.mask_token_id is None:
            raise api.BadInput(f"{where.name} has no token for a gap.", "Choose a masked model, such as BERT.")
        model = networks.opened(where, masked=True)
        return model.eval().requires_grad_(False).to(ctx.device), tokenizer

    return ctx.models.load(key, opened)


def folder(ctx: api.Context, choice: str) -> Path:
    """Where a model or a LoRA lies, once it is fetched. Raises BadInput."""
    if not choice:
        raise api.BadInput("No model is chosen.", "Choose one, or train one with “Train a writer”.")
    found = ctx.model(choice)
    where = found if isinstance(found, Path) else downloading.folder(found, ctx)
    if not any((where / name).is_file() for name in ("config.json", lora.CONFIG)):
        raise api.BadInput(f"{choice} is no language model's folder.", "Choose a folder in transformers' format.")
    return where.resolve()


def title(where: Path) -> str:
    """What a model trained here is called; another one by its folder."""
    try:
        told = json.loads((where / "studio.json").read_bytes()).get("title")
    except (OSError, ValueError, AttributeError):
        told = None
    return told if isinstance(told, str) and told else where.name


def stamp(where: Path) -> int:
    """Tells a folder's model from the one that lay there before."""
    return max((path.stat().st_mtime_ns for path in where.iterdir()), default=0)
