"""A small diffusion model in the classes of diffusers and transformers: tokenizer, text encoder, UNet, noise schedule.

It is saved as an ordinary `StableDiffusionPipeline` folder. The noise schedule is that of Stable Diffusion with
velocity prediction, rescaled to zero terminal SNR (Lin et al. 2024, arXiv 2305.08891).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from ..models.latents import encode, to_autoencoder_scale, to_denoiser_scale
from .adapter import UNET_LAYERS, Layers
from .objective import Objective, choose_prediction_target
from .trainable_model import Frame, TrainableModel

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, DDIMScheduler, ModelMixin, UNet2DConditionModel
    from torch import Tensor, nn
    from transformers import CLIPTextModel, CLIPTokenizer, PreTrainedModel, PreTrainedTokenizerBase

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
MAX_TOKENS = 24
"""Length of the longest prompt, with its begin and end."""
VOCABULARY_SIZE = 4096
VOCABULARY, MERGES = "vocab.json", "merges.txt"


@dataclass(frozen=True)
class NetworkSize:
    """Sizes of the networks.

    `widths` are the UNet's channels from the outer level to the inner. All levels but the outer one have attention.
    The outer level takes most of the time, the inner one has most of the weights.
    """

    widths: tuple[int, int, int]
    text_width: int
    text_layers: int
    groups: int = 16
    heads: int = 4


NETWORK_SIZES: Mapping[str, NetworkSize] = {
    "tiny": NetworkSize((8, 8, 16), 16, 1, groups=4, heads=2),
    "small": NetworkSize((32, 64, 128), 128, 2),
    "medium": NetworkSize((64, 128, 256), 256, 4, heads=8),
}


@dataclass
class Components(TrainableModel):
    """The components of a pipeline with a UNet, without the autoencoder."""

    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    unet: UNet2DConditionModel
    scheduler: DDIMScheduler

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"text_encoder": self.text_encoder, "unet": self.unet}

    @property
    def denoiser(self) -> UNet2DConditionModel:
        return self.unet

    @property
    def layer_names(self) -> Mapping[Layers, tuple[str, ...]]:
        return UNET_LAYERS

    def conditioning(self, texts: list[str], frames: Sequence[Frame | None], device: str) -> dict[str, Any]:  # noqa: ARG002
        """Return the UNet's arguments for n captions, and the frames of their images, which only SDXL uses."""
        tokens = tokenize(self.tokenizer, texts).to(device)
        return {"encoder_hidden_states": self.text_encoder(tokens).last_hidden_state}

    def draw_times(self, fractions: Tensor, objective: Objective, side: tuple[int, int]) -> Tensor:  # noqa: ARG002
        total: int = self.scheduler.config.num_train_timesteps
        return (fractions * total).long().clamp(max=total - 1)

    def predict(
        self, latents: Tensor, noise: Tensor, times: Tensor, texts: list[str], frames: Sequence[Frame | None]
    ) -> Tensor:
        conditioning = self.conditioning(texts, frames, str(latents.device))
        noisy = self.scheduler.add_noise(latents, noise, times)
        output: Tensor = self.unet(noisy, times, **conditioning).sample
        return output

    def choose_target(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        return choose_prediction_target(self.scheduler, latents, noise, times)

    def weigh(self, objective: Objective, times: Tensor) -> Tensor | None:
        return objective.weigh(self.scheduler, times)

    def render(self, prompts: Sequence[str], vae: AutoencoderKL, side: int, ctx: api.Context) -> Tensor:
        import torch

        shape = (len(prompts), self.unet.config.in_channels, side, side)
        noise = torch.randn(shape, generator=ctx.generator())
        latents = sample_latents(self, [*prompts], noise, device=ctx.device)
        return decode_latents(vae, latents).cpu()


def build_components(captions: Iterable[str], size: NetworkSize, channels: int, side: int, folder: Path) -> Components:
    """Build untrained networks for latents [channels, side, side].

    The vocabulary is that of `folder`, where a training that resumes has stored it; else it is trained on the captions
    and stored there. The weights follow from torch's seed.
    """
    tokenizer = load_tokenizer(folder) if (folder / MERGES).is_file() else train_tokenizer(captions, folder)
    unet = build_unet(size, channels, side)
    tokens = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    return Components(tokenizer, build_text_encoder(size, len(tokenizer), **tokens), unet, build_noise_scheduler())


def build_unet(size: NetworkSize, channels: int, side: int) -> UNet2DConditionModel:
    """Build an untrained UNet for latents [channels, side, side]."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=size.widths,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=size.text_width,
        attention_head_dim=size.heads,
        norm_num_groups=size.groups,
    )


def build_text_encoder(size: NetworkSize, vocabulary: int, **tokens: int) -> CLIPTextModel:
    """Build an untrained text encoder for a vocabulary of so many tokens. `tokens` are the ids of special ones."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=size.text_width,
        intermediate_size=2 * size.text_width,
        num_hidden_layers=size.text_layers,
        num_attention_heads=size.heads,
        max_position_embeddings=MAX_TOKENS,
        projection_dim=size.text_width,
        hidden_act="gelu",
        **tokens,
    )
    return CLIPTextModel(config)


def build_noise_scheduler() -> DDIMScheduler:
    """Build the noise schedule of Stable Diffusion, of 1,000 steps, with zero terminal SNR."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
    )


def train_tokenizer(captions: Iterable[str], folder: Path) -> CLIPTokenizer:
    """Build a CLIP tokenizer whose byte-pair vocabulary is trained on captions and saved into a folder.

    The same captions in any order give the same vocabulary.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=END))
    learner.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(), pre_tokenizers.ByteLevel(False, False, False)]
    )
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        # Every letter gets its number in advance. Otherwise it would depend on the order of a hash map.
        special_tokens=[BEGIN, END, *letters, *(f"{letter}</w>" for letter in letters)],
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    learner.train_from_iterator(sorted(captions), trainer)
    model = json.loads(learner.to_str())["model"]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    with api.atomic_write(folder / VOCABULARY) as file:
        file.write_text(json.dumps(model["vocab"], ensure_ascii=False), encoding="utf-8")
    with api.atomic_write(folder / MERGES) as file:
        file.write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")
    return load_tokenizer(folder)


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    """Load the tokenizer that `train_tokenizer` has saved into a folder."""
    from transformers import CLIPTokenizer

    return CLIPTokenizer(
        str(folder / VOCABULARY),
        str(folder / MERGES),
        unk_token=END,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=END,
        model_max_length=MAX_TOKENS,
    )


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> Tensor:
    """Return the token ids [n, model_max_length] of texts, padded and truncated."""
    tokens: Tensor = tokenizer(
        texts, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
    ).input_ids
    return tokens


def save_pipeline(components: Components, folder: Path, vae: AutoencoderKL | None = None) -> None:
    """Write float16 weights and `model_index.json`. Without `vae`, the autoencoder is named there and not written."""
    import diffusers

    for name in ("tokenizer", "scheduler"):
        getattr(components, name).save_pretrained(folder / name)
    for name, network in (("text_encoder", components.text_encoder), ("unet", components.unet), ("vae", vae)):
        if network is not None:
            _to_half_precision(network).save_pretrained(folder / name)
            _remove_source_path(folder / name / "config.json")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": diffusers.__version__,
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", type(components.scheduler).__name__],
        "text_encoder": ["transformers", type(components.text_encoder).__name__],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", type(components.unet).__name__],
        "vae": ["diffusers", type(vae).__name__ if vae is not None else "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def sample_latents(
    components: Components,
    prompts: list[str],
    noise: Tensor,
    *,
    steps: int = 20,
    guidance: float = 4.0,
    device: str = "cpu",
) -> Tensor:
    """Sample latents [n, c, s, s] for prompts from noise of that shape, by DDIM with classifier-free guidance."""
    import torch

    scheduler = type(components.scheduler).from_config(components.scheduler.config)
    scheduler.set_timesteps(steps)
    with torch.no_grad():
        conditioning = components.conditioning(["" for _ in prompts] + prompts, [None] * 2 * len(prompts), device)
        latents = noise.to(device)
        for time in scheduler.timesteps:
            output = components.unet(torch.cat([latents] * 2), time.to(device), **conditioning).sample
            unconditional, conditional = output.chunk(2)
            guided = unconditional + guidance * (conditional - unconditional)
            latents = scheduler.step(guided, time, latents).prev_sample
    return latents


def decode_latents(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Decode latents at the UNet's scale to images [n, 3, h, w] in -1..1."""
    import torch

    with torch.no_grad():
        images: Tensor = vae.decode(to_autoencoder_scale(latents, vae)).sample.float().clamp(-1, 1)
    return images


def encode_images(vae: AutoencoderKL, images: Tensor) -> Tensor:
    """Encode images [n, 3, h, w] in -1..1 to latents at the denoiser's scale, using the mean without sampling."""
    import torch

    with torch.no_grad():
        return to_denoiser_scale(encode(images, vae).float(), vae)


def write_component_names(folder: Path, starters: Mapping[str, str]) -> None:
    """Write into `studio.json` which starters provide the components that are not in the folder."""
    text = json.dumps({"components": dict(starters)}, indent=2)
    (folder / "studio.json").write_text(text + "\n", encoding="utf-8")


def _remove_source_path(config: Path) -> None:
    """Remove the folder that a network was once loaded from, which diffusers writes down and nobody else has."""
    values = json.loads(config.read_bytes())
    if values.pop("_name_or_path", None) is not None:
        config.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _to_half_precision(network: ModelMixin | PreTrainedModel) -> ModelMixin | PreTrainedModel:
    return copy.deepcopy(network).cpu().half()
