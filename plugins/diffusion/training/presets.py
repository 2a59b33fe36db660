"""Presets for LoRAs and textual inversions, and the settings that follow from a preset and what the artist has set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from studio import api

from . import optimizers
from .adapter import ADAPTER_LABELS, AdapterOptions, AdapterType, Layers
from .frozen_weights import STORAGE_LABELS, Storage
from .objective import Objective, Weighting
from .options import LAYER_LABELS, DiffusionTrainingParams, Purpose
from .textual_inversion import InversionOptions
from .trainer import TrainerOptions

TrainingKind = Literal["new", "full", "lora", "embedding"]
SMALL_CARD_PARTS = 4
"""Number of parts that a step is computed in on a small card."""


@dataclass(frozen=True)
class Preset(api.training.TrainingDefaults):
    """Defaults of a training. They apply where the artist leaves a field empty."""

    rank: int = 8
    alpha_fraction: float = 1.0
    """Alpha as a fraction of the rank."""
    layers: Layers = "attention"
    text_encoder: bool = False
    weighting: Weighting = "none"
    vectors: int = 2
    """Number of vectors of a textual inversion."""


PRESETS: Mapping[Purpose, Preset] = {
    "none": Preset(1000, 4, 2e-4),
    "person": Preset(1500, 4, 1e-4, 16, 0.5, "blocks", text_encoder=True, weighting="min_snr"),
    "style": Preset(2500, 4, 1e-4, 32, 0.5, "convolutions", weighting="min_snr"),
    "concept": Preset(2000, 4, 1e-4, 16, 0.5, "blocks", text_encoder=True, weighting="min_snr"),
}
INVERSION_PRESETS: Mapping[Purpose, Preset] = {
    "none": Preset(2000, 4, 2e-3),
    "person": Preset(3000, 4, 2e-3, weighting="min_snr", vectors=4),
    "style": Preset(3000, 4, 2e-3, weighting="min_snr", vectors=6),
    "concept": Preset(2000, 4, 2e-3, weighting="min_snr", vectors=2),
}
OTHER_KINDS: Mapping[str, Preset] = {
    "new": Preset(15_000, 64, 1e-3, text_encoder=True),
    "full": Preset(5000, 64, 5e-4, text_encoder=True),
}


@dataclass(frozen=True)
class Settings(api.training.TrainingDefaults):
    """Everything that a training is run with."""

    kind: TrainingKind = "lora"
    purpose: Purpose = "none"
    adapter: AdapterOptions = field(default_factory=AdapterOptions)
    inversion: InversionOptions = field(default_factory=InversionOptions)
    trains_text_encoder: bool = False
    options: TrainerOptions = field(default_factory=TrainerOptions)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warm_up: float | None = None

    @property
    def addition(self) -> AdapterOptions | InversionOptions | None:
        """The form of what is added to a base model; None where the model itself is trained."""
        match self.kind:
            case "lora":
                return self.adapter
            case "embedding":
                return self.inversion
            case _:
                return None

    def build_schedule(self) -> api.training.LearningRateSchedule:
        """Build the schedule. Without an own fraction, a tenth of the steps warms up, but no more than 200."""
        warm_up = min(200, self.steps // 10) if self.warm_up is None else round(self.warm_up * self.steps)
        return api.training.LearningRateSchedule(self.steps, self.learning_rate, self.schedule, warm_up)

    def describe_automatic(self, params: DiffusionTrainingParams) -> dict[str, str]:
        """Return the values that the fields have that were left empty or to the preset, in words by field."""
        adapter, options = self.adapter, self.options
        used = {
            "steps": f"{self.steps:,}",
            "batch": f"{self.batch}",
            "learning_rate": f"{self.learning_rate:g}",
            "accumulation": f"{options.accumulation}",
            "checkpointing": "on" if options.checkpointing else "off",
            "weighting": {"none": "none", "min_snr": "min-SNR", "debiased": "debiased"}[options.objective.weighting],
            "text_encoder": "on" if self.trains_text_encoder else "off",
        }
        if self.kind == "lora":
            used |= {
                "rank": f"{adapter.rank}",
                "alpha": f"{adapter.scale_alpha:g}",
                "layers": LAYER_LABELS[get_args(Layers).index(adapter.layers)].lower(),
            }
        if self.kind == "embedding":
            used["vectors"] = f"{self.inversion.vectors}"
        return {name: value for name, value in used.items() if getattr(params, name) in (None, "preset")}

    def note(self, ctx: api.Context) -> None:
        """Note what the fields that were left empty mean, for the model card."""
        adapter, options = self.adapter, self.options
        used: dict[str, object] = {"steps": self.steps, "batch": self.batch, "learning_rate": self.learning_rate}
        used |= {
            "accumulation": options.accumulation,
            "checkpointing": "on" if options.checkpointing else "off",
            "weighting": options.objective.weighting,
            "text_encoder": "on" if self.trains_text_encoder else "off",
        }
        if self.kind == "lora":
            used |= {"rank": adapter.rank, "alpha": adapter.scale_alpha, "layers": adapter.layers}
            used["adapter"] = adapter.type
        if self.kind == "embedding":
            used["vectors"] = self.inversion.vectors
        ctx.note("numbers", used)

    def describe(self) -> dict[str, str]:
        """Return the settings in words, for the notice and the model card."""
        options, adapter = self.options, self.adapter
        rows = {
            "Steps": f"{self.steps:,}",
            "Batch size": f"{self.batch}" + (f" × {options.accumulation}" if options.accumulation > 1 else ""),
            "Learning rate": f"{self.learning_rate:g}, {self.schedule}",
            "Optimizer": optimizers.OPTIMIZER_LABELS[get_args(optimizers.OptimizerName).index(options.optimizer)],
        }
        if self.kind == "lora":
            rows |= {
                "Type": ADAPTER_LABELS[get_args(AdapterType).index(adapter.type)],
                "Rank": f"{adapter.rank}, alpha {adapter.scale_alpha:g}",
                "Layers": LAYER_LABELS[get_args(Layers).index(adapter.layers)],
            }
            if adapter.layers == "convolutions" and (adapter.conv_rank or adapter.conv_alpha):
                rows["Convolutions"] = f"rank {adapter.scale_conv_rank}, alpha {adapter.scale_conv_alpha:g}"
            if options.storage != "full":
                rows["Base model"] = STORAGE_LABELS[get_args(Storage).index(options.storage)]
        if self.kind == "embedding":
            rows["Vectors"] = f"{self.inversion.vectors}" + (", of constant length" * self.inversion.keep_norm)
            rows["Initial word"] = self.inversion.init_word.strip() or "none"
        if self.trains_text_encoder:
            rows["Text encoder"] = f"learning rate {self.learning_rate * options.text_encoder_rate:g}"
        if options.objective.weighting == "min_snr":
            rows["Loss weighting"] = f"min-SNR γ {options.objective.gamma:g}"
        elif options.objective.weighting == "debiased":
            rows["Loss weighting"] = "debiased estimation"
        if options.objective.noise_offset:
            rows["Noise offset"] = f"{options.objective.noise_offset:g}"
        if options.checkpointing:
            rows["Gradient checkpointing"] = "on"
        return rows

    def with_base(self, adapter: AdapterOptions, storage: Storage, weighting: Weighting) -> Settings:
        """Return a copy with what the base model and a LoRA that the training goes on from allow."""
        objective = replace(self.options.objective, weighting=weighting)
        options = replace(self.options, storage=storage, objective=objective)
        return replace(self, adapter=adapter, trains_text_encoder=adapter.text_encoder, options=options)

    def with_vectors(self, count: int) -> Settings:
        """Return a copy with the number of vectors of a textual inversion that the training goes on from."""
        return replace(self, inversion=replace(self.inversion, vectors=count))


def _choose_preset(kind: TrainingKind, purpose: Purpose) -> Preset:
    match kind:
        case "lora":
            return PRESETS[purpose]
        case "embedding":
            return INVERSION_PRESETS[purpose]
        case _:
            return OTHER_KINDS[kind]


def resolve(kind: TrainingKind, params: DiffusionTrainingParams) -> Settings:
    """Return the settings: what the artist has set, and the values of the preset for what was left empty."""
    preset = _choose_preset(kind, params.purpose)
    is_small, is_inversion = params.card == "small", kind == "embedding"
    if is_small:
        text_encoder = preset.text_encoder and kind != "lora"
        preset = replace(preset, batch=max(1, preset.batch // SMALL_CARD_PARTS), text_encoder=text_encoder)
    if params.optimizer == "prodigy":
        preset = replace(preset, learning_rate=optimizers.PRODIGY_RATE)
    else:
        factor = optimizers.RATE_FACTORS.get(params.optimizer, 1.0)
        preset = replace(preset, learning_rate=preset.learning_rate * factor)
    numbers = preset.override(params)
    text_encoder = {"on": not is_inversion, "off": False}.get(params.text_encoder, preset.text_encoder)
    rank = params.rank or preset.rank
    adapter = AdapterOptions(
        params.adapter,
        rank,
        params.alpha or rank * preset.alpha_fraction,
        params.dropout,
        preset.layers if params.layers == "preset" else params.layers,
        params.conv_rank,
        params.conv_alpha,
        text_encoder,
    )
    weighting = preset.weighting if params.weighting == "preset" else params.weighting
    rate = params.text_encoder_rate / numbers.learning_rate if params.text_encoder_rate else 0.5
    options = TrainerOptions(
        objective=Objective(weighting, params.snr_gamma, params.noise_offset, params.timesteps),
        optimizer=params.optimizer,
        weight_decay=params.weight_decay,
        accumulation=params.accumulation or (SMALL_CARD_PARTS if is_small else 1),
        checkpointing=is_small if params.checkpointing == "preset" else params.checkpointing == "on",
        precision=params.precision,
        text_encoder_rate=rate if kind == "lora" or (params.text_encoder_rate and not is_inversion) else 1.0,
        has_dropout=kind == "lora" and params.dropout > 0,
    )
    return Settings(
        numbers.steps,
        numbers.batch,
        numbers.learning_rate,
        kind=kind,
        purpose=params.purpose,
        adapter=adapter,
        inversion=InversionOptions(params.vectors or preset.vectors, params.init_word, params.keep_norm),
        trains_text_encoder=text_encoder,
        options=options,
        schedule=params.schedule,
        warm_up=params.warm_up,
    )
