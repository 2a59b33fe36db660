"""Encoded prompts in a folder, so that text encoders are needed no longer than it takes to encode them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from studio import api

if TYPE_CHECKING:
    from torch import Tensor

EncodedPrompt = dict[str, "Tensor"]
"""Tensors that a pipeline takes in place of a prompt, by the names of its arguments."""


class PromptStore:
    """Encoded prompts by their text, one safetensors file each. Files of an earlier run are used again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __contains__(self, text: str) -> bool:
        return self._path(text).is_file()

    def write(self, text: str, prompt: EncodedPrompt) -> None:
        """Store an encoded prompt, whole or not at all."""
        from safetensors.torch import save_file

        self._folder.mkdir(parents=True, exist_ok=True)
        with api.atomic_write(self._path(text)) as temporary:
            save_file({name: value.detach().cpu().contiguous() for name, value in prompt.items()}, temporary)

    def read(self, text: str) -> EncodedPrompt:
        """Read an encoded prompt onto the CPU."""
        from safetensors.torch import load_file

        prompt: EncodedPrompt = load_file(self._path(text))
        return prompt

    def _path(self, text: str) -> Path:
        return self._folder / f"{hashlib.sha256(text.encode()).hexdigest()}.safetensors"
