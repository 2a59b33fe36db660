"""Metadata of a LoRA or an embedding: what was trained, in the keys of kohya's scripts (`ss_…`) and of the model
specification.

No value holds a path of this computer. The same training gives the same metadata, so there is no date.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .caption_options import CaptionOptions, split_tags
from .dataset import LoadedImages
from .flow_model import FlowModel
from .model_card import TrainingSummary
from .objective import TimestepSampling
from .presets import Settings
from .sdxl_components import SdxlComponents
from .small_model import Components
from .trainable_model import TrainableModel

_SD2_TEXT_WIDTH = 1024
_MAX_TAGS = 1000
"""Number of the commonest tags of a folder that are written."""
_ADDITIONS = {"lora": "lora", "embedding": "textual-inversion"}
_TIMESTEP_SAMPLING: Mapping[TimestepSampling, str] = {
    "shifted": "flux_shift",
    "logit_normal": "sigmoid",
    "uniform": "uniform",
}
_OPTIMIZERS = {
    "adamw": "torch.optim.adamw.AdamW",
    "adamw8bit": "bitsandbytes.optim.adamw.AdamW8bit",
    "adafactor": "torch.optim.adafactor.Adafactor",
    "lion": "lion_pytorch.lion_pytorch.Lion",
    "prodigy": "prodigyopt.prodigy.Prodigy",
}


def build_metadata(
    settings: Settings, summary: TrainingSummary, images: LoadedImages, captions: CaptionOptions, model: TrainableModel
) -> dict[str, str]:
    """Build the metadata of a file. All values are text, as the format asks for."""
    options, objective = settings.options, settings.options.objective
    own = [subject for subject in images.subjects if not subject.is_regularisation]
    rate = f"{settings.learning_rate:g}"
    text_rate = f"{settings.learning_rate * options.text_encoder_rate:g}" if settings.trains_text_encoder else "None"
    base = _describe_base(model)
    values: dict[str, object] = {
        "ss_output_name": summary.title,
        "ss_base_model_version": base.version,
        "ss_sd_model_name": Path(summary.base).name,
        "ss_v2": base.is_sd2,
        **(_describe_network(settings) if settings.kind == "lora" else {}),
        "ss_num_train_images": sum(subject.repeats for subject in own),
        "ss_num_reg_images": len(images.subjects) - len(own),
        "ss_steps": summary.state.step,
        "ss_max_train_steps": settings.steps,
        "ss_total_batch_size": settings.batch * options.accumulation,
        "ss_batch_size_per_device": settings.batch,
        "ss_gradient_accumulation_steps": options.accumulation,
        "ss_gradient_checkpointing": options.checkpointing,
        "ss_learning_rate": rate,
        "ss_unet_lr": "None" if settings.kind == "embedding" else rate,
        "ss_text_encoder_lr": text_rate,
        "ss_lr_scheduler": settings.schedule,
        "ss_lr_warmup_steps": settings.build_schedule().warm_up,
        "ss_optimizer": _OPTIMIZERS[options.optimizer],
        "ss_seed": summary.seed,
        "ss_resolution": f"({summary.size}, {summary.size})",
        "ss_enable_bucket": any(pixels.shape[0] != pixels.shape[1] for pixels in images.pixels),
        "ss_caption_dropout_rate": captions.dropout,
        "ss_shuffle_caption": captions.shuffle,
        "ss_keep_tokens": captions.keep_tokens,
        "ss_noise_offset": objective.noise_offset or "None",
        "ss_min_snr_gamma": f"{objective.gamma:g}" if objective.weighting == "min_snr" else "None",
        "ss_debiased_estimation": objective.weighting == "debiased",
        "ss_tag_frequency": json.dumps(count_tags(images, captions), ensure_ascii=False),
        "ss_dataset_dirs": json.dumps(_describe_folders(images), ensure_ascii=False),
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{base.architecture}/{_ADDITIONS[settings.kind]}",
        "modelspec.implementation": "https://github.com/huggingface/diffusers",
        "modelspec.title": summary.title,
        "modelspec.resolution": f"{summary.size}x{summary.size}",
    }
    if base.prediction:
        values["modelspec.prediction_type"] = base.prediction
    else:
        values["ss_weighting_scheme"] = "none"
        values["ss_timestep_sampling"] = _TIMESTEP_SAMPLING[objective.timesteps]
    if options.precision != "auto":
        values["ss_mixed_precision"] = "bf16" if options.precision == "bfloat16" else "no"
    if captions.trigger.strip():
        values["modelspec.trigger_phrase"] = " ".join(captions.trigger.split())
    return {name: value if isinstance(value, str) else str(value) for name, value in values.items()}


def count_tags(images: LoadedImages, captions: CaptionOptions) -> dict[str, dict[str, int]]:
    """Count the tags of the training images by the name of their folder, the commonest first."""
    counts: dict[str, Counter[str]] = {}
    for subject in images.subjects:
        if not subject.is_regularisation:
            tags = split_tags(captions.complete(subject.noun))
            counts.setdefault(subject.path.parent.name, Counter()).update(tags)
    return {folder: dict(tags.most_common(_MAX_TAGS)) for folder, tags in counts.items()}


def _describe_folders(images: LoadedImages) -> dict[str, Mapping[str, int]]:
    folders: dict[str, dict[str, int]] = {}
    for subject in images.subjects:
        entry = folders.setdefault(subject.path.parent.name, {"n_repeats": subject.repeats, "img_count": 0})
        entry["img_count"] += 1
    return {**folders}


def _describe_network(settings: Settings) -> dict[str, object]:
    adapter = settings.adapter
    return {
        "ss_network_module": "networks.lora" if adapter.type == "lora" else "lycoris.kohya",
        "ss_network_dim": adapter.rank,
        "ss_network_alpha": f"{adapter.scale_alpha:g}",
        "ss_network_dropout": adapter.dropout or "None",
        "ss_network_args": json.dumps(_network_arguments(settings)),
    }


def _network_arguments(settings: Settings) -> dict[str, str]:
    adapter = settings.adapter
    arguments: dict[str, str] = {}
    if adapter.layers == "convolutions":
        arguments |= {"conv_dim": str(adapter.scale_conv_rank), "conv_alpha": f"{adapter.scale_conv_alpha:g}"}
    if adapter.type != "lora":
        arguments["algo"] = "lora" if adapter.type == "dora" else adapter.type
    if adapter.type == "dora":
        arguments["dora_wd"] = "True"
    return arguments


@dataclass(frozen=True)
class _Base:
    """Names of a base model. `prediction` is empty for models that learn by flow matching."""

    version: str
    architecture: str
    prediction: str = ""
    is_sd2: bool = False


def _describe_base(model: TrainableModel) -> _Base:
    if isinstance(model, FlowModel):
        return _Base(model.family.version, model.family.architecture)
    assert isinstance(model, Components)
    is_velocity = model.scheduler.config.prediction_type == "v_prediction"
    prediction = "v" if is_velocity else "epsilon"
    if isinstance(model, SdxlComponents):
        return _Base("sdxl_base_v1-0", "stable-diffusion-xl-v1-base", prediction)
    suffix = "_v" if is_velocity else ""
    if model.unet.config.cross_attention_dim != _SD2_TEXT_WIDTH:
        return _Base(f"sd_v1{suffix}", "stable-diffusion-v1", prediction)
    architecture = "stable-diffusion-v2-768-v" if is_velocity else "stable-diffusion-v2-512"
    return _Base(f"sd_v2{suffix}", architecture, prediction, is_sd2=True)
