"""What the denoisers said, in order, so that a picture can be gone on with.

A pipeline's loop is deterministic but for the denoiser's cost. Running it again from its
start with the recorded answers brings latents, sampler and generators to the same state,
bit by bit, for every family and sampler, and costs no denoising. So a picture goes on after
a pause, a restart, or a lack of memory.
"""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from studio import api

from ..modifiers.step_cache import CacheState

GPU_BUDGET = 512 << 20
"""Bytes of answers that stay in an accelerator's own memory; a video's come to gigabytes."""
_NAME = "denoised.safetensors"
_MAIN = "cpu"


class Replay:
    """The answers so far. `position` is how many of them this run of the loop has used.

    `carried` is what a cache of the denoiser held after the last of them. The `answers` that a tape begins with lie in
    main memory, and so do those beyond `GPU_BUDGET` bytes; they are given out on the `device`.
    """

    def __init__(self, answers: list[Any] | None = None, carried: list[Any] | None = None, device: str = _MAIN) -> None:
        self.answers: list[Any] = answers or []
        self.carried: list[Any] = carried or []
        self.position = 0
        self._anew = True
        self._device = device
        self._away = {*range(len(self.answers))}
        self._held = 0

    def rewind(self) -> None:
        self.position = 0
        self._anew = True

    @property
    def replaying(self) -> bool:
        """Whether the next answer is on the tape already."""
        return self.position < len(self.answers)

    def taped(self, forward: Callable[..., Any], cache: CacheState | None = None) -> Callable[..., Any]:
        """`forward` of a denoiser, which is only asked for what is not on the tape."""

        @functools.wraps(forward)
        def answer(*args: Any, **kwargs: Any) -> Any:
            if self.replaying:
                place, self.position = self.position, self.position + 1
                return _copied(self.answers[place], self._device if place in self._away else None)
            if cache is not None and self._anew:
                cache.restore(self.carried)
            self._anew = False
            said = forward(*args, **kwargs)
            self._keep(said)
            self.carried = cache.capture() if cache is not None else []
            self.position += 1
            return _copied(said)

        return answer

    def _keep(self, said: Any) -> None:
        size = _bytes_outside(said)
        away = self._held + size > GPU_BUDGET
        if away:
            self._away.add(len(self.answers))
        else:
            self._held += size
        self.answers.append(_copied(said, _MAIN if away else None))

    def idle(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        """`forward` of what only speaks to a denoiser, which is not asked while that one does not listen.

        A denoiser listens to one answer at most twice, with the words and without.
        """
        last: Any = None

        @functools.wraps(forward)
        def answer(*args: Any, **kwargs: Any) -> Any:
            nonlocal last
            if last is None or self.position + 2 > len(self.answers):
                last = forward(*args, **kwargs)
            return last

        return answer

    def save(self, folder: Path, about: dict[str, str]) -> None:
        """Written whole, so that a kill leaves the old state or the new one. `about` must match at `load`."""
        from safetensors.torch import save

        tensors: dict[str, Any] = {}
        shape = [_taken_apart(answer, tensors) for answer in self.answers]
        carried = _taken_apart(self.carried, tensors)
        content = save(tensors, {"shape": json.dumps(shape), "carried": json.dumps(carried), **about})
        with api.atomic_write(folder / _NAME) as part:
            part.write_bytes(content)

    @classmethod
    def load(cls, folder: Path, about: dict[str, str], device: str) -> Replay:
        """What `save` kept in the folder; an empty tape where there is nothing, or something that does not match."""
        from safetensors import safe_open

        if not (folder / _NAME).is_file():
            return cls(device=device)
        with safe_open(folder / _NAME, framework="pt", device=_MAIN) as file:
            kept = dict(file.metadata())
            shape, carried = json.loads(kept.pop("shape")), json.loads(kept.pop("carried", '{"list": []}'))
            if kept != about:
                return cls(device=device)
            return cls(
                [_put_together(one, file.get_tensor) for one in shape],
                _put_together(carried, lambda name: file.get_tensor(name).to(device)),
                device,
            )


def _copied(value: Any, device: str | None = None) -> Any:
    """Some loops change an answer in place. Without a `device` it stays on its own."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.detach().to(device or value.device, copy=True)
    if isinstance(value, list | tuple):
        return type(value)(_copied(one, device) for one in value)
    if _is_output(value):
        return type(value)(**{name: _copied(one, device) for name, one in value.items()})
    return value


def _bytes_outside(value: Any) -> int:
    """How much of an answer is not in main memory."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.nbytes if value.device.type != _MAIN else 0
    if isinstance(value, list | tuple):
        return sum(map(_bytes_outside, value))
    return sum(map(_bytes_outside, value.values())) if _is_output(value) else 0


def _taken_apart(value: Any, tensors: dict[str, Any]) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()  # no two may share their memory
        return {"tensor": name}
    if isinstance(value, torch.dtype | torch.device):
        return {type(value).__name__: str(value).removeprefix("torch.")}
    if isinstance(value, list | tuple):
        return {"list" if isinstance(value, list) else "tuple": [_taken_apart(one, tensors) for one in value]}
    if _is_output(value):
        kind = type(value)
        return {
            "output": f"{kind.__module__}:{kind.__qualname__}",
            "fields": {name: _taken_apart(one, tensors) for name, one in value.items()},
        }
    if isinstance(value, dict):
        return {"dict": [[key, _taken_apart(one, tensors)] for key, one in value.items()]}
    return {"plain": value}


def _put_together(shape: Any, tensor: Callable[[str], Any]) -> Any:
    match shape:
        case {"tensor": name}:
            return tensor(name)
        case {"dtype": str(name)}:
            return _dtype(name)
        case {"device": str(name)}:
            return _device(name)
        case {"dict": items}:
            return {key: _put_together(one, tensor) for key, one in items}
        case {"list": items}:
            return [_put_together(one, tensor) for one in items]
        case {"tuple": items}:
            return tuple(_put_together(one, tensor) for one in items)
        case {"output": kind, "fields": fields}:
            module, name = kind.split(":")
            if not module.startswith(("diffusers.", "transformers.")):
                raise _damaged()
            return getattr(importlib.import_module(module), name)(
                **{field: _put_together(one, tensor) for field, one in fields.items()}
            )
        case _:
            return shape["plain"]


def _dtype(name: str) -> Any:
    import torch

    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise _damaged()
    return found


def _device(name: str) -> Any:
    import torch

    return torch.device(name)


def _damaged() -> api.StudioError:
    return api.StudioError("The paused state of this picture is damaged.", "Start it again.")


def _is_output(value: Any) -> bool:
    from diffusers.utils import BaseOutput

    return isinstance(value, BaseOutput)
