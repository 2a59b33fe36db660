"""Work that is carried over from step to step, by the caching methods of diffusers, for the time of one job.

What such a cache holds is part of the state of a picture in the making: a picture that was paused or ran out of
memory goes on with the pixels that it would have had only where its cache comes back too (`CacheState`).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from studio import api

from ..checkpoints.families import default_of

if TYPE_CHECKING:
    from ..models.model import Model

StepCache = Literal["off", "first_block", "taylor", "attention", "magnitude"]
LABELS = (
    "Never",
    "Steps that change little",
    "Foretell steps from those before",
    "Attention of every second step",
    "By the usual course (Flux.1)",
)
_ONE_CALL_A_STEP = ("flux", "flux2")
"""Families that ask their denoiser once a step, so that what it kept belongs to the same question."""


@contextmanager
def enable_step_cache(model: Model, pipe: Any, cache: StepCache, steps: int | None) -> Iterator[None]:
    """The pipeline with a cache, until the block ends. `steps` None is what the pipeline takes by itself.

    Raises BadInput where the family, or its pipeline for this task, does not go with it.
    """
    denoiser = _denoiser(model, pipe, cache)
    config = _config(pipe, cache, steps or model.family.steps or default_of(pipe, "num_inference_steps"))
    try:
        try:
            denoiser.enable_cache(config)
        except ValueError as error:  # the library knows the transformer, but not its blocks
            denoiser._cache_config = config
            raise _misfit(model) from error
        yield
    finally:
        denoiser.disable_cache()
        _tidy(denoiser)


class CacheState:
    """What the cache of a denoiser holds between two steps."""

    def __init__(self, denoiser: Any) -> None:
        self._denoiser = denoiser

    def state(self) -> list[Any]:
        """Plain containers of tensors and numbers, one for each place that keeps something."""
        return [{name: _copied(vars(state)) for name, state in _states(holder).items()} for holder in self._holders()]

    def restore(self, state: list[Any]) -> None:
        """As it was when `state` was taken; empty for an empty one."""
        holders = self._holders()
        for holder in holders:
            _empty(holder)
        for holder, kept in zip(holders, state, strict=False):
            for name, values in kept.items():
                vars(_made(holder, name)).update(_copied(values))

    def _holders(self) -> list[Any]:
        """State managers, and hooks that keep their state themselves, in the order of the modules."""
        from diffusers.hooks.hooks import StateManager

        found: dict[int, Any] = {}
        for module in self._denoiser.modules():
            hooks = getattr(module, "_diffusers_hook", None)
            for hook in hooks.hooks.values() if hooks else ():
                for value in vars(hook).values():
                    if isinstance(value, StateManager):
                        found[id(value)] = value
                if hasattr(hook, "state"):
                    found[id(hook)] = hook
        return list(found.values())


def _states(holder: Any) -> dict[str, Any]:
    return dict(holder._state_cache) if hasattr(holder, "_state_cache") else {"": holder.state}


def _empty(holder: Any) -> None:
    """The library's own way would forget which question is being asked as well."""
    if hasattr(holder, "_state_cache"):
        holder._state_cache.clear()
    else:
        holder.state.reset()


def _made(holder: Any, name: str) -> Any:
    if not hasattr(holder, "_state_cache"):
        return holder.state
    state = holder._state_cls(*holder._init_args, **holder._init_kwargs)
    holder._state_cache[name] = state
    return state


def _copied(value: Any) -> Any:
    """Containers anew. Their tensors are replaced and never changed in place."""
    if isinstance(value, dict):
        return {key: _copied(one) for key, one in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_copied(one) for one in value)
    return value


def _denoiser(model: Model, pipe: Any, cache: StepCache) -> Any:
    denoiser = getattr(pipe, "transformer", None)
    if not hasattr(denoiser, "enable_cache"):
        raise _misfit(model)
    if cache == "magnitude" and model.family.name != "flux":
        raise api.BadInput(
            f"The usual course of the steps is known for Flux.1 alone, and not for {model.family.title}.",
            "Choose another kind of work to skip.",
        )
    if cache == "attention" and model.family.name not in _ONE_CALL_A_STEP:
        raise api.BadInput(
            f"{model.family.title} looks at what to show and what to avoid in turns, and their attention would mix.",
            "Choose another kind of work to skip.",
        )
    if not _tells(pipe, cache):
        raise api.BadInput(
            f"{model.family.title} cannot skip this work in this tool.", "Choose another kind, or skip none."
        )
    return denoiser


def _tells(pipe: Any, cache: StepCache) -> bool:
    """Whether the pipeline's loop says what a cache must know: where it is, or which question it asks."""
    if cache == "attention":
        return hasattr(type(pipe), "current_timestep")
    return cache == "magnitude" or "cache_context" in inspect.unwrap(type(pipe).__call__).__code__.co_names


def _misfit(model: Model) -> api.BadInput:
    return api.BadInput(
        f"{model.family.title} cannot skip work between steps.",
        "Skip none, or choose a model of another family, such as Flux.1 or Qwen-Image.",
    )


def _config(pipe: Any, cache: StepCache, steps: int) -> Any:
    """As diffusers sets them."""
    import diffusers

    match cache:
        case "first_block":
            return diffusers.FirstBlockCacheConfig()
        case "taylor":
            return diffusers.TaylorSeerCacheConfig()
        case "attention":
            return diffusers.PyramidAttentionBroadcastConfig(
                spatial_attention_block_skip_range=2, current_timestep_callback=lambda: pipe.current_timestep
            )
        case _:
            from diffusers.hooks.mag_cache import FLUX_MAG_RATIOS

            return diffusers.MagCacheConfig(mag_ratios=FLUX_MAG_RATIOS, num_inference_steps=steps)


def _tidy(denoiser: Any) -> None:
    """The library leaves empty registries, and each method as an attribute of its own module."""
    vars(denoiser).pop("_cache_config", None)
    for module in denoiser.modules():
        own = vars(module)
        if "_diffusers_hook" in own and not own["_diffusers_hook"].hooks:
            del own["_diffusers_hook"]
            if getattr(own.get("forward"), "__func__", None) is type(module).forward:
                del own["forward"]
