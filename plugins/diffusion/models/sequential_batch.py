"""Denoisers that process one member of a batch at a time, which takes about half the memory of two.

Guidance makes batches of two: the prompt, and the negative or empty prompt.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from ..checkpoints.families import DENOISERS

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import nn

_LATENT_ARGUMENTS = ("sample", "hidden_states", "x")
"""Names of the argument that takes the latents, where it is passed by name."""


class LargestBatch:
    """Size of the largest batch that a denoiser has received so far."""

    size = 0


@contextmanager
def track_largest_batch(pipe: DiffusionPipeline) -> Iterator[LargestBatch]:
    """Observe the batches that the pipeline's denoisers receive until the block ends."""
    largest = LargestBatch()

    def observe(_: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        largest.size = max(largest.size, _batch_size(_find_latents(args, kwargs)))

    with ExitStack() as hooks:
        for denoiser in _denoisers(pipe):
            hooks.callback(denoiser.register_forward_pre_hook(observe, with_kwargs=True).remove)
        yield largest


def split_batches(pipe: DiffusionPipeline) -> None:
    """Make the denoisers process batches member by member from now on. Outputs are the same up to rounding."""
    for denoiser in _denoisers(pipe):
        denoiser.forward = make_sequential(denoiser.forward)


def make_sequential(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the `forward` of a denoiser so that it is called for one member of the batch at a time."""

    @functools.wraps(forward)
    def sequential_forward(*args: Any, **kwargs: Any) -> Any:
        latents = _find_latents(args, kwargs)
        size, in_lists = _batch_size(latents), isinstance(latents, list)
        if size < 2:
            return forward(*args, **kwargs)
        return _concatenate(
            [
                forward(
                    *(_select(value, index, size, in_lists) for value in args),
                    **{name: _select(value, index, size, in_lists) for name, value in kwargs.items()},
                )
                for index in range(size)
            ]
        )

    return sequential_forward


def _denoisers(pipe: DiffusionPipeline) -> list[nn.Module]:
    return [part for name, part in pipe.components.items() if name in DENOISERS and part is not None]


def _find_latents(args: tuple[object, ...], kwargs: dict[str, object]) -> object:
    return args[0] if args else next((kwargs[name] for name in _LATENT_ARGUMENTS if name in kwargs), None)


def _batch_size(latents: object) -> int:
    """Return n for a tensor [n, …] or a list of n tensors."""
    import torch

    if isinstance(latents, list):
        return len(latents)
    return int(latents.shape[0]) if isinstance(latents, torch.Tensor) and latents.ndim else 0


def _select(value: object, index: int, size: int, in_lists: bool) -> object:
    """Select one member of the batch: a slice of what has the size of the batch, and all of anything else."""
    import torch

    if isinstance(value, torch.Tensor):
        return value[index : index + 1] if value.ndim and len(value) == size else value
    if isinstance(value, dict):
        return {name: _select(item, index, size, in_lists) for name, item in value.items()}
    if isinstance(value, list) and in_lists and len(value) == size:
        return value[index : index + 1]
    if isinstance(value, list | tuple):
        return type(value)(_select(item, index, size, in_lists) for item in value)
    return value


def _concatenate(outputs: list[Any]) -> Any:
    """Join the outputs for each member into the output for the batch."""
    import torch
    from diffusers.utils import BaseOutput

    first = outputs[0]
    if isinstance(first, torch.Tensor):
        return torch.cat(outputs)
    if isinstance(first, BaseOutput):
        return type(first)(**{name: _concatenate([output[name] for output in outputs]) for name in first})
    if isinstance(first, tuple):
        return tuple(_concatenate([output[place] for output in outputs]) for place in range(len(first)))
    if isinstance(first, list):
        return [item for output in outputs for item in output]
    return first
