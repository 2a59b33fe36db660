"""A pipeline's loop, watched from outside: progress, previews, cancel, and pause, for every family alike.

Not all pipelines have callbacks, and those of others differ. All of them call a scheduler's
`step` and a denoiser's `forward`, so these are what is watched, for the time of one run.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from studio import api

from ..checkpoints.families import DENOISERS
from ..models import latents
from ..models.latents import LatentPreview
from ..modifiers.step_cache import CacheState
from ..patching import patched_method
from .replay import Replay

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_SHARE = 0.05
"""Of the time, at most, for previews: where they cost more, only every so many steps are shown."""
PREVIEW_SIDE = 512
"""Pixels along the longer side of a preview."""
_BETWEEN_PREVIEWS = 0.1
"""Seconds: a fast device is not kept waiting for pictures that nobody has time to look at."""


class LoopHooks:
    """One job's view of the loop. `size` is (width, height) in pixels of what is painted."""

    def __init__(
        self,
        ctx: api.Context,
        tape: Replay,
        *,
        view: LatentPreview | None,
        size: tuple[int, int],
        rest: Callable[[], None],
    ) -> None:
        self._ctx = ctx
        self._tape = tape
        self._view = view
        self._size = size
        self._rest = rest
        self._shown = 0.0
        self._cost = 0.0

    @contextmanager
    def over(self, pipe: Any) -> Iterator[None]:
        """Watches the pipeline while the block runs. Cancelled and Paused are raised from within its loop."""
        from diffusers import SchedulerMixin

        self._tape.rewind()
        with ExitStack() as watched:
            for name, part in pipe.components.items():
                if name in DENOISERS and part is not None:
                    cache = CacheState(part) if getattr(part, "is_cache_enabled", False) else None
                    watched.enter_context(
                        patched_method(part, "forward", functools.partial(self._tape.taped, cache=cache))
                    )
                    self._make_stoppable(part, watched)
                elif name == "controlnet":
                    watched.enter_context(patched_method(part, "forward", self._tape.idle))
                    self._make_stoppable(part, watched)
                elif isinstance(part, SchedulerMixin):
                    watched.enter_context(patched_method(part, "step", functools.partial(self._stepping, pipe, part)))
            yield

    def _make_stoppable(self, denoiser: Any, watched: ExitStack) -> None:
        """A cancel is seen before each block, so that one large step need not be waited for."""
        from torch.nn import ModuleList

        for child in denoiser.children():
            for block in child if isinstance(child, ModuleList) else ():
                hook = block.register_forward_pre_hook(lambda *_: self._ctx.check_cancelled())
                watched.callback(hook.remove)

    def _stepping(self, pipe: Any, scheduler: Any, step: Callable[..., Any]) -> Callable[..., Any]:
        asked = inspect.signature(step)

        @functools.wraps(step)
        def stepped(model_output: Tensor, *args: Any, **kwargs: Any) -> Any:
            timestep = asked.bind(model_output, *args, **kwargs).arguments.get("timestep")
            result = step(model_output, *args, **kwargs)
            self._after(pipe, scheduler, timestep, model_output, result)
            return result

        # Loops ask the signature whether a sampler takes a generator.
        return stepped

    def _after(self, pipe: Any, scheduler: Any, timestep: Any, model_output: Tensor, result: Any) -> None:
        here, steps = count_steps_done(scheduler, timestep), max(1, len(scheduler.timesteps))
        stages = _stages(pipe)
        share = (stages.index(scheduler) + min(1.0, here / steps)) / len(stages)
        self._ctx.emit(api.Progress(share, 1, f"Painting, step {here} of {steps}"))
        if self._tape.replaying:
            return
        if self._ctx.pause_requested:
            self._rest()
            raise api.Paused
        if self._view is not None and time.monotonic() - self._shown >= max(_BETWEEN_PREVIEWS, self._cost / _SHARE):
            self._show(pipe, estimate_denoised(scheduler, model_output, result))

    def _show(self, pipe: Any, estimate: Tensor) -> None:
        if self._view is None:
            return
        width, height = self._size
        shown = latents.unpack_latents(pipe, estimate, height, width, frames_first=self._view.frames_first)
        if shown is not None and shown.shape[1] == self._view.channels:
            float(shown.flatten()[0])  # waits until the step itself is done
            begun = time.monotonic()
            picture = resize_preview(self._view.to_image(shown), self._size)
            self._cost = time.monotonic() - begun
            self._ctx.emit(api.Preview(picture))
            self._shown = time.monotonic()


def resize_preview(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Scale a preview [h, w, 3] of 8 bits to the size (width, height) of the image, at most `PREVIEW_SIDE` px."""
    import cv2

    share = min(1.0, PREVIEW_SIDE / max(size))
    width, height = (max(1, round(side * share)) for side in size)
    if picture.shape[0] >= height and picture.shape[1] >= width:
        return picture
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def count_steps_done(scheduler: Any, timestep: Any) -> int:
    """How many of a sampler's timesteps are done after the step at `timestep`, where it does not count them itself."""
    counted = getattr(scheduler, "step_index", None)
    if counted is not None or timestep is None:
        return int(counted or 0)
    now = timestep.flatten()[0].to(scheduler.timesteps) if hasattr(timestep, "flatten") else timestep
    return int((scheduler.timesteps >= now).sum())


def _stages(pipe: Any) -> list[Any]:
    """The samplers in the order in which they work: that of a prior comes before that of the picture."""
    from diffusers import SchedulerMixin

    named = [(name, part) for name, part in pipe.components.items() if isinstance(part, SchedulerMixin)]
    return [part for _, part in sorted(named, key=lambda one: not one[0].startswith("prior_"))]


def estimate_denoised(scheduler: Any, model_output: Tensor, result: Any) -> Tensor:
    """What the latents will come to, as far as the sampler knows after a step; else the latents as they are."""
    values = result if isinstance(result, tuple) else tuple(result.values())
    latents_now: Tensor = values[0]
    if len(values) > 1 and getattr(values[1], "shape", None) == latents_now.shape:
        found: Tensor = values[1]
        return found
    kept = getattr(scheduler, "model_outputs", None)
    if (
        kept
        and kept[-1] is not None
        and (str(scheduler.config.get("algorithm_type", "")).endswith("++") or scheduler.config.get("predict_x0"))
    ):
        last: Tensor = kept[-1]
        return last
    if type(scheduler).__name__ == "FlowMatchEulerDiscreteScheduler" and scheduler.step_index is not None:
        return latents_now - scheduler.sigmas[scheduler.step_index].to(latents_now) * model_output.to(latents_now)
    return latents_now
