"""Language models on a device, with what they remember of the text that they last read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from . import architectures, gguf, hub_files, lora
from . import tokenizer as vocabulary
from .kv_cache import Prefix

if TYPE_CHECKING:
    import torch

KIND, MASKED = "language", "masked-language"
PREFIX = "prefix.safetensors"


class Writer:
    """A causal model on `device` that writes on. `longest` is how many tokens it can look back on."""

    def __init__(self, model: Any, tokenizer: Any, name: str, device: str) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer, self.name, self.device = tokenizer, name, device
        self.longest = int(getattr(model.config, "max_position_embeddings", 0) or 2048)
        self.prefix = Prefix(self.model, device)
        ends = getattr(model.generation_config, "eos_token_id", None) or tokenizer.eos_token_id
        self.ends = frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])

    def save_state(self, folder: Path) -> None:
        """Keeps what was read, as `api.SavesState` says."""
        self.prefix.save_state(folder / PREFIX)

    def restore_state(self, folder: Path) -> None:
        self.prefix.restore_state(folder / PREFIX)

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
    """The writer in a folder in transformers' format or in a GGUF file, or with a LoRA in `where`, that `under` it.
    Raises BadInput."""
    model = architectures.opened(under or where, dtype, device)
    tokenizer = vocabulary.opened(under or where)
    return Writer(lora.merged(model, where) if under else model, tokenizer, title(where), device)


def load_guesser(ctx: api.Context, choice: str) -> tuple[Any, Any]:
    """(a masked model, its tokenizer). Raises BadInput."""
    import torch

    where = folder(ctx, choice)
    key = f"guesser:{where}:{stamp(where)}:{ctx.device}"

    def opened() -> tuple[Any, Any]:
        tokenizer = vocabulary.opened(where)
        if tokenizer.mask_token_id is None:
            raise api.BadInput(f"{where.name} has no token for a gap.", "Choose a masked model, such as BERT.")
        model = architectures.opened(where, torch.float32, ctx.device, masked=True)
        return model.eval().requires_grad_(False), tokenizer

    return ctx.models.load(key, opened)


def folder(ctx: api.Context, choice: str) -> Path:
    """The folder or the GGUF file of a model, or the folder of a LoRA, once it is fetched. Raises BadInput."""
    if not choice:
        raise api.BadInput("No model is chosen.", "Choose one, or train one with “Train a writer”.")
    found = ctx.model(choice)
    where = found if isinstance(found, Path) else hub_files.folder(found, ctx)
    if file := gguf.of(where):
        return file.resolve()
    if not any((where / name).is_file() for name in ("config.json", lora.CONFIG)):
        raise api.BadInput(
            f"{choice} is no language model.", "Choose a folder in transformers' format, or a GGUF file."
        )
    return where.resolve()


def title(where: Path) -> str:
    """What a model trained here is called; another one by its folder or file."""
    try:
        told = json.loads((where / "studio.json").read_bytes()).get("title")
    except (OSError, ValueError, AttributeError):
        told = None
    return told if isinstance(told, str) and told else where.name


def stamp(where: Path) -> int:
    """Tells a folder's or a file's model from the one that lay there before."""
    files = where.iterdir() if where.is_dir() else [where]
    return max((path.stat().st_mtime_ns for path in files), default=0)
