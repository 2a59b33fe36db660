"""What every training needs: a checkpoint, a way back from NaN, pausing, and the time left."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from studio.api.context import Context
from studio.api.events import Event, Notice, Progress
from studio.api.model_files import read_tensors, write_tensors
from studio.core.errors import OutOfMemory, Paused, StudioError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

MOST_REWINDS = 3
REMEMBERED = 100
"""Steps over which `TrainingState.loss` is averaged."""


@dataclass
class TrainingState:
    """Where a training stands. `rate_scale` is halved at each rewind, `loss` is a moving average."""

    step: int = 0
    rewinds: int = 0
    rate_scale: float = 1.0
    seconds: float = 0.0
    loss: float = 0.0


class NotFiniteError(ArithmeticError):
    """A loss, a gradient or a weight is NaN or infinite."""


class Training:
    """Networks and optimisers that learn together, kept in one safetensors file in `checkpoint_dir`.

    A subclass writes `step` and calls `optimizer_step` and `finish_step` in it. Where all that is random in a
    step follows from its number, a training that was killed and went on ends with the same weights as one that was not.

    `networks` and `optimizers` are named as in the checkpoint; of a network, the buffers and what asks for gradients
    are kept. `averages` gives networks that follow others, by `ema` (the share that stays at each step): (average, of).
    `rate` is the learning rate at a step.
    """

    CHECKPOINT: ClassVar[str] = "checkpoint.safetensors"

    def __init__(
        self,
        checkpoint_dir: Path,
        *,
        networks: Mapping[str, nn.Module],
        optimizers: Mapping[str, torch.optim.Optimizer],
        rate: Callable[[int], float],
        averages: Mapping[str, tuple[nn.Module, nn.Module]] | None = None,
        ema: float = 0.999,
    ) -> None:
        self.checkpoint_dir, self.state = checkpoint_dir, TrainingState()
        self._optimizers, self._rate, self._ema = optimizers, rate, ema
        self._averages = [*(averages or {}).values()]
        named = {name: (network, network) for name, network in networks.items()} | dict(averages or {})
        self._kept = {name: (network, _learnt(like)) for name, (network, like) in named.items()}
        self._learning = [value for one in networks.values() for value in one.parameters() if value.requires_grad]

    def step(self) -> None:
        """Learns from one batch. Raises NotFiniteError, leaving the weights as they were."""
        raise NotImplementedError

    def status(self) -> str:
        """How well it goes, in a few words."""
        return f"loss {self.state.loss:.3f}"

    def optimizer_step(self, loss: Tensor, optimizer: str = "optimizer", *, clip: float = 1.0) -> float:
        """One step of an optimiser down the gradient of `loss`, whose norm is cut to `clip`. Returns the loss.

        Raises NotFiniteError, leaving the weights as they were.
        """
        import torch

        self._optimizers[optimizer].zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        return self._descend(float(loss.detach()), optimizer, clip)

    def parallel_optimizer_step(
        self, losses: Sequence[Callable[[], Tensor]], optimizer: str = "optimizer", *, clip: float = 1.0
    ) -> float:
        """As `optimizer_step`, for the sum of losses that are found beside each other, each in a thread with one core.

        On a processor a small network learns a batch faster in such parts than by operations that share the cores. A
        single one has all cores.
        """
        import torch

        if len(losses) == 1:
            return self.optimizer_step(losses[0](), optimizer, clip=clip)
        cores = torch.get_num_threads()
        values = self._values(optimizer)

        def found(loss: Callable[[], Tensor]) -> tuple[float, tuple[Tensor | None, ...]]:
            torch.set_num_threads(1)
            value = loss()
            return float(value.detach()), torch.autograd.grad(value, values, allow_unused=True)

        try:
            with ThreadPoolExecutor(len(losses)) as threads:
                parts = [*threads.map(found, losses)]
        finally:
            torch.set_num_threads(cores)
        for number, value in enumerate(values):
            gradients = [some[number] for _, some in parts]
            known = [gradient for gradient in gradients if gradient is not None]
            value.grad = sum(known[1:], known[0]) if known else None
        return self._descend(sum(value for value, _ in parts), optimizer, clip)

    def _values(self, optimizer: str) -> list[Tensor]:
        return [value for group in self._optimizers[optimizer].param_groups for value in group["params"]]

    def _descend(self, loss: float, optimizer: str, clip: float) -> float:
        import torch

        descending = self._optimizers[optimizer]
        for group in descending.param_groups:
            group["lr"] = self._rate(self.state.step) * self.state.rate_scale
        norm = torch.nn.utils.clip_grad_norm_(self._values(optimizer), clip)
        if not math.isfinite(loss + float(norm)):
            raise NotFiniteError
        descending.step()
        return loss

    def finish_step(self, loss: float) -> None:
        """Ends a step: the averages follow, and it is counted."""
        import torch

        state = self.state
        state.step += 1
        state.loss += (loss - state.loss) / min(state.step, REMEMBERED)
        decay = min(self._ema, (1 + state.step) / (10 + state.step))
        with torch.no_grad():
            for average, of in self._averages:
                pairs = [*zip(average.parameters(), of.parameters(), strict=True)]
                moving = [(mean, value) for mean, value in pairs if value.requires_grad]
                torch._foreach_lerp_([mean for mean, _ in moving], [value for _, value in moving], 1 - decay)

    def run(
        self,
        ctx: Context,
        steps: int,
        *,
        shown: Callable[[int], Iterator[Event]],
        too_large: str,
        save_every: float = 30.0,
    ) -> Iterator[Event]:
        """Goes on from the checkpoint, or begins, and learns until `steps` are done.

        `shown(step)` yields what there is to see after a step. What it measures is kept with that step, so that a kill
        between the two repeats both. `too_large` says what needs more memory than there is.
        Raises Paused when the artist asked for it, and OutOfMemory.
        """
        import torch

        yield from self._begin(steps)
        clock = saved = began = time.monotonic()
        state, first = self.state, self.state.step
        while state.step < steps:
            try:
                self.step()
                yield from shown(state.step)
                now = time.monotonic()
                state.seconds += now - clock
                clock = now
                pausing = ctx.pause_requested
                if pausing or now - saved > save_every or state.step == steps:
                    self.save()
                    saved = now
            except NotFiniteError:
                self.rewind()
                state = self.state
                first, began = state.step, time.monotonic()
                yield Notice(
                    f"The training broke down, and goes on from step {first:,} at half the learning rate.", "warning"
                )
                continue
            except torch.OutOfMemoryError as error:
                raise OutOfMemory(too_large, "Take fewer at a time.") from error
            if pausing:
                raise Paused
            left = (now - began) / (state.step - first) * (steps - state.step)
            words = " · ".join(part for part in (self.status(), format_time_left(left)) if part)
            yield Progress(state.step, steps, words)

    def _begin(self, steps: int) -> Iterator[Event]:
        if self.resume():
            yield Notice(f"Goes on from step {self.state.step:,} of {steps:,}.")
            return
        if (self.checkpoint_dir / self.CHECKPOINT).exists():
            yield Notice("What was learnt before the break cannot be read, so it begins again.", "warning")
        self.save()

    def rewind(self) -> None:
        """Back to the last checkpoint at half the learning rate.

        Raises StudioError after the third time in one training.
        """
        scale, rewinds = self.state.rate_scale, self.state.rewinds
        if rewinds >= MOST_REWINDS:
            raise StudioError(
                f"The training broke down {rewinds + 1} times and was stopped at step {self.state.step:,}.",
                "Lower the learning rate, and look for odd files in the folder.",
            )
        if not self.resume():
            raise StudioError("The training broke down at its first steps.", "Lower the learning rate.")
        self.state.rate_scale, self.state.rewinds = scale / 2, rewinds + 1
        self.save()

    def save(self) -> None:
        """Writes the checkpoint, whole or not at all. Raises NotFiniteError when the weights are not fit to keep."""
        if not all(bool(value.isfinite().all()) for value in self._learning):
            raise NotFiniteError
        tensors: dict[str, Tensor] = {}
        for name, (network, learnt) in self._kept.items():
            tensors |= _named(f"{name}.", {key: value for key, value in network.state_dict().items() if key in learnt})
        for name, optimizer in self._optimizers.items():
            for number, slots in optimizer.state_dict()["state"].items():
                tensors |= _named(f"{name}.{number}.", slots)
        write_tensors(self.checkpoint_dir / self.CHECKPOINT, tensors, asdict(self.state))

    def resume(self) -> bool:
        """Goes on from the checkpoint. False, with nothing changed, where there is none that fits."""
        try:
            tensors, notes = read_tensors(self.checkpoint_dir / self.CHECKPOINT)
            state = TrainingState(**notes)
            parts: dict[str, dict[str, Tensor]] = {name: {} for name in (*self._kept, *self._optimizers)}
            for name, value in tensors.items():
                part, _, rest = name.partition(".")
                parts[part][rest] = value
        except (OSError, ValueError, TypeError, KeyError):
            return False
        for name, (network, learnt) in self._kept.items():
            wanted = {key: value.shape for key, value in network.state_dict().items() if key in learnt}
            if {key: value.shape for key, value in parts[name].items()} != wanted:
                return False
        for name, (network, _) in self._kept.items():
            network.load_state_dict(parts[name], strict=False)
        for name, optimizer in self._optimizers.items():
            slots: dict[int, dict[str, Tensor]] = {}
            for key, value in parts[name].items():
                number, _, slot = key.partition(".")
                slots.setdefault(int(number), {})[slot] = value
            optimizer.load_state_dict({**optimizer.state_dict(), "state": slots})
        self.state = state
        return True


def format_time_left(seconds: float) -> str:
    """As a person says it; nothing where there is none."""
    if seconds >= 5400:
        return f"about {seconds / 3600:.1f} hours left"
    if seconds >= 90:
        return f"about {seconds / 60:.0f} minutes left"
    if seconds >= 10:
        return f"about {seconds:.0f} seconds left"
    return "a few seconds left" if seconds > 0 else ""


def _learnt(network: nn.Module) -> set[str]:
    """The names of what changes: of a frozen model with added layers, those layers and the buffers."""
    frozen = {name for name, value in network.named_parameters() if not value.requires_grad}
    return set(network.state_dict()) - frozen


def _named(prefix: str, tensors: Mapping[str, Any]) -> dict[str, Tensor]:
    return {prefix + name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
