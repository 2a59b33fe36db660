"""Components of Stable Diffusion XL, which has two text encoders and crop conditioning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import small_model
from .trainable_model import Frame

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import CLIPTextModelWithProjection, CLIPTokenizer


@dataclass
class SdxlComponents(small_model.Components):
    """The components of a pipeline of Stable Diffusion XL, without the autoencoder."""

    tokenizer_2: CLIPTokenizer
    text_encoder_2: CLIPTextModelWithProjection
    side: int
    """Side in pixels of the training images."""
    zero_empty_prompts: bool
    """Whether an empty prompt is encoded as zeros."""

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {**super().networks, "text_encoder_2": self.text_encoder_2}

    def conditioning(self, texts: list[str], frames: Sequence[Frame | None], device: str) -> dict[str, Any]:
        """Return the UNet's arguments for n captions and the frames of their images.

        They are the penultimate hidden states of both text encoders, concatenated; the projection of the second; and
        for each image its original size, the crop's top left corner, and the target size (Podell et al. 2023,
        arXiv 2307.01952).
        """
        import torch

        states, pooled = [], torch.empty(0)
        for tokenizer, encoder in ((self.tokenizer, self.text_encoder), (self.tokenizer_2, self.text_encoder_2)):
            output = encoder(small_model.tokenize(tokenizer, texts).to(device), output_hidden_states=True)
            states.append(output.hidden_states[-2])
            pooled = output[0]
        hidden_states = torch.cat(states, -1)
        if self.zero_empty_prompts:
            has_text = torch.tensor([bool(text) for text in texts], device=device)
            hidden_states, pooled = hidden_states * has_text[:, None, None], pooled * has_text[:, None]
        return {
            "encoder_hidden_states": hidden_states,
            "added_cond_kwargs": {"text_embeds": pooled, "time_ids": self._build_time_ids(frames, device)},
        }

    def _build_time_ids(self, frames: Sequence[Frame | None], device: str) -> Tensor:
        import torch

        side = self.side
        rows = [frame or (side, side, 0, 0, side, side) for frame in frames]
        return torch.tensor(rows, dtype=torch.float32, device=device)
