"""A model by its choice: a starter, a trained one, a diffusers folder, or a hub id."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from studio import api

from ..checkpoints import diffusers_folder, families, hub_files, single_file, weight_variants
from . import placement, prior_decoder
from .latents import fit_linear_preview
from .model import Model, without_progress_bars

STARTER = "diffusion-emoji"
_BROKEN = (OSError, ValueError, TypeError, KeyError, RuntimeError, AttributeError, ImportError)


def load(ctx: api.Context, choice: str) -> Model:
    """The model on the job's device.

    Raises BadInput with one sentence for what is missing, damaged, a pickle, a pointer, asks
    for code of its own, or belongs to a family that cannot paint.
    """
    found = ctx.model(choice)
    where = found if isinstance(found, Path) else None
    plan = single_file.plan_load(ctx, where) if where is not None and where.is_file() else None
    stamp = plan.stamp if plan else diffusers_folder.stamp(where) if where else 0
    key = f"diffusion:{where.resolve() if where else found}:{stamp}:{ctx.device}:{ctx.dtype}"

    def loader() -> Model:
        if plan is not None:
            here = placement.context_that_fits(ctx, *plan.sources)
            return build_model(_from_file(plan, here), key, plan.path.name, here)
        path = where or hub_files.fetch_pipeline(str(found), ctx)
        here = placement.context_that_fits(ctx, path)
        model = build_model(
            _from_folder(path, here, of_hub=where is None), key, path.name if where else str(found), here
        )
        return replace(model, family=diffusers_folder.with_own_defaults(path, model.family))

    return placement.load_cached(ctx, key, loader)


def build_model(pipe: Any, key: str, title: str, ctx: api.Context) -> Model:
    """On the device, quiet, and known by its family."""
    family = families.family_of(type(pipe).__name__)
    filmed = family.video is not None and family.video.frames_first
    rungs, view = placement.place_pipeline(
        without_progress_bars(pipe), ctx, lambda: fit_linear_preview(pipe, frames_first=filmed)
    )
    _name_as_before(getattr(pipe, "text_encoder", None))
    return Model(key, title, family, pipe, pipe.components.get("scheduler"), rungs, view)


def _from_file(plan: single_file.LoadPlan, ctx: api.Context) -> Any:
    return _quietly(
        lambda: single_file.load_pipeline(ctx, plan),
        f"{plan.path.name} does not hold what a model of {plan.title} has.",
    )


def _from_folder(path: Path, ctx: api.Context, *, of_hub: bool = False) -> Any:
    folder = diffusers_folder.inspect_folder(path)
    family = families.family_of(folder.pipeline)
    pipe, whole = _opened(folder, family.title, ctx), prior_decoder.combined_pipeline(folder.pipeline)
    if whole is None:
        return pipe
    named = prior_decoder.find_hub_prior(path) if of_hub else None
    prior = (
        diffusers_folder.inspect_folder(hub_files.fetch_pipeline(named, ctx))
        if named
        else prior_decoder.find_prior(folder)
    )
    return _quietly(
        lambda: prior_decoder.combine(whole, pipe, _opened(prior, family.title, ctx)),
        f"{path.name} and {prior.path.name} do not fit each other.",
    )


def _opened(folder: diffusers_folder.Folder, family: str, ctx: api.Context) -> Any:
    import diffusers
    from transformers import AutoTokenizer

    path, kind = folder.path, getattr(diffusers, folder.pipeline)
    borrowed = {name: _borrowed(name, starter, ctx) for name, starter in folder.borrowed.items()}
    how = {"use_safetensors": True, "local_files_only": True, "torch_dtype": ctx.dtype}

    def opened() -> Any:
        own = {
            name: part.from_pretrained(str(path / name), variant=weight_variants.variant_of(path / name), **how)
            for name, part in _hidden(kind, folder).items()
        }
        own |= {name: AutoTokenizer.from_pretrained(str(path / name), **how) for name in _readers(folder)}
        given = (
            weight_variants.load_half_precision(path, folder.classes, **how) | borrowed | dict.fromkeys(folder.left_out)
        )
        pipe = kind.from_pretrained(str(path), **how, **given, **dict.fromkeys(own))
        pipe.register_modules(**own)
        return pipe

    return _quietly(
        opened,
        f"{path.name} ({family}) is incomplete or does not fit its configuration.",
    )


def _hidden(kind: Any, folder: diffusers_folder.Folder) -> dict[str, Any]:
    """The classes of parts that neither library lists: old ones that moved, and a few that were never listed.

    The pipeline works with them, so its module has them.
    """
    import diffusers
    import transformers

    module = sys.modules[kind.__module__]
    return {
        name: getattr(module, part)
        for name, part in folder.classes.items()
        if not hasattr(diffusers, part) and not hasattr(transformers, part) and hasattr(module, part)
    }


def _readers(folder: diffusers_folder.Folder) -> list[str]:
    """Tokenizers that come with a processor of pictures, which asks for a library of its own and is not needed."""
    return [name for name, part in folder.classes.items() if name == "tokenizer" and part.endswith("Processor")]


def _borrowed(name: str, starter: str, ctx: api.Context) -> Any:
    """A component that several starters share. Only autoencoders are."""
    if name != "vae":
        raise api.BadInput(f"A {name} cannot be taken from another model.", "Download the model again.")
    from diffusers import AutoencoderKL

    path = ctx.starter(starter)
    return _quietly(
        lambda: AutoencoderKL.from_pretrained(
            str(path), use_safetensors=True, local_files_only=True, torch_dtype=ctx.dtype
        ),
        f"The starter {starter} is incomplete.",
    )


def _quietly(make: Callable[[], Any], otherwise: str) -> Any:
    import torch
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    of_diffusers.disable_progress_bar()
    of_transformers.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # diffusers and transformers announce what they will rename
        try:
            return make()
        except torch.OutOfMemoryError:
            raise
        except _BROKEN as error:
            if missing := re.search(r"requires the (\S+) library", str(error)):
                raise api.BadInput(
                    f"The model needs the Python library {missing[1]}, which is not installed.",
                    "Install it next to the studio, or choose another model.",
                ) from error
            raise api.BadInput(otherwise, "Download it again, or choose another model.") from error


def _name_as_before(encoder: Any) -> None:
    """transformers 5 moved what `text_model` held into the encoder itself; clip skip still asks for it there."""
    if type(encoder).__name__ == "CLIPTextModel" and not hasattr(encoder, "text_model"):
        object.__setattr__(encoder, "text_model", encoder)  # not as a part, which would be its own
