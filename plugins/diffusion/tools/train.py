"""Train a diffusion model, fine-tune one, or train a LoRA or a textual inversion, from images and captions."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from studio import api
from studio.api import data_report

from ..models import libraries, loader
from ..models.loader import LoadedAutoencoder
from ..training import (
    base_model,
    buckets,
    dataset,
    forecast,
    latent_dataset,
    lora,
    presets,
    preview_sheet,
    small_model,
    textual_inversion,
)
from ..training.base_model import BaseModel
from ..training.caption_options import CaptionOptions
from ..training.dataset import LoadedImages
from ..training.flow_model import FlowModel
from ..training.latent_dataset import LatentDataset, LossWeights
from ..training.options import DiffusionTrainingParams
from ..training.presets import Settings
from ..training.preview_sheet import PreviewSheet
from ..training.trained_model import TrainedModel
from ..training.trainer import Trainer

MIN_IMAGES = {"new": 8, "full": 8, "lora": 8, "embedding": 3}
"""Number of images that a type of training needs."""
REGULARISATION = "regularisation image"
CHECKPOINT_INTERVAL = 60.0
"""Seconds between two checkpoints."""
DEFAULT_HELD_OUT = 0.1
"""Fraction of the images that are held out for early stopping."""
ADVICE = {
    "new": (
        data_report.Advice(500, "a new model would memorise them. A LoRA of a base model works with so few."),
        data_report.Advice(3000, "a new model will repeat what it has seen. Several thousand are better."),
        data_report.Advice(None, "enough for a small new model.", is_scarce=False),
    ),
    "full": (
        data_report.Advice(200, "fine-tuning would memorise them. A LoRA works with so few."),
        data_report.Advice(None, "enough for fine-tuning.", is_scarce=False),
    ),
    "lora": (
        data_report.Advice(12, "a LoRA will repeat their poses and backgrounds. A dozen or more are better."),
        data_report.Advice(None, "a good number for a LoRA.", is_scarce=False),
    ),
    "embedding": (
        data_report.Advice(5, "a textual inversion will repeat their poses and backgrounds. Five or more are better."),
        data_report.Advice(None, "a good number for a textual inversion.", is_scarce=False),
    ),
}
"""Advice on a number of images, by type of training."""
_TOKENIZER_FOLDER = "vocabulary"


class BaseModelParams(api.Params):
    """The type of training, and its base model."""

    kind: Literal["new", "full", "lora", "embedding"] = api.param(
        "new", title="Training type", labels=("New model", "Fine-tuning", "LoRA", "Textual inversion")
    )
    """A new model is small and learns everything from several thousand images. Fine-tuning continues the training of
    all weights of a base model. A LoRA is a small file for a base model, trained on a dozen images or more. A textual
    inversion is a new word for a base model, trained on five images or more, which changes nothing in the model."""
    model: api.ModelChoice = api.param(loader.STARTER, model="diffusion", title="Base model")
    """For fine-tuning and textual inversions: Stable Diffusion 1 or 2, or a model trained here; textual inversions also
    support XL. LoRAs also support Stable Diffusion XL and 3, FLUX.1, Qwen-Image, Z-Image and Sana."""


class TrainDiffusion(api.Tool):
    """Trains a diffusion model, a LoRA or a textual inversion on your captioned images."""

    id = "diffusion.train"
    title = "Train a model"
    output = "model"
    lane = "training"
    pausable = True
    deterministic = False
    icon = "mdi6.school-outline"

    class Params(DiffusionTrainingParams, BaseModelParams):
        field_order = ("folder", "trigger", "kind", "purpose", "card", "model", "title", "size", "steps")

        folder: api.FolderInput
        """Training images; subfolders are included. The caption of an image is in NAME.txt beside it, in
        captions.jsonl, or in its file name."""
        prompts: list[str] = api.param([], max_items=preview_sheet.MAX_PROMPTS, title="Preview prompts")
        """Images of these prompts show the progress. Leave it empty to use some of the captions."""
        size: Literal[64, 128, 256, 512, 1024] = api.param(128, title="Image size", unit="px")
        """The images are cropped to squares of this size, or scaled to shapes with as many pixels."""
        steps: int | None = api.param(None, ge=1, le=1_000_000, title="Steps")
        """More steps improve the result and take longer. Leave it empty for 15,000 steps for a new model, 5,000 for
        fine-tuning, 2,000 for a textual inversion and 1,000 for a LoRA without a preset."""
        width: Literal["small", "medium", "tiny"] = api.param(
            "small", title="Network size", labels=("Small", "Medium", "Tiny")
        )
        """For a new model. Medium learns more and is several times slower. Tiny is for trying things out."""
        flips: bool = api.param(True, title="Random horizontal flip")
        """Mirrors half of the images, except of subjects with writing or a direction."""
        pairs: int = api.param(4000, ge=0, le=100_000, title="Pair images")
        """Combines images with a transparent background in pairs, to learn prompts such as "a fox and a house on a blue
        ground". Their halves are exchanged during the training, so that a few thousand make millions of pairs."""
        pair_share: float = api.param(
            latent_dataset.PAIR_FRACTION, ge=0, le=0.9, title="Fraction of pair images", advanced=True
        )
        """Fraction of a batch. More pair images teach better to show two subjects, and less what each one is."""
        vae: api.ModelChoice = api.param("vae-spatial", model="autoencoder", title="VAE", advanced=True)
        """The autoencoder of a new model. A starter is referred to by name; any other is copied into the model."""
        batch: int | None = api.param(None, ge=1, le=1024, title="Batch size", advanced=True)
        """Images at once. Leave it empty for 64, or 4 for a LoRA or a textual inversion; a small card has a quarter of
        that."""
        learning_rate: float | None = api.param(None, ge=1e-7, le=1.0, title="Learning rate", advanced=True)
        """Leave it empty for 0.001 for a new model, 0.0005 for fine-tuning, 0.0002 for a LoRA without a preset and
        0.0001 with one, 0.002 for a textual inversion, 1 for Prodigy."""

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate:
        libraries.import_libraries()
        settings = presets.resolve(params.kind, params)
        if params.kind == "lora":
            settings = lora.forecast_settings(params, settings, forecast.find_family(ctx, params.model))
        parts = settings.options.accumulation
        numbers = replace(settings, batch=settings.batch * parts)
        count = forecast.count_images(params)
        if params.epochs and params.steps is None:
            numbers = replace(numbers, steps=max(1, math.ceil(params.epochs * params.repeats * count / numbers.batch)))
        if params.kind == "new":
            cost: api.training.NetworkCost | None = forecast.measure_new_model(params.width, params.size)
            network: str = params.width
        else:
            cost = forecast.measure_base_model(ctx, params.model, params.size, settings.addition)
            network = f"{cost.weights}+{cost.frozen}" if cost else ""
        if cost:
            cost = replace(cost, activations=cost.activations // parts)
        automatic = replace(settings, steps=numbers.steps).describe_automatic(params)
        if "steps" in automatic and count:
            automatic["steps"] += f", {api.training.describe_epochs(numbers.steps * numbers.batch, count)}"
        return api.training.estimate_training(
            params,
            numbers,
            cost,
            rate=f"diffusion.train.{params.kind}.{network}.{params.size}",
            sample_size=params.size**2,
            samples=count,
            notes={"folder": forecast.describe_data(params.kind, count), **automatic},
        )

    def inspect_data(self, params: Params, ctx: data_report.InspectionContext) -> data_report.DataReport:
        has_buckets = params.image_shape == "buckets"
        sources = data_report.list_sources(params, params.size, has_captions=True, crops_centre=not has_buckets)
        if regularisation := _find_regularisation(params):
            sources.append(
                replace(
                    sources[0],
                    folder=regularisation,
                    paths=api.datasets.find_images(regularisation, exclude=params.nested_in(regularisation)),
                    noun=REGULARISATION,
                    excluded=params.excluded_in(regularisation),
                    is_first=False,
                )
            )
        report = data_report.inspect_images(sources, ctx, partial(_find_bucket, params.size) if has_buckets else None)
        if regularisation in (params.folder, *params.more_folders):
            error = api.BadInput("The regularisation images are the training images.", "Choose another folder.")
            report = data_report.refuse(report, error)
        elif regularisation and not report.count_usable(REGULARISATION):
            shortage = api.training.describe_shortage(regularisation, 0, 1, REGULARISATION)
            report = data_report.refuse(report, shortage)
        if params.masks == "folder":
            report = _inspect_masks(params, report, ctx)
        count = report.count_usable("image")
        minimum = MIN_IMAGES[params.kind]
        if count < minimum:
            report = data_report.refuse(report, api.training.describe_shortage(params.folder, count, minimum))
        return data_report.advise(report, count, ADVICE[params.kind])

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        import torch

        if params.kind == "embedding":
            yield from textual_inversion.check_choices(
                params.trigger, params.prompts, has_regularisation=params.regularisation is not None
            )
        yield from data_report.check_data(self, params, ctx)
        images = yield from dataset.read_folders(
            [params.folder, *params.more_folders],
            _describe_reading(params),
            _find_regularisation(params),
            params.excluded_in,
        )
        if images.skipped:
            ctx.note("skipped", images.skipped)
        own = [subject for subject in images.subjects if not subject.is_regularisation]
        api.training.require_samples(params.folder, len(own), MIN_IMAGES[params.kind], "image")
        libraries.import_libraries()
        torch.manual_seed(ctx.seed)
        settings = presets.resolve(params.kind, params)
        base = _prepare_base_model(params, settings, ctx)
        if base and base.adapter:
            settings = yield from lora.fit_settings(params, settings, base, base.adapter, ctx.device)
        if base and params.kind == "embedding":
            settings = settings.with_vectors(textual_inversion.count_vectors(base.components))
        if base:
            yield from _warn_if_small(base, params.size)
        autoencoder = base.autoencoder if base else loader.load_autoencoder(ctx, params.vae)
        is_flow = base is not None and isinstance(base.components, FlowModel)
        latents = yield from _encode_or_load(params, ctx, images, autoencoder, settings.batch, is_flow=is_flow)
        steps_per_epoch = latents.batches_per_epoch / settings.options.accumulation
        if params.epochs and params.steps is None:
            settings = replace(settings, steps=max(1, math.ceil(params.epochs * steps_per_epoch)))
        settings.note(ctx)
        if params.kind in ("lora", "embedding") and params.purpose != "none":
            yield api.Notice(", ".join(f"{name}: {value}" for name, value in settings.describe().items()) + ".")
        prompts = preview_sheet.choose_prompts(params.prompts, own, latents.captions)
        if base:
            yield from base.components.read_texts([*latents.list_captions(), *prompts], ctx)
        trainer = _build_trainer(params, ctx, latents, base, settings)
        trainer.steps_per_epoch, trainer.prompts = steps_per_epoch, prompts
        product = TrainedModel(settings, params.size, ctx.seed, images, latents.captions, autoencoder, base)
        sheet = PreviewSheet(autoencoder.vae, latents.square_side(params.size))

        def preview() -> Iterator[api.Event]:
            trainer.report_held_out_loss()
            with trainer.evaluation() as components:
                yield api.Preview(sheet.render(components, trainer.prompts, ctx))

        def save_model(suffix: str) -> api.Trained:
            return product.write(ctx.scratch / f"model{suffix}", trainer, params.title + suffix)

        yield from trainer.run(
            ctx,
            params,
            preview=preview,
            save_model=save_model,
            memory_error=f"A batch of {settings.batch} images needs more memory than there is.",
            save_every=CHECKPOINT_INTERVAL,
        )
        yield save_model("")


def _find_bucket(side: int, size: api.images.Size) -> api.images.Size:
    height, width = buckets.choose_bucket(size[1], size[0], side)
    return width, height


def _find_regularisation(params: TrainDiffusion.Params) -> Path | None:
    """Return the folder of regularisation images, which a textual inversion could learn nothing from."""
    return params.regularisation if params.kind != "embedding" else None


def _inspect_masks(
    params: TrainDiffusion.Params, report: data_report.DataReport, ctx: data_report.InspectionContext
) -> data_report.DataReport:
    try:
        folder = _find_mask_folder(params)
    except api.BadInput as error:
        return data_report.refuse(report, error)
    return data_report.inspect_masks(report, folder, ctx, size=params.size, excluded=params.excluded_in(folder))


def _find_mask_folder(params: TrainDiffusion.Params) -> Path:
    if params.mask_folder is None:
        raise api.BadInput("No folder of masks is chosen.", "Choose one, or set Masks to None.")
    if params.mask_folder in (params.folder, *params.more_folders):
        raise api.BadInput("The folder of masks is that of the images.", "Put the masks into a folder of their own.")
    return params.mask_folder


def _describe_reading(params: TrainDiffusion.Params) -> dataset.Reading:
    masks = None
    if params.masks == "folder":
        folder = _find_mask_folder(params)
        masks = api.datasets.index_masks(folder, params.excluded_in(folder))
    return dataset.Reading(
        params.size,
        buckets=params.image_shape == "buckets",
        alpha_masks=params.masks == "alpha",
        masks=masks,
        repeats=params.repeats,
    )


def _describe_captions(params: TrainDiffusion.Params) -> CaptionOptions:
    templates = textual_inversion.choose_templates(params.purpose) if params.kind == "embedding" else ()
    return CaptionOptions(params.trigger, params.caption_dropout, params.shuffle_tags, params.keep_tokens, templates)


def _prepare_base_model(params: TrainDiffusion.Params, settings: Settings, ctx: api.Context) -> BaseModel | None:
    match params.kind:
        case "lora":
            return lora.prepare_lora_training(ctx, params.model, settings.adapter, params.size, params.start_from)
        case "embedding":
            word = textual_inversion.require_word(params.trigger)
            return textual_inversion.prepare_inversion_training(
                ctx, params.model, word, settings.inversion, params.size, params.start_from
            )
        case "full":
            return base_model.prepare_full_training(
                ctx, params.model, params.size, text_encoder=settings.trains_text_encoder
            )
        case _:
            return None


def _warn_if_small(base: BaseModel, size: int) -> Iterator[api.Notice]:
    if 2 * size <= base.side:
        yield api.Notice(
            f"{base.title} generates images of {base.side} px, and the training images have {size} px. The result "
            "may be blurred. A larger image size is slower and sharper.",
            "warning",
        )


def _encode_or_load(
    params: TrainDiffusion.Params,
    ctx: api.Context,
    images: LoadedImages,
    autoencoder: LoadedAutoencoder,
    batch_size: int,
    *,
    is_flow: bool,
) -> Generator[api.Event, None, LatentDataset]:
    """Encode the images to latents, except those that an earlier run has stored. Raises Paused.

    For flow matching the captions are known beforehand, so there are no pairs, which have new ones each time.
    """
    items = dataset.plan_items(images, flips=params.flips, pairs=0 if is_flow else params.pairs, seed=ctx.seed)
    key = dataset.compute_cache_key(items, images, params.size, autoencoder.folder)
    batches = dataset.load_latents(ctx.checkpoint_dir, key)
    first = sum(map(len, batches))
    saved_at = time.monotonic()

    def save() -> None:
        dataset.save_latents(ctx.checkpoint_dir, key, batches)

    for done, batch in dataset.encode_items(autoencoder.vae, items, images, params.size, ctx.device, first=first):
        batches.append(batch)
        yield api.Progress(0, 0, f"Encoding images: {done:,} of {len(items):,}")
        if done == len(items) or time.monotonic() - saved_at > CHECKPOINT_INTERVAL:
            save()
            saved_at = time.monotonic()
        if done < len(items):
            api.pause_if_requested(ctx, save)
    fraction = params.held_out if params.held_out is not None else DEFAULT_HELD_OUT if params.patience else 0.0
    return LatentDataset(
        items,
        images,
        [values for batch in batches for values in batch],
        batch_size,
        ctx.seed,
        params.pair_share,
        _describe_captions(params),
        LossWeights(params.unmasked_weight, params.regularisation_weight),
        latent_dataset.choose_held_out(images.subjects, fraction),
        latent_dataset.choose_caption_count(len(items)) if is_flow else None,
    )


def _build_trainer(
    params: TrainDiffusion.Params,
    ctx: api.Context,
    latents: LatentDataset,
    base: BaseModel | None,
    settings: Settings,
) -> Trainer:
    channels, side = latents.values[0].shape[0], latents.square_side(params.size)
    if base:
        components = base.components
    else:
        size = small_model.NETWORK_SIZES[params.width]
        components = small_model.build_components(
            latents.list_vocabulary_texts(), size, channels, side, ctx.checkpoint_dir / _TOKENIZER_FOLDER
        )
    return Trainer(
        components,
        settings.build_schedule(),
        latents.draw_batch,
        ctx.checkpoint_dir,
        seed=ctx.seed,
        ema=params.ema,
        device=ctx.device,
        options=settings.options,
        held_out=latents.held_out_batches,
    )
