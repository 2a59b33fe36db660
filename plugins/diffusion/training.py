"""The training loop of a denoiser: squared error, a moving average, checkpoints, and a way back from NaN.

Everything random follows from the seed and the number of the step, so a run that was killed
and went on from its checkpoint ends with the same weights as one that was not.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from . import denoiser

if TYPE_CHECKING:
    import torch
    from torch import Tensor

CHECKPOINT = "checkpoint.safetensors"
MOST_REWINDS = 3


@dataclass(frozen=True)
class Schedule:
    """The learning rate warms up in a line, and falls to zero along a cosine."""

    steps: int
    learning_rate: float = 1e-3
    ema: float = 0.999
    warm_up: int = 200

    def rate(self, step: int) -> float:
        if step < self.warm_up:
            return self.learning_rate * (step + 1) / self.warm_up
        done = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.learning_rate * (0.5 + 0.5 * math.cos(math.pi * min(1.0, done)))


@dataclass
class Standing:
    """Where a training stands. `rate_scale` is halved at each rewind, `loss` is a moving average."""

    step: int = 0
    rewinds: int = 0
    rate_scale: float = 1.0
    seconds: float = 0.0
    loss: float = 0.0


class NotFiniteError(ArithmeticError):
    """A loss or a gradient is NaN or infinite."""


class Trainer:
    """Trains what of `parts.network` asks for gradients on `batches(step)`: latents [n, c, s, s] and n captions.

    `parts` learn; `averaged` follow, and share what is frozen. `keep` is the folder of the checkpoint, and `resume()`
    goes on from one if it is there.
    """

    def __init__(
        self,
        parts: denoiser.Parts,
        schedule: Schedule,
        batches: Callable[[int], tuple[Tensor, list[str]]],
        keep: Path,
        *,
        seed: int,
        device: str = "cpu",
        half: bool = True,
    ) -> None:
        import torch

        self.parts = parts
        self.network = parts.network.to(device).train()
        parts.unet.to(memory_format=torch.channels_last)
        self.learning = [value for value in self.network.parameters() if value.requires_grad]
        frozen = {id(value): value for value in self.network.parameters() if not value.requires_grad}
        text_encoder, unet = (copy.deepcopy(part, dict(frozen)) for part in (parts.text_encoder, parts.unet))
        self.averaged = denoiser.Parts(parts.tokenizer, text_encoder, unet, parts.scheduler)
        self.ema = self.averaged.network.eval().requires_grad_(False)
        self.schedule, self.batches, self.keep = schedule, batches, keep
        self.seed, self.device, self.half = seed, device, half
        self.optimizer = torch.optim.AdamW(self.learning, betas=(0.9, 0.99), weight_decay=0.01)
        self.standing = Standing()

    def compile(self) -> None:
        """Has the networks that learn compiled at the first step; those that are painted with stay as they are."""
        self.parts.unet.compile()
        self.parts.text_encoder.compile()

    def step(self) -> float:
        """One step. Returns its loss. Raises NotFiniteError, leaving the weights as they were."""
        import torch

        standing, scheduler = self.standing, self.parts.scheduler
        latents, texts = self.batches(standing.step)
        latents = latents.to(self.device)
        noise, times = (value.to(self.device) for value in self._chance(latents))
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate(standing.step) * standing.rate_scale
        noisy = scheduler.add_noise(latents, noise, times)
        wanted = _wanted(scheduler, latents, noise, times)
        words = denoiser.tokens(self.parts.tokenizer, texts).to(self.device)
        with self._attention(), torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.half):
            said = self.parts.text_encoder(words).last_hidden_state
            made = self.parts.unet(noisy, times, said).sample
        loss = (made.float() - wanted).square().mean()
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(self.learning, 1.0)
        value = float(loss.detach())
        if not math.isfinite(value + float(norm)):
            raise NotFiniteError
        self.optimizer.step()
        standing.step += 1
        standing.loss += (value - standing.loss) / min(standing.step, 100)
        self._follow()
        return value

    def rewind(self) -> None:
        """Back to the last checkpoint at half the learning rate.

        Raises StudioError after the third time in one training.
        """
        scale, rewinds = self.standing.rate_scale, self.standing.rewinds
        if rewinds >= MOST_REWINDS:
            raise api.StudioError(
                f"The training broke down {rewinds + 1} times and was stopped at step {self.standing.step:,}.",
                "Lower the learning rate, and look for odd pictures in the folder.",
            )
        if not self.resume():
            raise api.StudioError("The training broke down at its first steps.", "Lower the learning rate.")
        self.standing.rate_scale, self.standing.rewinds = scale / 2, rewinds + 1
        self.save()

    def save(self) -> None:
        """Writes the checkpoint, whole or not at all. Raises NotFiniteError when the weights are not fit to keep."""
        from safetensors.torch import save_file

        if not all(bool(value.isfinite().all()) for value in self.learning):
            raise NotFiniteError
        tensors = _named("model.", self._learnt(self.network)) | _named("ema.", self._learnt(self.ema))
        for number, slots in self.optimizer.state_dict()["state"].items():
            tensors |= _named(f"optimizer.{number}.", slots)
        with api.written_whole(self.keep / CHECKPOINT) as part:
            save_file(tensors, part, metadata={"notes": json.dumps(asdict(self.standing))})

    def resume(self) -> bool:
        """Goes on from the checkpoint in `keep`. False, with nothing changed, where there is none that fits."""
        try:
            tensors, notes = _read(self.keep / CHECKPOINT)
            standing = Standing(**notes)
            parts: dict[str, dict[str, Tensor]] = {"model": {}, "ema": {}, "optimizer": {}}
            for name, value in tensors.items():
                part, _, rest = name.partition(".")
                parts[part][rest] = value
            if _shapes(parts["model"]) != _shapes(self._learnt(self.network)):
                return False
        except (OSError, ValueError, TypeError, KeyError):
            return False
        self.network.load_state_dict(parts["model"], strict=False)
        self.ema.load_state_dict(parts["ema"], strict=False)
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in parts["optimizer"].items():
            number, _, slot = name.partition(".")
            state.setdefault(int(number), {})[slot] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.standing = standing
        return True

    def _learnt(self, network: Any) -> dict[str, Tensor]:
        """The weights that learn, by name: of a frozen model with added layers, only those layers."""
        learning = {name for name, value in self.network.named_parameters() if value.requires_grad}
        return {name: value for name, value in network.named_parameters() if name in learning}

    def _chance(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Noise, and a time for each picture, spread evenly over the schedule."""
        import torch

        chance = torch.Generator("cpu").manual_seed(self.seed * 1_000_003 + self.standing.step)
        noise = torch.randn(latents.shape, generator=chance)
        count, most = len(latents), self.parts.scheduler.config.num_train_timesteps
        even = (torch.arange(count) + torch.rand(count, generator=chance)) / count
        return noise, (even * most).long().clamp(max=most - 1)

    def _attention(self) -> AbstractContextManager[None]:
        """On a processor, plain attention is a quarter quicker than the fused one for so few tokens."""
        from torch.nn.attention import SDPBackend, sdpa_kernel

        return sdpa_kernel(SDPBackend.MATH) if self.device == "cpu" else nullcontext()

    def _follow(self) -> None:
        import torch

        step = self.standing.step
        decay = min(self.schedule.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_([*self._learnt(self.ema).values()], [*self._learnt(self.network).values()], 1 - decay)


def _wanted(scheduler: Any, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """What a UNet of this schedule foretells: the velocity, the noise, or the picture."""
    match scheduler.config.prediction_type:
        case "v_prediction":
            velocity: Tensor = scheduler.get_velocity(latents, noise, times)
            return velocity
        case "epsilon":
            return noise
        case _:
            return latents


def _shapes(tensors: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in tensors.items()}


def _named(prefix: str, tensors: dict[str, Any]) -> dict[str, Tensor]:
    return {prefix + name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Raises OSError or ValueError when the file is missing or damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            return tensors, json.loads((file.metadata() or {}).get("notes", "{}"))
    except SafetensorError as error:
        raise ValueError(f"{path.name} is damaged") from error
