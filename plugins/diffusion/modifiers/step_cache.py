"""Step caches: the caching methods of diffusers, which reuse results of earlier steps, for one job.

The content of a cache is part of the state of an unfinished image. An image that was paused, or ran out of memory, gets
the same pixels only if its cache is restored too (`CacheState`).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from studio import api

from ..checkpoints.families import default_of

if TYPE_CHECKING:
    from diffusers import CacheMixin, DiffusionPipeline

    from ..models.model import Model

StepCache = Literal["off", "first_block", "taylor", "attention", "magnitude"]
LABELS = (
    "Off",
    "First-block cache",
    "TaylorSeer",
    "Pyramid attention broadcast",
    "MagCache (FLUX.1)",
)
_ONE_CALL_PER_STEP = ("flux", "flux2")
"""Families that call their denoiser once a step, so that a cached attention belongs to the same prompt."""


@contextmanager
def enable_step_cache(model: Model, pipe: DiffusionPipeline, cache: StepCache, steps: int | None) -> Iterator[None]:
    """Enable a cache in the pipeline's denoiser until the block ends. `steps` None is the pipeline's default.

    Raises BadInput where the family, or its pipeline for this task, does not support it.
    """
    denoiser = _check_denoiser(model, pipe, cache)
    config = _build_config(pipe, cache, steps or model.family.steps or default_of(pipe, "num_inference_steps"))
    try:
        try:
            denoiser.enable_cache(config)
        except ValueError as error:  # the library knows the transformer, but not its blocks
            denoiser._cache_config = config
            raise _no_cache_error(model) from error
        yield
    finally:
        denoiser.disable_cache()
        _remove_leftovers(denoiser)


class CacheState:
    """Content of a denoiser's cache between two steps."""

    def __init__(self, denoiser: CacheMixin) -> None:
        self._denoiser = denoiser

    def capture(self) -> list[Any]:
        """Return plain containers of tensors and numbers, one for each holder of state."""
        return [{name: _copy(vars(state)) for name, state in _states(holder).items()} for holder in self._holders()]

    def restore(self, state: list[Any]) -> None:
        """Restore what `capture` returned; an empty list empties the cache."""
        holders = self._holders()
        for holder in holders:
            _clear(holder)
        for holder, states in zip(holders, state, strict=False):
            for name, values in states.items():
                vars(_create_state(holder, name)).update(_copy(values))

    def _holders(self) -> list[Any]:
        """List state managers, and hooks that hold their state themselves, in the order of the modules."""
        from diffusers.hooks.hooks import StateManager

        holders: dict[int, Any] = {}
        for module in self._denoiser.modules():
            registry = getattr(module, "_diffusers_hook", None)
            for hook in registry.hooks.values() if registry else ():
                for value in vars(hook).values():
                    if isinstance(value, StateManager):
                        holders[id(value)] = value
                if hasattr(hook, "state"):
                    holders[id(hook)] = hook
        return list(holders.values())


def _states(holder: Any) -> dict[str, Any]:
    return dict(holder._state_cache) if hasattr(holder, "_state_cache") else {"": holder.state}


def _clear(holder: Any) -> None:
    """Empty a holder of state; the library's own method would also forget the current cache context."""
    if hasattr(holder, "_state_cache"):
        holder._state_cache.clear()
    else:
        holder.state.reset()


def _create_state(holder: Any, name: str) -> Any:
    if not hasattr(holder, "_state_cache"):
        return holder.state
    state = holder._state_cls(*holder._init_args, **holder._init_kwargs)
    holder._state_cache[name] = state
    return state


def _copy(value: Any) -> Any:
    """Copy the containers. Their tensors are replaced and never changed in place, so they are shared."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_copy(item) for item in value)
    return value


def _check_denoiser(model: Model, pipe: DiffusionPipeline, cache: StepCache) -> CacheMixin:
    """Return the denoiser. Raises BadInput where it does not support the cache."""
    denoiser = getattr(pipe, "transformer", None)
    if not hasattr(denoiser, "enable_cache"):
        raise _no_cache_error(model)
    if cache == "magnitude" and model.family.name != "flux":
        raise api.BadInput(
            f"MagCache is calibrated for FLUX.1 only, and not for {model.family.title}.", "Choose another step cache."
        )
    if cache == "attention" and model.family.name not in _ONE_CALL_PER_STEP:
        raise api.BadInput(
            f"Pyramid attention broadcast would mix prompt and negative prompt of {model.family.title}.",
            "Choose another step cache.",
        )
    if not _provides_context(pipe, cache):
        raise api.BadInput(
            f"{model.family.title} does not support this step cache in this tool.",
            "Choose another step cache, or switch it off.",
        )
    return denoiser


def _provides_context(pipe: DiffusionPipeline, cache: StepCache) -> bool:
    """Check that the pipeline's loop tells the cache what it needs: the timestep, or the prompt in work."""
    if cache == "attention":
        return hasattr(type(pipe), "current_timestep")
    return cache == "magnitude" or "cache_context" in inspect.unwrap(type(pipe).__call__).__code__.co_names


def _no_cache_error(model: Model) -> api.BadInput:
    return api.BadInput(
        f"{model.family.title} supports no step cache.",
        "Switch it off, or choose a model of another family, such as FLUX.1 or Qwen-Image.",
    )


def _build_config(pipe: DiffusionPipeline, cache: StepCache, steps: int) -> Any:
    """Build the configuration of a cache, with the defaults of diffusers."""
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


def _remove_leftovers(denoiser: CacheMixin) -> None:
    """Remove what the library leaves: empty registries, and methods as attributes of their own module."""
    vars(denoiser).pop("_cache_config", None)
    for module in denoiser.modules():
        own = vars(module)
        if "_diffusers_hook" in own and not own["_diffusers_hook"].hooks:
            del own["_diffusers_hook"]
            if getattr(own.get("forward"), "__func__", None) is type(module).forward:
                del own["forward"]
