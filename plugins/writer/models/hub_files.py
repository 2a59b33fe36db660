"""Which files of a language model on the Hugging Face hub are needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from studio import api

HEAD = "config.json"
_WANTED = (
    HEAD, "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json",
    "merges.txt", "vocab.txt", "added_tokens.json", "tokenizer.model", "chat_template.jinja",
    "model.safetensors.index.json", "preprocessor_config.json", "processor_config.json", "chat_template.json",
)  # fmt: skip


def folder(name: str, ctx: api.Context) -> Path:
    """The folder of a language model, by its name on the hub. Raises BadInput as `api.hub.download_model` does."""
    return api.hub.download_model(
        name, ctx, index_file=HEAD, choose_files=picked, format_name="transformers", find_cached=_cached
    )


def picked(name: str, files: api.hub.HubFiles, config: dict[str, Any]) -> list[str]:
    """Configuration, vocabulary and safetensors in the root of a repository.

    Raises BadInput where there are other weights alone, or the model asks for program code of its own.
    """
    if "auto_map" in config and not config.get("model_type"):
        raise api.BadInput(
            f"{name} asks for program code of its own, which is not run.",
            "Choose a model that transformers knows by itself.",
        )
    weights = [path for path in files if "/" not in path and path.endswith(".safetensors")]
    split = [path for path in weights if path.startswith("model-")]
    if not weights:
        raise api.BadInput(f"{name} has no safetensors.", "Choose another model.")
    whole = ["model.safetensors"] if "model.safetensors" in weights else split or weights
    return sorted({*whole, *_WANTED} & files.keys())


def _cached(name: str) -> Path | None:
    from huggingface_hub import snapshot_download

    try:
        path = Path(snapshot_download(name, allow_patterns=[*_WANTED, "*.safetensors"], local_files_only=True))
    except (OSError, ValueError):
        return None
    return path if (path / HEAD).is_file() and any(path.glob("*.safetensors")) else None
