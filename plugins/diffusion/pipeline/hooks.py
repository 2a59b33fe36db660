"""Hooks in a pipeline's loop, for progress, previews, cancelling and pausing.

Not all pipelines have callbacks, and the existing ones differ. All pipelines call a scheduler's `step` and a
denoiser's `forward`, so these methods are patched while one pipeline runs.
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
    import torch
    from diffusers import DiffusionPipeline, SchedulerMixin
    from diffusers.utils import BaseOutput
    from numpy.typing import NDArray
    from torch import Tensor

PREVIEW_SIDE = 512
"""Maximum length in pixels of a preview's longer side."""
_PREVIEW_FRACTION = 0.05
"""Maximum fraction of the time spent on previews. If they are slower, some steps have none."""


class LoopHooks:
    """The hooks of one job."""

    def __init__(
        self,
        ctx: api.Context,
        replay: Replay,
        *,
        preview: LatentPreview | None,
        size: tuple[int, int],
        save_state: Callable[[], None],
    ) -> None:
        """Prepare hooks for an image of `size` (width, height) in pixels. `save_state` is called before a pause."""
        self._ctx = ctx
        self._replay = replay
        self._preview = preview
        self._size = size
        self._save_state = save_state
        self._previewed_at = 0.0
        self._preview_seconds = 0.0

    @contextmanager
    def attach(self, pipe: DiffusionPipeline) -> Iterator[None]:
        """Patch the pipeline until the block ends. Cancelled and Paused are raised from within its loop."""
        from diffusers import SchedulerMixin

        self._replay.rewind()
        with ExitStack() as patches:
            for name, component in pipe.components.items():
                if name in DENOISERS and component is not None:
                    cache = CacheState(component) if getattr(component, "is_cache_enabled", False) else None
                    record = functools.partial(self._replay.record, cache=cache)
                    patches.enter_context(patched_method(component, "forward", record))
                    self._check_cancelled_in_blocks(component, patches)
                elif name == "controlnet":
                    patches.enter_context(patched_method(component, "forward", self._replay.skip_while_replaying))
                    self._check_cancelled_in_blocks(component, patches)
                elif isinstance(component, SchedulerMixin):
                    wrap = functools.partial(self._wrap_step, pipe, component)
                    patches.enter_context(patched_method(component, "step", wrap))
            yield

    def _check_cancelled_in_blocks(self, denoiser: torch.nn.Module, patches: ExitStack) -> None:
        """Check for a cancel before each block, so that it need not wait for a long step."""
        from torch.nn import ModuleList

        for child in denoiser.children():
            for block in child if isinstance(child, ModuleList) else ():
                hook = block.register_forward_pre_hook(lambda *_: self._ctx.check_cancelled())
                patches.callback(hook.remove)

    def _wrap_step(
        self, pipe: DiffusionPipeline, scheduler: SchedulerMixin, step: Callable[..., Any]
    ) -> Callable[..., Any]:
        signature = inspect.signature(step)

        # Loops ask the signature whether a sampler takes a generator.
        @functools.wraps(step)
        def call_step(model_output: Tensor, *args: object, **kwargs: object) -> object:
            timestep = signature.bind(model_output, *args, **kwargs).arguments.get("timestep")
            output = step(model_output, *args, **kwargs)
            self._on_step(pipe, scheduler, timestep, model_output, output)
            return output

        return call_step

    def _on_step(
        self,
        pipe: DiffusionPipeline,
        scheduler: SchedulerMixin,
        timestep: Tensor | float | None,
        model_output: Tensor,
        output: BaseOutput | tuple[Tensor, ...],
    ) -> None:
        done, steps = count_steps_done(scheduler, timestep), max(1, len(scheduler.timesteps))
        stages = _list_schedulers(pipe)
        fraction = (stages.index(scheduler) + min(1.0, done / steps)) / len(stages)
        self._ctx.emit(api.Progress(fraction, 1, f"Step {done} of {steps}"))
        if self._replay.is_replaying:
            return
        api.pause_if_requested(self._ctx, self._save_state)
        interval = self._preview_seconds / _PREVIEW_FRACTION
        if self._preview is not None and time.monotonic() - self._previewed_at >= interval:
            self._emit_preview(self._preview, pipe, estimate_denoised(scheduler, model_output, output))

    def _emit_preview(self, preview: LatentPreview, pipe: DiffusionPipeline, estimate: Tensor) -> None:
        width, height = self._size
        unpacked = latents.unpack_latents(pipe, estimate, height, width, frames_first=preview.frames_first)
        if unpacked is not None and unpacked.shape[1] == preview.channels:
            self._ctx.emit(api.Preview(lambda: self._render_preview(preview, unpacked)))

    def _render_preview(self, preview: LatentPreview, unpacked: Tensor) -> NDArray[np.uint8]:
        float(unpacked.flatten()[0])  # waits until the step itself is done
        start = time.monotonic()
        image = resize_preview(preview.to_image(unpacked), self._size)
        self._previewed_at = time.monotonic()
        self._preview_seconds = self._previewed_at - start
        return image


def resize_preview(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Enlarge a preview [h, w, 3] of 8 bits to the size (width, height) of the image, at most `PREVIEW_SIDE` px."""
    import cv2

    scale = min(1.0, PREVIEW_SIDE / max(size))
    width, height = (max(1, round(side * scale)) for side in size)
    if image.shape[0] >= height and image.shape[1] >= width:
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def count_steps_done(scheduler: SchedulerMixin, timestep: Tensor | float | None) -> int:
    """Count the timesteps that are done after the step at `timestep`, if the scheduler does not count them itself."""
    step_index = getattr(scheduler, "step_index", None)
    if step_index is not None or timestep is None:
        return int(step_index or 0)
    current = timestep if isinstance(timestep, int | float) else timestep.flatten()[0].to(scheduler.timesteps)
    return int((scheduler.timesteps >= current).sum())


def estimate_denoised(
    scheduler: SchedulerMixin, model_output: Tensor, output: BaseOutput | tuple[Tensor, ...]
) -> Tensor:
    """Return the scheduler's estimate of the final latents after a step, or the current latents if it has none."""
    values = output if isinstance(output, tuple) else tuple(output.values())
    current: Tensor = values[0]
    if len(values) > 1 and getattr(values[1], "shape", None) == current.shape:
        estimate: Tensor = values[1]
        return estimate
    outputs = getattr(scheduler, "model_outputs", None)
    predicts_denoised = str(scheduler.config.get("algorithm_type", "")).endswith("++")
    if outputs and outputs[-1] is not None and (predicts_denoised or scheduler.config.get("predict_x0")):
        last: Tensor = outputs[-1]
        return last
    if type(scheduler).__name__ == "FlowMatchEulerDiscreteScheduler" and scheduler.step_index is not None:
        sigma: Tensor = scheduler.sigmas[scheduler.step_index]
        return current - sigma.to(current) * model_output.to(current)
    return current


def _list_schedulers(pipe: DiffusionPipeline) -> list[SchedulerMixin]:
    """Return the schedulers in the order in which they work: a prior's comes before the decoder's."""
    from diffusers import SchedulerMixin

    named = [(name, component) for name, component in pipe.components.items() if isinstance(component, SchedulerMixin)]
    return [scheduler for _, scheduler in sorted(named, key=lambda item: not item[0].startswith("prior_"))]
