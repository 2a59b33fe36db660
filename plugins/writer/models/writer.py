"""Find and load language models, each with the KV cache of the text that it read last."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from studio import api

from . import architectures, gguf, hub_files, lora, tokenizer
from .kv_cache import KVCache

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

STARTER, MASKED_STARTER = "writer-tales", "writer-words"
"""Names of the starter models."""
KV_CACHE_FILE = "prefix.safetensors"


class Writer:
    """A causal language model on `device`, with its tokenizer and its KV cache."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str, device: str) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer, self.name, self.device = tokenizer, name, device
        self.context_length = int(getattr(model.config, "max_position_embeddings", 0) or 2048)
        """Number of tokens that the model can read, prompt and new tokens together."""
        self.kv_cache = KVCache(self.model, device)
        ids = getattr(model.generation_config, "eos_token_id", None) or tokenizer.eos_token_id
        self.eos_token_ids = frozenset(ids if isinstance(ids, list) else [] if ids is None else [ids])

    def save_state(self, folder: Path) -> None:
        """Save the KV cache, as `api.SavesState` asks for."""
        self.kv_cache.save_state(folder / KV_CACHE_FILE)

    def restore_state(self, folder: Path) -> None:
        self.kv_cache.restore_state(folder / KV_CACHE_FILE)


def load_writer(ctx: api.Context, choice: str) -> Writer:
    """Load the causal model that a `ModelChoice` names, or return it with its KV cache if it is loaded.

    Raises BadInput.
    """
    path = find_model(ctx, choice)
    base = lora.read_base_model(path)
    base_path = find_model(ctx, base) if base else None
    key = f"writer:{path}:{api.model_files.file_stamp(path)}:{ctx.device}"
    if base_path:
        key += f":{base_path}:{api.model_files.file_stamp(base_path)}"
    return ctx.models.load(key, lambda: open_writer(path, ctx.device, ctx.dtype, base_path))


def open_writer(path: Path, device: str, dtype: torch.dtype, base: Path | None = None) -> Writer:
    """Load the causal model in a folder or a GGUF file; with `base`, that model with the LoRA in `path`.

    Raises BadInput.
    """
    model = architectures.load_model(base or path, dtype, device)
    encoder = tokenizer.load_tokenizer(base or path)
    return Writer(lora.merge_lora(model, path) if base else model, encoder, api.model_files.read_title(path), device)


def load_masked_model(ctx: api.Context, choice: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the masked model that a `ModelChoice` names, and its tokenizer. Raises BadInput."""
    import torch

    path = find_model(ctx, choice)

    def load() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        encoder = tokenizer.load_tokenizer(path)
        if encoder.mask_token_id is None:
            raise api.BadInput(f"{path.name} has no mask token.", "Choose a masked language model, such as BERT.")
        model = architectures.load_model(path, torch.float32, ctx.device, is_masked=True)
        return model.eval().requires_grad_(False), encoder

    return ctx.models.load(f"guesser:{path}:{api.model_files.file_stamp(path)}:{ctx.device}", load)


def find_model(ctx: api.Context, choice: str) -> Path:
    """Return the folder or the GGUF file of a model, or the folder of a LoRA, downloading it if needed.

    Raises BadInput.
    """
    if not choice:
        raise api.BadInput("No model is chosen.", "Choose one, or train one with “Train language model”.")
    model = ctx.model(choice)
    path = model if isinstance(model, Path) else hub_files.download_model(model, ctx)
    if file := gguf.find_file(path):
        return file.resolve()
    if not any((path / name).is_file() for name in ("config.json", lora.CONFIG)):
        raise api.BadInput(
            f"{choice} is not a language model.", "Choose a folder in the transformers format, or a GGUF file."
        )
    return path.resolve()
