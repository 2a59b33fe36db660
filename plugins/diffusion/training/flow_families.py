"""Families of models that learn by flow matching: how each encodes prompts, and how its transformer is called.

All that a family's pipeline can do itself is left to it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ..checkpoints import families
from ..models.latents import scale_factor_of
from .adapter import Layers
from .prompt_store import EncodedPrompt

if TYPE_CHECKING:
    from torch import Tensor

GUIDANCE = 1.0
"""Guidance that models are trained with which take it as an input: none."""
_TIMES = 1000
"""Timestep of pure noise."""
_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
_JOINT_ATTENTION = (*_ATTENTION, "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")


class FlowFamily(ABC):
    """A family of models. Prompts are encoded one by one, and put together for a batch."""

    name: ClassVar[str]
    """Name in `checkpoints.families`."""
    layers: ClassVar[Mapping[Layers, tuple[str, ...]]]
    """Names of the layers in the transformer's blocks that each choice adds to those before it."""
    version: ClassVar[str]
    """Name of the base model in the metadata of kohya's scripts."""
    architecture: ClassVar[str]
    """Name of the architecture in the model specification."""
    patch: ClassVar[int] = 2
    """Side in latent pixels of what the transformer sees as one token."""
    has_negative_prompt: ClassVar[bool] = True

    @property
    def title(self) -> str:
        return families.FAMILIES[self.name].title

    @abstractmethod
    def encode(self, pipe: Any, text: str, device: str) -> EncodedPrompt:
        """Encode a prompt. The empty one also serves as negative prompt."""

    def collate(self, prompts: Sequence[EncodedPrompt], device: str) -> dict[str, Any]:
        """Put encoded prompts together for a batch."""
        import torch

        return {name: torch.cat([prompt[name] for prompt in prompts]).to(device) for name in prompts[0]}

    @abstractmethod
    def predict(self, pipe: Any, transformer: Any, latents: Tensor, levels: Tensor, prompts: dict[str, Any]) -> Tensor:
        """Return the velocity [n, c, h, w] for latents at n noise levels, with the prompts of `collate`."""


class StableDiffusion3(FlowFamily):
    """Stable Diffusion 3 and 3.5 (Esser et al. 2024, arXiv 2403.03206)."""

    name = "stable-diffusion-3"
    version, architecture = "sd3", "stable-diffusion-3"
    layers: ClassVar = {
        "attention": _JOINT_ATTENTION,
        "blocks": ("ff.net.0.proj", "ff.net.2", "ff_context.net.0.proj", "ff_context.net.2"),
    }

    def encode(self, pipe: Any, text: str, device: str) -> EncodedPrompt:
        states, _, pooled, _ = pipe.encode_prompt(text, None, None, device=device, do_classifier_free_guidance=False)
        return {"prompt_embeds": states, "pooled_prompt_embeds": pooled}

    def predict(self, pipe: Any, transformer: Any, latents: Tensor, levels: Tensor, prompts: dict[str, Any]) -> Tensor:  # noqa: ARG002
        velocity: Tensor = transformer(
            hidden_states=latents,
            timestep=levels * _TIMES,
            encoder_hidden_states=prompts["prompt_embeds"],
            pooled_projections=prompts["pooled_prompt_embeds"],
            return_dict=False,
        )[0]
        return velocity


class Flux(FlowFamily):
    """FLUX.1, which sees patches of latents in a row, with their places."""

    name = "flux"
    version, architecture = "flux1", "flux-1-dev"
    has_negative_prompt = False
    layers: ClassVar = {
        "attention": _JOINT_ATTENTION,
        "blocks": (
            *("ff.net.0.proj", "ff.net.2", "ff_context.net.0.proj", "ff_context.net.2"),
            *("proj_mlp", "proj_out"),
        ),
    }

    def encode(self, pipe: Any, text: str, device: str) -> EncodedPrompt:
        states, pooled, _ = pipe.encode_prompt(text, None, device=device)
        return {"prompt_embeds": states, "pooled_prompt_embeds": pooled}

    def predict(self, pipe: Any, transformer: Any, latents: Tensor, levels: Tensor, prompts: dict[str, Any]) -> Tensor:
        import torch

        count, channels, height, width = latents.shape
        states = prompts["prompt_embeds"]
        guided = transformer.config.guidance_embeds
        velocity = transformer(
            hidden_states=pipe._pack_latents(latents, count, channels, height, width),
            timestep=levels,
            guidance=torch.full_like(levels, GUIDANCE) if guided else None,
            encoder_hidden_states=states,
            pooled_projections=prompts["pooled_prompt_embeds"],
            txt_ids=torch.zeros(states.shape[1], 3, device=latents.device, dtype=latents.dtype),
            img_ids=pipe._prepare_latent_image_ids(count, height // 2, width // 2, latents.device, latents.dtype),
            return_dict=False,
        )[0]
        return _unpack(pipe, velocity, height, width)


class QwenImage(FlowFamily):
    """Qwen-Image (Wu et al. 2025, arXiv 2508.02324), whose prompts are as long as their text."""

    name = "qwenimage"
    version, architecture = "qwen-image", "Qwen-Image"
    layers: ClassVar = {
        "attention": _JOINT_ATTENTION,
        "blocks": ("img_mlp.net.0.proj", "img_mlp.net.2", "txt_mlp.net.0.proj", "txt_mlp.net.2"),
    }

    def encode(self, pipe: Any, text: str, device: str) -> EncodedPrompt:
        states, _ = pipe.encode_prompt(text, device=device)
        return {"prompt_embeds": states}

    def collate(self, prompts: Sequence[EncodedPrompt], device: str) -> dict[str, Any]:
        import torch
        from torch.nn.utils.rnn import pad_sequence

        rows = [prompt["prompt_embeds"][0].to(device) for prompt in prompts]
        masks = [torch.ones(len(row), dtype=torch.long, device=device) for row in rows]
        return {
            "prompt_embeds": pad_sequence(rows, batch_first=True),
            "prompt_embeds_mask": pad_sequence(masks, batch_first=True),
        }

    def predict(self, pipe: Any, transformer: Any, latents: Tensor, levels: Tensor, prompts: dict[str, Any]) -> Tensor:
        import torch

        count, channels, height, width = latents.shape
        guided, mask = transformer.config.guidance_embeds, prompts["prompt_embeds_mask"]
        velocity = transformer(
            hidden_states=pipe._pack_latents(latents, count, channels, height, width),
            timestep=levels,
            guidance=torch.full_like(levels, GUIDANCE) if guided else None,
            encoder_hidden_states=prompts["prompt_embeds"],
            encoder_hidden_states_mask=None if bool(mask.all()) else mask,
            img_shapes=[[(1, height // 2, width // 2)]] * count,
            return_dict=False,
        )[0]
        return _unpack(pipe, velocity, height, width).squeeze(2)


class ZImage(FlowFamily):
    """Z-Image, which takes lists of images and prompts, counts time backwards and predicts the opposite velocity."""

    name = "z-image"
    version, architecture = "z-image", "Z-Image"
    layers: ClassVar = {
        "attention": _ATTENTION,
        "blocks": ("feed_forward.w1", "feed_forward.w2", "feed_forward.w3"),
    }

    def encode(self, pipe: Any, text: str, device: str) -> EncodedPrompt:
        states, _ = pipe.encode_prompt([text], device=device, do_classifier_free_guidance=False)
        return {"prompt_embeds": states[0]}

    def collate(self, prompts: Sequence[EncodedPrompt], device: str) -> dict[str, Any]:
        return {"prompt_embeds": [prompt["prompt_embeds"].to(device) for prompt in prompts]}

    def predict(self, pipe: Any, transformer: Any, latents: Tensor, levels: Tensor, prompts: dict[str, Any]) -> Tensor:  # noqa: ARG002
        import torch

        rows = list(latents.unsqueeze(2).unbind(0))
        outputs = transformer(rows, 1 - levels, prompts["prompt_embeds"], return_dict=False)[0]
        return -torch.stack([*outputs]).squeeze(2)


class Sana(FlowFamily):
    """Sana (Xie et al. 2024, arXiv 2410.10629), whose feed-forward layers are convolutions."""

    name = "sana"
    version, architecture = "sana", "Sana"
    patch = 1
    layers: ClassVar = {
        "attention": _ATTENTION,
        "blocks": ("ff.conv_inverted", "ff.conv_point"),
    }

    def encode(self, pipe: Any, text: str, device: str) -> EncodedPrompt:
        instruction = families.default_of(pipe, "complex_human_instruction") if text else None
        states, mask, _, _ = pipe.encode_prompt(
            text, do_classifier_free_guidance=False, device=device, complex_human_instruction=instruction
        )
        return {"prompt_embeds": states, "prompt_attention_mask": mask}

    def predict(self, pipe: Any, transformer: Any, latents: Tensor, levels: Tensor, prompts: dict[str, Any]) -> Tensor:  # noqa: ARG002
        velocity: Tensor = transformer(
            latents,
            encoder_hidden_states=prompts["prompt_embeds"],
            encoder_attention_mask=prompts["prompt_attention_mask"],
            timestep=levels * _TIMES * transformer.config.timestep_scale,
            return_dict=False,
        )[0]
        return velocity.chunk(velocity.shape[1] // latents.shape[1], dim=1)[0]


def _unpack(pipe: Any, latents: Tensor, height: int, width: int) -> Tensor:
    factor = scale_factor_of(pipe)
    unpacked: Tensor = pipe._unpack_latents(latents, height * factor, width * factor, factor)
    return unpacked


FLOW_FAMILIES: Mapping[str, FlowFamily] = {
    "StableDiffusion3Pipeline": StableDiffusion3(),
    "FluxPipeline": Flux(),
    "QwenImagePipeline": QwenImage(),
    "ZImagePipeline": ZImage(),
    "SanaPipeline": Sana(),
}
"""Families by the class of their pipeline."""
