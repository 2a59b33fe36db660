"""Parts of Stable Diffusion XL: two encoders read the words, and the UNet is told how a picture was framed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import small_model

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass
class SdxlComponents(small_model.Components):
    """`side` is that of the pictures in px. Where `empty_is_zero`, no words are zeros and not what is read of them."""

    tokenizer_2: Any
    text_encoder_2: Any
    side: int
    empty_is_zero: bool

    @property
    def networks(self) -> dict[str, torch.nn.Module]:
        return {**super().networks, "text_encoder_2": self.text_encoder_2}

    def told(self, texts: list[str], frames: Sequence[small_model.Frame | None], device: str) -> dict[str, Any]:
        """The last but one hidden states of both encoders side by side, the second one's projection, and each frame:
        its height, width, top and left, and the height and width that are painted (Podell et al. 2023,
        arXiv 2307.01952)."""
        import torch

        said, pooled = [], torch.empty(0)
        for tokenizer, encoder in ((self.tokenizer, self.text_encoder), (self.tokenizer_2, self.text_encoder_2)):
            heard = encoder(small_model.tokenize(tokenizer, texts).to(device), output_hidden_states=True)
            said.append(heard.hidden_states[-2])
            pooled = heard[0]
        whole = torch.cat(said, -1)
        if self.empty_is_zero:
            spoken = torch.tensor([bool(text) for text in texts], device=device)
            whole, pooled = whole * spoken[:, None, None], pooled * spoken[:, None]
        return {
            "encoder_hidden_states": whole,
            "added_cond_kwargs": {"text_embeds": pooled, "time_ids": self._framed(frames, device)},
        }

    def _framed(self, frames: Sequence[small_model.Frame | None], device: str) -> Tensor:
        import torch

        side = self.side
        rows = [(*(frame or (side, side, 0, 0)), side, side) for frame in frames]
        return torch.tensor(rows, dtype=torch.float32, device=device)
