"""A small diffusion model in diffusers' and transformers' own classes: words, text encoder, UNet, noise schedule.

It is an ordinary `StableDiffusionPipeline` folder. The noise schedule is that of Stable Diffusion with
velocity prediction and rescaled to no signal at its end (Lin et al. 2024, arXiv 2305.08891).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
TOKENS = 24
"""The longest prompt, its begin and end included."""
VOCABULARY = 4096
Frame = tuple[int, int, int, int]
"""Where a picture comes from, in px: the height and the width of the whole, and how far down and across in it, once it
is made smaller, the picture begins."""


@dataclass(frozen=True)
class NetworkSize:
    """Sizes of the networks. `widths` are the UNet's channels from the outer level to the inner; all but the outer
    have attention. Most of the time goes into the outer level, most of the weights into the inner."""

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
class Components:
    """What a pipeline is made of but for the autoencoder."""

    tokenizer: Any
    text_encoder: Any
    unet: Any
    scheduler: Any

    @property
    def networks(self) -> dict[str, nn.Module]:
        """What learns, or is read by what does, by the names of the fields."""
        return {"text_encoder": self.text_encoder, "unet": self.unet}

    @property
    def network(self) -> nn.ModuleDict:
        from torch import nn

        return nn.ModuleDict(self.networks)

    def told(self, texts: list[str], frames: Sequence[Frame | None], device: str) -> dict[str, Any]:  # noqa: ARG002
        """What the UNet is called with beside latents and times, for n captions and the frames of n pictures."""
        words = tokenize(self.tokenizer, texts).to(device)
        return {"encoder_hidden_states": self.text_encoder(words).last_hidden_state}


def build_components(captions: Iterable[str], shape: NetworkSize, channels: int, side: int, folder: Path) -> Components:
    """New networks for latents [channels, side, side], random by torch's seed; `folder` takes the vocabulary."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    tokenizer = train_tokenizer(captions, folder)
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.text_width,
        intermediate_size=2 * shape.text_width,
        num_hidden_layers=shape.text_layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=TOKENS,
        projection_dim=shape.text_width,
        hidden_act="gelu",
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    unet = UNet2DConditionModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=shape.widths,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=shape.text_width,
        attention_head_dim=shape.heads,
        norm_num_groups=shape.groups,
    )
    return Components(tokenizer, CLIPTextModel(text), unet, build_noise_scheduler())


def build_noise_scheduler() -> Any:
    """A thousand steps of Stable Diffusion's schedule, without signal at the last."""
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


def train_tokenizer(captions: Iterable[str], folder: Path) -> Any:
    """A CLIP tokenizer whose byte-pair vocabulary is learnt from the captions: the same for the same captions."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=END))
    learner.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(), pre_tokenizers.ByteLevel(False, False, False)]
    )
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        # Every letter is given its number beforehand: otherwise it depends on the order of a hash map.
        special_tokens=[BEGIN, END, *letters, *(f"{letter}</w>" for letter in letters)],
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    learner.train_from_iterator(sorted(captions), trainer)
    model = json.loads(learner.to_str())["model"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False), encoding="utf-8")
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")
    return CLIPTokenizer(
        str(folder / "vocab.json"),
        str(folder / "merges.txt"),
        unk_token=END,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=END,
        model_max_length=TOKENS,
    )


def tokenize(tokenizer: Any, texts: list[str]) -> Tensor:
    """[n, model_max_length]; what is longer is cut."""
    found: Tensor = tokenizer(
        texts, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
    ).input_ids
    return found


def save_pipeline(parts: Components, folder: Path, vae: Any = None) -> None:
    """Writes float16 weights and `model_index.json`. Without `vae` the autoencoder is named there and not written."""
    import diffusers

    for name in ("tokenizer", "scheduler"):
        getattr(parts, name).save_pretrained(folder / name)
    for name, network in (("text_encoder", parts.text_encoder), ("unet", parts.unet), ("vae", vae)):
        if network is not None:
            _half(network).save_pretrained(folder / name)
            _forget_where_from(folder / name / "config.json")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": diffusers.__version__,
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", type(parts.scheduler).__name__],
        "text_encoder": ["transformers", type(parts.text_encoder).__name__],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", type(parts.unet).__name__],
        "vae": ["diffusers", type(vae).__name__ if vae is not None else "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def sample_latents(
    parts: Components, prompts: list[str], noise: Tensor, *, steps: int = 20, guidance: float = 4.0, device: str = "cpu"
) -> Tensor:
    """Latents [n, c, s, s] for prompts from noise of that shape, by DDIM with classifier-free guidance."""
    import torch

    scheduler = type(parts.scheduler).from_config(parts.scheduler.config)
    scheduler.set_timesteps(steps)
    with torch.no_grad():
        told = parts.told(["" for _ in prompts] + prompts, [None] * 2 * len(prompts), device)
        latents = noise.to(device)
        for time in scheduler.timesteps:
            plain, led = parts.unet(torch.cat([latents] * 2), time.to(device), **told).sample.chunk(2)
            latents = scheduler.step(plain + guidance * (led - plain), time, latents).prev_sample
    return latents


def _forget_where_from(config: Path) -> None:
    """diffusers writes down the folder that a network was once loaded from, which nobody else has."""
    told = json.loads(config.read_text("utf-8"))
    if told.pop("_name_or_path", None) is not None:
        config.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def _half(network: Any) -> Any:
    import copy

    return copy.deepcopy(network).cpu().half()


def decode_latents(vae: Any, latents: Tensor) -> Tensor:
    """Pictures [n, 3, h, w] in -1..1 of latents as the UNet sees them."""
    import torch

    with torch.no_grad():
        inside = latents / vae.config.scaling_factor + (getattr(vae.config, "shift_factor", None) or 0.0)
        pictures: torch.Tensor = vae.decode(inside.to(vae.dtype)).sample.float().clamp(-1, 1)
    return pictures


def encode_images(vae: Any, pictures: Tensor) -> Tensor:
    """Latents as the UNet sees them, of pictures [n, 3, h, w] in -1..1: the mean, without sampling."""
    import torch

    with torch.no_grad():
        inside = vae.encode(pictures.to(vae.dtype)).latent_dist.mean
        moved = inside.float() - (getattr(vae.config, "shift_factor", None) or 0.0)
        latents: torch.Tensor = moved * vae.config.scaling_factor
    return latents


def write_component_names(folder: Path, borrowed: Mapping[str, str]) -> None:
    """Says in `studio.json` which starters lend the components that are not in the folder."""
    text = json.dumps({"components": dict(borrowed)}, indent=2)
    (folder / "studio.json").write_text(text + "\n", encoding="utf-8")
