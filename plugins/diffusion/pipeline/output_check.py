"""Check of a pipeline's output: numbers that are not finite would become a black picture without a word."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from studio import api

from ..patching import patched_method

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

_PROCESSORS = (("image_processor", "postprocess"), ("video_processor", "postprocess_video"))


@contextmanager
def refuse_nan(pipe: DiffusionPipeline, title: str) -> Iterator[None]:
    """Raise BadInput where the pipeline is about to convert numbers to a picture that are not finite."""
    import torch

    def wrap(convert: Callable[..., Any]) -> Callable[..., Any]:
        def check_and_convert(*args: Any, **options: Any) -> Any:
            tensors = [value for value in (*args, *options.values()) if isinstance(value, torch.Tensor)]
            if not all(value.isfinite().all() for value in tensors):
                raise api.BadInput(
                    f"{title} computed numbers that are no colours (NaN or infinity), so there is no image.",
                    "Its weights, a LoRA or its autoencoder may be damaged or too coarse: try without additions, "
                    "another autoencoder, or more bits.",
                )
            return convert(*args, **options)

        return check_and_convert

    with ExitStack() as patches:
        for name, method in _PROCESSORS:
            processor = getattr(pipe, name, None)
            if hasattr(processor, method):
                patches.enter_context(patched_method(processor, method, wrap))
        yield
