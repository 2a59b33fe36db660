"""A denoiser that is asked for one picture of a batch at a time, which takes about half the memory of two.

Guidance asks for two: with the words, and without them or with what to avoid.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ..checkpoints.families import DENOISERS

_SAMPLE = ("sample", "hidden_states", "x")
"""What denoisers call the latents."""


class LargestBatch:
    """The largest batch that a denoiser was asked for so far."""

    size = 0


@contextmanager
def track_largest_batch(pipe: Any) -> Iterator[LargestBatch]:
    """Looks at what the pipeline's denoisers are asked, until the block ends."""
    largest = LargestBatch()

    def look(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        largest.size = max(largest.size, _size(_sample(args, kwargs)))

    with ExitStack() as hooks:
        for denoiser in _denoisers(pipe):
            hooks.callback(denoiser.register_forward_pre_hook(look, with_kwargs=True).remove)
        yield largest


def split_batches(pipe: Any) -> None:
    """From now on, for as long as the denoisers live. What they say is the same up to rounding."""
    for denoiser in _denoisers(pipe):
        denoiser.forward = make_sequential(denoiser.forward)


def make_sequential(forward: Callable[..., Any]) -> Callable[..., Any]:
    """`forward` of a denoiser, called for each member of the batch."""

    @functools.wraps(forward)
    def called(*args: Any, **kwargs: Any) -> Any:
        sample = _sample(args, kwargs)
        size, lists = _size(sample), isinstance(sample, list)
        if size < 2:
            return forward(*args, **kwargs)
        return _joined(
            [
                forward(
                    *(_member(one, number, size, lists) for one in args),
                    **{name: _member(one, number, size, lists) for name, one in kwargs.items()},
                )
                for number in range(size)
            ]
        )

    return called


def _denoisers(pipe: Any) -> list[Any]:
    return [part for name, part in pipe.components.items() if name in DENOISERS and part is not None]


def _sample(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args[0] if args else next((kwargs[name] for name in _SAMPLE if name in kwargs), None)


def _size(sample: Any) -> int:
    """A batch is a tensor [n, …], or a list of n tensors."""
    if isinstance(sample, list):
        return len(sample)
    return int(sample.shape[0]) if getattr(sample, "ndim", 0) else 0


def _member(value: Any, number: int, size: int, lists: bool) -> Any:
    """What belongs to one member of the batch: a slice of what has its size, and all of what has not."""
    import torch

    if isinstance(value, torch.Tensor):
        return value[number : number + 1] if value.ndim and len(value) == size else value
    if isinstance(value, dict):
        return {name: _member(one, number, size, lists) for name, one in value.items()}
    if isinstance(value, list) and lists and len(value) == size:
        return value[number : number + 1]
    if isinstance(value, list | tuple):
        return type(value)(_member(one, number, size, lists) for one in value)
    return value


def _joined(answers: list[Any]) -> Any:
    import torch
    from diffusers.utils import BaseOutput

    first = answers[0]
    if isinstance(first, torch.Tensor):
        return torch.cat(answers)
    if isinstance(first, BaseOutput):
        return type(first)(**{name: _joined([answer[name] for answer in answers]) for name in first})
    if isinstance(first, tuple):
        return tuple(_joined([answer[place] for answer in answers]) for place in range(len(first)))
    if isinstance(first, list):
        return [one for answer in answers for one in answer]
    return first
