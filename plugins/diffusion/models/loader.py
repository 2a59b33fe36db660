"""Loader of diffusion models: starters, trained models, diffusers folders, single files and models of the hub."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from studio import api

from ..checkpoints import diffusers_folder, families, hub_files, single_file, weight_variants
from ..checkpoints.diffusers_folder import DiffusersFolder
from . import loading_info, placement, prior_decoder
from .latents import fit_linear_preview
from .model import Model, without_progress_bar

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, DiffusionPipeline
    from torch import nn

T = TypeVar("T")
STARTER = "diffusion-emoji"
_LOAD_ERRORS: tuple[type[Exception], ...] = (*api.model_files.UNREADABLE, ImportError)


def load(ctx: api.Context, choice: str) -> Model:
    """Load a model onto the job's device, or return the one that is loaded already.

    Raises BadInput for a model that is missing, damaged, a pickle, a Git LFS pointer, needs Python code of its own, or
    belongs to a family that makes no images.
    """
    location = ctx.model(choice)
    path = single_file.find_in_folder(location) if isinstance(location, Path) else None
    plan = single_file.plan_load(ctx, path) if path is not None and path.is_file() else None
    stamp = plan.stamp if plan else api.model_files.file_stamp(path) if path else 0
    key = f"diffusion:{path.resolve() if path else location}:{stamp}:{ctx.device}:{ctx.dtype}"

    def load_model() -> Model:
        if plan is not None:
            fitting = placement.context_that_fits(ctx, *plan.sources)
            return build_model(_load_file(plan, fitting), key, plan.path.name, fitting)
        folder = path or hub_files.fetch_pipeline(str(location), ctx)
        api.model_files.refuse_pointers(folder)
        fitting = placement.context_that_fits(ctx, folder)
        pipe = _load_folder(folder, fitting, is_from_hub=path is None)
        model = build_model(pipe, key, path.name if path else str(location), fitting)
        return replace(model, family=diffusers_folder.with_own_defaults(folder, model.family))

    return placement.load_cached(ctx, key, load_model)


def build_model(pipe: DiffusionPipeline, key: str, title: str, ctx: api.Context) -> Model:
    """Place a pipeline on the device and build the model around it. Raises BadInput for an unknown family."""
    _check_components(pipe, title)
    family = families.family_of(type(pipe).__name__)
    frames_first = family.video is not None and family.video.frames_first
    fallbacks, preview = placement.place_pipeline(
        without_progress_bar(pipe), ctx, lambda: fit_linear_preview(pipe, frames_first=frames_first)
    )
    _restore_text_model(getattr(pipe, "text_encoder", None))
    return Model(key, title, family, pipe, pipe.components.get("scheduler"), fallbacks, preview)


@dataclass(frozen=True)
class LoadedAutoencoder:
    """An autoencoder in float32. `starter` is its name if it is a starter model."""

    vae: AutoencoderKL
    folder: Path
    starter: str = ""


def load_autoencoder(ctx: api.Context, choice: str) -> LoadedAutoencoder:
    """Load an autoencoder for training, frozen, onto the job's device. Raises BadInput if it cannot be loaded."""
    import torch
    from diffusers import AutoencoderKL

    folder = ctx.model(choice)
    if not isinstance(folder, Path) or not (folder / "config.json").is_file():
        raise api.BadInput(f"{choice} is not the folder of an autoencoder.", "Choose an autoencoder on this computer.")
    with api.model_files.quiet_load(
        api.BadInput(f"{choice} cannot be loaded as an autoencoder.", "Choose another autoencoder.")
    ):
        vae = AutoencoderKL.from_pretrained(folder, torch_dtype=torch.float32, use_safetensors=True)
    try:
        is_starter = Path(choice).name == choice and ctx.starter(choice).resolve() == folder.resolve()
    except api.BadInput:
        is_starter = False
    return LoadedAutoencoder(vae.to(ctx.device).eval().requires_grad_(False), folder, choice if is_starter else "")


def _load_file(plan: single_file.LoadPlan, ctx: api.Context) -> DiffusionPipeline:
    return _load_quietly(
        lambda: single_file.load_pipeline(ctx, plan),
        f"{plan.path.name} lacks weights that a model of {plan.title} has.",
    )


def _load_folder(path: Path, ctx: api.Context, *, is_from_hub: bool = False) -> DiffusionPipeline:
    folder = diffusers_folder.inspect_folder(path)
    family = families.family_of(folder.pipeline)
    pipe = _load_pipeline(folder, family.title, ctx)
    combined = prior_decoder.find_combined_pipeline(folder.pipeline)
    if combined is None:
        return pipe
    hub_prior = prior_decoder.find_hub_prior(path) if is_from_hub else None
    prior = (
        diffusers_folder.inspect_folder(hub_files.fetch_pipeline(hub_prior, ctx))
        if hub_prior
        else prior_decoder.find_prior(folder)
    )
    return _load_quietly(
        lambda: prior_decoder.combine(combined, pipe, _load_pipeline(prior, family.title, ctx)),
        f"{path.name} and {prior.path.name} do not fit each other.",
    )


def _load_pipeline(folder: DiffusersFolder, family: str, ctx: api.Context) -> DiffusionPipeline:
    import diffusers
    from transformers import AutoTokenizer

    path, pipeline_class = folder.path, getattr(diffusers, folder.pipeline)
    borrowed = {name: _load_borrowed(name, starter, ctx) for name, starter in folder.borrowed.items()}
    options = {"use_safetensors": True, "local_files_only": True, "torch_dtype": ctx.dtype}

    def load_pipeline() -> DiffusionPipeline:
        registered: dict[str, Any] = {
            name: component.from_pretrained(
                str(path / name), variant=weight_variants.variant_of(path / name), **options
            )
            for name, component in _find_unlisted_classes(pipeline_class, folder).items()
        }
        registered |= {
            name: AutoTokenizer.from_pretrained(str(path / name), **options)
            for name in _tokenizers_in_processors(folder)
        }
        passed = weight_variants.load_half_precision(path, folder.classes, **options) | borrowed
        passed |= dict.fromkeys((*folder.absent, *registered))
        pipe = pipeline_class.from_pretrained(str(path), **options, **passed)
        pipe.register_modules(**registered)
        return pipe

    with loading_info.check_components(path.name) as info:
        pipe = _load_quietly(load_pipeline, f"{path.name} ({family}) is incomplete or does not fit its configuration.")
    for name, weights in info.unexpected.items():
        ctx.emit(
            api.Notice(
                f"{len(weights)} weights in the {name} of {path.name} have no place in it, such as {weights[0]}: its "
                "config.json may belong to another model.",
                "warning",
            )
        )
    return pipe


def _find_unlisted_classes(pipeline_class: type[DiffusionPipeline], folder: DiffusersFolder) -> dict[str, Any]:
    """Find the classes that neither library exports: old ones that moved, and a few that never were exported.

    The module of the pipeline imports them, so they are found there.
    """
    import diffusers
    import transformers

    module = sys.modules[pipeline_class.__module__]
    return {
        name: getattr(module, class_name)
        for name, class_name in folder.classes.items()
        if not hasattr(diffusers, class_name) and not hasattr(transformers, class_name) and hasattr(module, class_name)
    }


def _tokenizers_in_processors(folder: DiffusersFolder) -> list[str]:
    """List tokenizers whose class is an image processor, which would need another library and is not used."""
    return [
        name for name, class_name in folder.classes.items() if name == "tokenizer" and class_name.endswith("Processor")
    ]


def _load_borrowed(name: str, starter: str, ctx: api.Context) -> AutoencoderKL:
    """Load a component that several starters share; only autoencoders are shared."""
    if name != "vae":
        raise api.BadInput(f"A {name} cannot be taken from another model.", "Download the model again.")
    from diffusers import AutoencoderKL

    path = ctx.starter(starter)
    return _load_quietly(
        lambda: AutoencoderKL.from_pretrained(
            str(path), use_safetensors=True, local_files_only=True, torch_dtype=ctx.dtype
        ),
        f"The starter {starter} is incomplete.",
    )


def _load_quietly(load: Callable[[], T], otherwise: str) -> T:
    """Return `load()` without warnings and progress bars; failures become BadInput with the sentence `otherwise`."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    try:
        with api.model_files.quiet_load():
            return load()
    except _LOAD_ERRORS as error:
        if api.is_out_of_memory(error):
            raise
        if library := re.search(r"requires the (\S+) library", str(error)):
            raise api.BadInput(
                f"The model needs the Python library {library[1]}, which is not installed.",
                "Install it next to the studio, or choose another model.",
            ) from error
        raise api.BadInput(otherwise, "Download it again, or choose another model.") from error


def _check_components(pipe: DiffusionPipeline, title: str) -> None:
    """Check the weights and vocabularies of a pipeline. Raises BadInput."""
    import torch

    for name, component in pipe.components.items():
        if isinstance(component, torch.nn.Module):
            api.model_files.check_weights(component, f"The {name} of {title}")
        elif hasattr(component, "get_added_vocab"):
            api.model_files.check_vocabulary(component, f"The {name} of {title}")


def _restore_text_model(encoder: nn.Module | None) -> None:
    """Give the encoder the attribute `text_model`, which transformers 5 dropped and diffusers' clip skip still uses."""
    if type(encoder).__name__ == "CLIPTextModel" and not hasattr(encoder, "text_model"):
        object.__setattr__(encoder, "text_model", encoder)  # past nn.Module, which would register it as a child
