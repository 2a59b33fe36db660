"""Record the outputs of the denoisers, so that a paused image is resumed without denoising again.

A pipeline's loop is deterministic, and only the denoiser is expensive. Running the loop from its start with the
recorded outputs brings latents, scheduler and generators bit by bit to the same state, for every family and sampler.
An image is resumed in this way after a pause, a restart, or a lack of memory.
"""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from ..modifiers.step_cache import CacheState

if TYPE_CHECKING:
    import torch
    from diffusers.utils import BaseOutput
    from torch import Tensor
    from typing_extensions import TypeIs

GPU_BUDGET = 512 << 20
"""Maximum number of bytes of outputs that stay in a GPU's memory. Those of a video can take gigabytes."""
_FILE_NAME = "denoised.safetensors"
_MAIN_MEMORY = "cpu"


class Replay:
    """The denoiser outputs of an image in the making, in the order of the calls.

    `outputs` given at the start are in main memory, as are those that exceed `GPU_BUDGET`; the denoiser's caller gets
    them on `device`. `cache_state` is what a step cache held after the last output.
    """

    def __init__(
        self,
        outputs: Sequence[object] = (),
        cache_state: Sequence[Any] = (),
        device: str = _MAIN_MEMORY,
    ) -> None:
        self.outputs = [*outputs]
        self.cache_state = [*cache_state]
        self.position = 0
        """Number of outputs that this run of the loop has used."""
        self._first_call = True
        self._device = device
        self._offloaded = {*range(len(self.outputs))}
        self._gpu_bytes = 0

    def rewind(self) -> None:
        """Begin again with the first output."""
        self.position = 0
        self._first_call = True

    @property
    def is_replaying(self) -> bool:
        """Whether the next output is recorded already."""
        return self.position < len(self.outputs)

    def record(self, forward: Callable[..., object], cache: CacheState | None = None) -> Callable[..., object]:
        """Wrap the `forward` of a denoiser: it is called only for outputs that are not recorded yet."""

        @functools.wraps(forward)
        def call_or_replay(*args: object, **kwargs: object) -> object:
            if self.is_replaying:
                index, self.position = self.position, self.position + 1
                return _copy(self.outputs[index], self._device if index in self._offloaded else None)
            if cache is not None and self._first_call:
                cache.restore(self.cache_state)
            self._first_call = False
            output = forward(*args, **kwargs)
            self._append(output)
            self.cache_state = cache.capture() if cache is not None else []
            self.position += 1
            return _copy(output)

        return call_or_replay

    def _append(self, output: object) -> None:
        size = _count_gpu_bytes(output)
        offload = self._gpu_bytes + size > GPU_BUDGET
        if offload:
            self._offloaded.add(len(self.outputs))
        else:
            self._gpu_bytes += size
        self.outputs.append(_copy(output, _MAIN_MEMORY if offload else None))

    def skip_while_replaying(self, forward: Callable[..., object]) -> Callable[..., object]:
        """Wrap the `forward` of a ControlNet: it is not called while the denoiser that reads its output is replayed.

        A denoiser reads one output at most twice, with and without the prompt.
        """
        output: object = None

        @functools.wraps(forward)
        def call_or_skip(*args: object, **kwargs: object) -> object:
            nonlocal output
            if output is None or self.position + 2 > len(self.outputs):
                output = forward(*args, **kwargs)
            return output

        return call_or_skip

    def save(self, folder: Path, run_id: Mapping[str, str]) -> None:
        """Write the outputs into a folder, whole or not at all. `load` needs the same `run_id`."""
        from safetensors.torch import save

        tensors: dict[str, Tensor] = {}
        shape = [_encode(output, tensors) for output in self.outputs]
        carried = _encode(self.cache_state, tensors)
        content = save(tensors, {"shape": json.dumps(shape), "carried": json.dumps(carried), **run_id})
        with api.atomic_write(folder / _FILE_NAME) as temporary:
            temporary.write_bytes(content)

    @classmethod
    def load(cls, folder: Path, run_id: Mapping[str, str], device: str) -> Replay:
        """Read what `save` wrote. The replay is empty if there is nothing, or something with another `run_id`."""
        from safetensors import safe_open

        if not (folder / _FILE_NAME).is_file():
            return cls(device=device)
        with safe_open(folder / _FILE_NAME, framework="pt", device=_MAIN_MEMORY) as file:
            metadata = dict(file.metadata())
            shape, carried = json.loads(metadata.pop("shape")), json.loads(metadata.pop("carried", '{"list": []}'))
            if metadata != run_id:
                return cls(device=device)
            return cls(
                [_decode(value, file.get_tensor) for value in shape],
                _decode(carried, lambda name: file.get_tensor(name).to(device)),
                device,
            )


def _copy(value: object, device: str | None = None) -> object:
    """Copy an output, since some loops change it in place. Without a `device` it stays on its own."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.detach().to(device or value.device, copy=True)
    if isinstance(value, list | tuple):
        return type(value)(_copy(item, device) for item in value)
    if _is_output(value):
        return type(value)(**{name: _copy(item, device) for name, item in value.items()})
    return value


def _count_gpu_bytes(value: object) -> int:
    """Count the bytes of an output that are not in main memory."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.nbytes if value.device.type != _MAIN_MEMORY else 0
    if isinstance(value, list | tuple):
        return sum(map(_count_gpu_bytes, value))
    return sum(map(_count_gpu_bytes, value.values())) if _is_output(value) else 0


def _encode(value: object, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Return JSON for a value. Its tensors are added to `tensors` under their names in the JSON."""
    import torch

    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()  # no two may share their memory
        return {"tensor": name}
    if isinstance(value, torch.dtype | torch.device):
        return {type(value).__name__: str(value).removeprefix("torch.")}
    if isinstance(value, list | tuple):
        return {"list" if isinstance(value, list) else "tuple": [_encode(item, tensors) for item in value]}
    if _is_output(value):
        output_class = type(value)
        return {
            "output": f"{output_class.__module__}:{output_class.__qualname__}",
            "fields": {name: _encode(item, tensors) for name, item in value.items()},
        }
    if isinstance(value, dict):
        return {"dict": [[key, _encode(item, tensors)] for key, item in value.items()]}
    return {"plain": value}


def _decode(encoded: Mapping[str, Any], get_tensor: Callable[[str], Tensor]) -> Any:
    match encoded:
        case {"tensor": name}:
            return get_tensor(name)
        case {"dtype": str(name)}:
            return _parse_dtype(name)
        case {"device": str(name)}:
            return _parse_device(name)
        case {"dict": items}:
            return {key: _decode(item, get_tensor) for key, item in items}
        case {"list": items}:
            return [_decode(item, get_tensor) for item in items]
        case {"tuple": items}:
            return tuple(_decode(item, get_tensor) for item in items)
        case {"output": str(path), "fields": fields}:
            module, name = path.split(":")
            if not module.startswith(("diffusers.", "transformers.")):
                raise _damage_error()
            output_class = getattr(importlib.import_module(module), name)
            return output_class(**{field: _decode(item, get_tensor) for field, item in fields.items()})
        case _:
            return encoded["plain"]


def _parse_dtype(name: str) -> torch.dtype:
    import torch

    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        raise _damage_error()
    return dtype


def _parse_device(name: str) -> torch.device:
    import torch

    return torch.device(name)


def _damage_error() -> api.StudioError:
    return api.StudioError("The paused state of this image is damaged.", "Generate it again.")


def _is_output(value: object) -> TypeIs[BaseOutput]:
    from diffusers.utils import BaseOutput

    return isinstance(value, BaseOutput)
