"""A model by its choice: a starter, a trained one, a diffusers folder, or a hub id."""

from __future__ import annotations

import math
import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from studio import api

from ..checkpoints import diffusers_folder, families, hub_files, single_file, weight_variants
from ..checkpoints.families import Family, Task
from . import placement, prior_decoder
from .latents import View, coder_of, fitted, scale_factor

STARTER = "diffusion-emoji"
_BROKEN = (OSError, ValueError, TypeError, KeyError, RuntimeError, AttributeError, ImportError)


@dataclass
class Model:
    """Loaded weights, and the pipelines over them that were asked for so far."""

    key: str
    """Tells it from any other, also from an earlier state of itself."""
    title: str
    family: Family
    base: Any
    scheduler: Any
    """The model's own; samplers are made after it."""
    rungs: list[str] = field(default_factory=list)
    """The steps of the memory ladder that were taken; they stay with the model."""
    view: View | None = None
    _pipes: dict[Task, Any] = field(default_factory=dict)

    def pipe(self, task: Task) -> Any:
        """The pipeline for a task; all share the weights. Raises BadInput when the family has none."""
        wanted = self.family.pipeline(task)
        if task is Task.PAINT and self.base.config.get("requires_aesthetics_score"):
            raise api.BadInput(f"{self.title} refines pictures and cannot paint from words.", "Use it to repaint.")
        if task is not Task.INPAINT and _fills_in_only(self.base):
            raise api.BadInput(f"{self.title} is made for inpainting alone.", "Use it there, or choose another model.")
        if task is Task.INPAINT and self.family.fills_in_apart and not _fills_in_only(self.base):
            raise api.BadInput(
                f"{self.title} cannot fill in a part of a picture.", f"Choose the {self.family.title} for inpainting."
            )
        if isinstance(self.base, wanted):
            return self.base
        if task not in self._pipes:
            self._pipes[task] = self.over(wanted)
        return self._pipes[task]

    def over(self, wanted: Any, **more: Any) -> Any:
        """A new pipeline of a class over the same parts, and `more` that the model does not have."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _without_bars(wanted(**_shared(self.base, wanted) | more))

    @property
    def size(self) -> int:
        """Side in pixels of the pictures that the model was made for."""
        return own_size(self.base, self.family)

    @property
    def multiple(self) -> int:
        """Sides must be multiples of this, in pixels. Nearly all pipelines insist on eight."""
        return math.lcm(8, scale_factor(self.base) * self.family.multiple)


def load(ctx: api.Context, choice: str) -> Model:
    """The model on the job's device.

    Raises BadInput with one sentence for what is missing, damaged, a pickle, a pointer, asks
    for code of its own, or belongs to a family that cannot paint.
    """
    found = ctx.model(choice)
    where = found if isinstance(found, Path) else None
    plan = single_file.planned(ctx, where) if where is not None and where.is_file() else None
    stamp = plan.stamp if plan else diffusers_folder.stamp(where) if where else 0
    key = f"diffusion:{where.resolve() if where else found}:{stamp}:{ctx.device}:{ctx.dtype}"

    def loader() -> Model:
        if plan is not None:
            here = placement.in_room(ctx, *plan.sources)
            return placed(_from_file(plan, here), key, plan.path.name, here)
        path = where or hub_files.pipeline(str(found), ctx)
        here = placement.in_room(ctx, path)
        model = placed(_from_folder(path, here, of_hub=where is None), key, path.name if where else str(found), here)
        return replace(model, family=diffusers_folder.as_told(path, model.family))

    return placement.load(ctx, key, loader)


def placed(pipe: Any, key: str, title: str, ctx: api.Context) -> Model:
    """On the device, quiet, and known by its family."""
    family = families.of_pipeline(type(pipe).__name__)
    filmed = family.film is not None and family.film.frames_first
    rungs, view = placement.put(_without_bars(pipe), ctx, lambda: fitted(pipe, frames_first=filmed))
    _name_as_before(getattr(pipe, "text_encoder", None))
    return Model(key, title, family, pipe, pipe.components.get("scheduler"), rungs, view)


def own_size(pipe: Any, family: Family) -> int:
    """Side in pixels that a pipeline paints when it is not told otherwise."""
    denoiser = getattr(pipe, "unet", None) or getattr(pipe, "transformer", None)
    size = getattr(pipe, "default_sample_size", None) or getattr(getattr(denoiser, "config", None), "sample_size", None)
    if isinstance(size, list | tuple):
        size = size[0]
    return int(size) * scale_factor(pipe) if size else family.own_size


def _fills_in_only(pipe: Any) -> bool:
    """Denoisers of the Stable Diffusion kind that also look at a mask and a masked picture."""
    unet, coder = getattr(pipe, "unet", None), coder_of(pipe)
    return unet is not None and unet.config.in_channels == 2 * coder.config.latent_channels + 1


def _from_file(plan: single_file.Plan, ctx: api.Context) -> Any:
    return _quietly(
        lambda: single_file.opened(ctx, plan), f"{plan.path.name} does not hold what a model of {plan.title} has."
    )


def _from_folder(path: Path, ctx: api.Context, *, of_hub: bool = False) -> Any:
    folder = diffusers_folder.inspected(path)
    family = families.of_pipeline(folder.pipeline)
    pipe, whole = _opened(folder, family.title, ctx), prior_decoder.whole(folder.pipeline)
    if whole is None:
        return pipe
    named = prior_decoder.prior_on_hub(path) if of_hub else None
    prior = diffusers_folder.inspected(hub_files.pipeline(named, ctx)) if named else prior_decoder.prior_of(folder)
    return _quietly(
        lambda: prior_decoder.joined(whole, pipe, _opened(prior, family.title, ctx)),
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
            name: part.from_pretrained(str(path / name), variant=weight_variants.of(path / name), **how)
            for name, part in _hidden(kind, folder).items()
        }
        own |= {name: AutoTokenizer.from_pretrained(str(path / name), **how) for name in _readers(folder)}
        given = weight_variants.loaded(path, folder.classes, **how) | borrowed | dict.fromkeys(folder.left_out)
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


def _without_bars(pipe: Any) -> Any:
    """Nobody sees them, and the library of theirs would start a thread."""
    from tqdm import tqdm

    tqdm.monitor_interval = 0
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _shared(base: Any, wanted: Any) -> dict[str, Any]:
    """The arguments for another pipeline over the same parts."""
    expected, optional = wanted._get_signature_keys(wanted)
    parts = {name: part for name, part in base.components.items() if name in expected}
    settings = {name: base.config[name] for name in optional if name in base.config}
    return {**dict.fromkeys(expected - parts.keys()), **parts, **settings}
