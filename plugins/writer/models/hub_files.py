"""Choose and download the files of a language model on the Hugging Face hub."""

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


def download_model(name: str, ctx: api.Context) -> Path:
    """Return the folder of a language model on the hub, downloading it if needed.

    Raises BadInput as `api.hub.download_model` does.
    """
    return api.hub.download_model(
        name, ctx, index_file=HEAD, choose_files=pick_files, format_name="transformers", find_cached=_find_cached
    )


def pick_files(name: str, files: api.hub.HubFiles, config: dict[str, Any]) -> list[str]:
    """Return the configuration, tokenizer and safetensors files in the root of a repository.

    Raises BadInput if there are no safetensors, or if the model needs custom code.
    """
    if "auto_map" in config and not config.get("model_type"):
        raise api.BadInput(
            f"{name} needs custom program code, which the studio does not run.",
            "Choose a model that transformers supports itself.",
        )
    weights = [path for path in files if "/" not in path and path.endswith(".safetensors")]
    shards = [path for path in weights if path.startswith("model-")]
    if not weights:
        raise api.BadInput(f"{name} has no safetensors.", "Choose another model.")
    chosen = ["model.safetensors"] if "model.safetensors" in weights else shards or weights
    return sorted({*chosen, *_WANTED} & files.keys())


def _find_cached(name: str) -> Path | None:
    from huggingface_hub import snapshot_download

    try:
        path = Path(snapshot_download(name, allow_patterns=[*_WANTED, "*.safetensors"], local_files_only=True))
    except (OSError, ValueError):
        return None
    return path if (path / HEAD).is_file() and any(path.glob("*.safetensors")) else None
