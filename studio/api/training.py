"""A training loop with checkpoints, recovery from NaN and pausing, and the parameters that trainings share."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from studio.api.context import Context, pause_if_requested
from studio.api.events import Event, Notice, Progress
from studio.api.model_files import UNREADABLE, read_tensors, write_tensors
from studio.api.params import FolderInput, Params, param
from studio.core.errors import BadInput, OutOfMemory, StudioError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    Gradients = tuple[Tensor | None, ...]

MAX_REWINDS = 3
"""Number of times that one training may return to its checkpoint because of NaN."""
LOSS_WINDOW = 100
"""Number of steps over which `TrainingState.loss` is averaged."""


@dataclass
class TrainingState:
    """The progress of a training, as it stands in the checkpoint."""

    step: int = 0
    rewinds: int = 0
    rate_scale: float = 1.0
    """Factor on the learning rate; halved at each rewind."""
    seconds: float = 0.0
    """Time spent in steps and previews."""
    loss: float = 0.0
    """Moving average."""


class NotFiniteError(ArithmeticError):
    """A loss, a gradient or a weight is NaN or infinite."""


class Training:
    """Networks and optimizers that are trained together, with a checkpoint in one safetensors file.

    A subclass implements `step`, which calls `optimizer_step` and `finish_step`. If all randomness of a step follows
    from its number (see `step_generator`), a training that was killed and resumed ends with the same weights as one
    that was not.
    """

    CHECKPOINT: ClassVar[str] = "checkpoint.safetensors"

    def __init__(
        self,
        checkpoint_dir: Path,
        *,
        networks: Mapping[str, nn.Module],
        optimizers: Mapping[str, torch.optim.Optimizer],
        learning_rate: Callable[[int], float],
        averages: Mapping[str, tuple[nn.Module, nn.Module]] | None = None,
        ema: float = 0.999,
    ) -> None:
        """Set up a training that begins at step 0; `run` resumes it from a checkpoint.

        `networks` and `optimizers` are named as in the checkpoint. Of a network, buffers and the parameters that
        require gradients are saved. `averages` maps names to (average, source): the weights of `average` follow those
        of `source` with the decay `ema` per step. `learning_rate` gives the learning rate at a step.
        """
        self.checkpoint_dir, self.state = checkpoint_dir, TrainingState()
        self._optimizers, self._learning_rate, self._ema = optimizers, learning_rate, ema
        self._averages = [*(averages or {}).values()]
        sources = {name: (network, network) for name, network in networks.items()} | dict(averages or {})
        self._saved = {name: (network, _trained_names(source)) for name, (network, source) in sources.items()}
        self._parameters = [
            value for network in networks.values() for value in network.parameters() if value.requires_grad
        ]

    def step(self) -> None:
        """Train on one batch. Raises NotFiniteError, leaving the weights as they were."""
        raise NotImplementedError

    def status(self) -> str:
        """Return a few words about the current quality, shown beside the progress."""
        return f"loss {self.state.loss:.3f}"

    def optimizer_step(self, loss: Tensor, optimizer: str = "optimizer", *, clip: float = 1.0) -> float:
        """Take one step of an optimizer along the gradient of `loss`, clipped to the norm `clip`. Returns the loss.

        Raises NotFiniteError, leaving the weights as they were.
        """
        import torch

        self._optimizers[optimizer].zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        return self._apply_gradients(float(loss.detach()), optimizer, clip)

    def parallel_optimizer_step(
        self, losses: Sequence[Callable[[], Tensor]], optimizer: str = "optimizer", *, clip: float = 1.0
    ) -> float:
        """Take one step as `optimizer_step` does for the sum of losses, computing each in its own thread on one core.

        On a CPU a small network trains faster on parts of a batch side by side than with operations that share the
        cores. A single loss uses all cores.
        """
        import torch

        if len(losses) == 1:
            return self.optimizer_step(losses[0](), optimizer, clip=clip)
        cores = torch.get_num_threads()
        parameters = self._parameters_of(optimizer)

        def compute(loss: Callable[[], Tensor]) -> tuple[float, Gradients]:
            torch.set_num_threads(1)
            value = loss()
            return float(value.detach()), torch.autograd.grad(value, parameters, allow_unused=True)

        try:
            with ThreadPoolExecutor(len(losses)) as threads:
                parts = [*threads.map(compute, losses)]
        finally:
            torch.set_num_threads(cores)
        for number, parameter in enumerate(parameters):
            gradients = [gradient for _, part in parts if (gradient := part[number]) is not None]
            parameter.grad = sum(gradients[1:], gradients[0]) if gradients else None
        return self._apply_gradients(sum(loss for loss, _ in parts), optimizer, clip)

    def _parameters_of(self, optimizer: str) -> list[Tensor]:
        return [value for group in self._optimizers[optimizer].param_groups for value in group["params"]]

    def _apply_gradients(self, loss: float, optimizer: str, clip: float) -> float:
        import torch

        stepping = self._optimizers[optimizer]
        for group in stepping.param_groups:
            group["lr"] = self._learning_rate(self.state.step) * self.state.rate_scale
        norm = torch.nn.utils.clip_grad_norm_(self._parameters_of(optimizer), clip)
        if not math.isfinite(loss + float(norm)):
            raise NotFiniteError
        stepping.step()
        return loss

    def finish_step(self, loss: float) -> None:
        """Count a step, add its loss to the moving average, and update the averaged networks."""
        import torch

        state = self.state
        state.step += 1
        state.loss += (loss - state.loss) / min(state.step, LOSS_WINDOW)
        decay = min(self._ema, (1 + state.step) / (10 + state.step))
        with torch.no_grad():
            for average, source in self._averages:
                pairs = [*zip(average.parameters(), source.parameters(), strict=True)]
                moving = [(mean, value) for mean, value in pairs if value.requires_grad]
                torch._foreach_lerp_([mean for mean, _ in moving], [value for _, value in moving], 1 - decay)

    def run(
        self,
        ctx: Context,
        steps: int,
        *,
        after_step: Callable[[int], Iterator[Event]],
        memory_error: str,
        save_every: float = 30.0,
    ) -> Iterator[Event]:
        """Train until `steps` are done, resuming from the checkpoint if there is one.

        `after_step(step)` yields previews of the result after a step. Values that it computes and saves belong to that
        step: after a kill between the two, both are repeated. `memory_error` is the sentence for the artist when the
        device has too little memory. The checkpoint is saved every `save_every` seconds.
        Raises Paused if the artist asked for it, and OutOfMemory.
        """
        import torch

        yield from self._start(steps)
        clock = saved = began = time.monotonic()
        state, first = self.state, self.state.step
        while state.step < steps:
            try:
                self.step()
                yield from after_step(state.step)
                now = time.monotonic()
                state.seconds += now - clock
                clock = now
                if now - saved > save_every or state.step == steps:
                    self.save()
                    saved = now
                pause_if_requested(ctx, self.save)
            except NotFiniteError:
                self.rewind()
                state = self.state
                first, began = state.step, time.monotonic()
                yield Notice(
                    f"The loss became NaN or infinite. The training resumes at step {first:,} with half the "
                    "learning rate.",
                    "warning",
                )
                continue
            except torch.OutOfMemoryError as error:
                raise OutOfMemory(memory_error, "Lower the batch size.") from error
            seconds_left = (now - began) / (state.step - first) * (steps - state.step)
            words = " · ".join(part for part in (self.status(), format_time_left(seconds_left)) if part)
            yield Progress(state.step, steps, words)

    def _start(self, steps: int) -> Iterator[Event]:
        if self.resume():
            yield Notice(f"Resumes at step {self.state.step:,} of {steps:,}.")
            return
        if (self.checkpoint_dir / self.CHECKPOINT).exists():
            yield Notice("The checkpoint is damaged, so the training starts again from the beginning.", "warning")
        self.save()

    def rewind(self) -> None:
        """Return to the last checkpoint with half the learning rate.

        Raises StudioError after `MAX_REWINDS` times in one training.
        """
        scale, rewinds = self.state.rate_scale, self.state.rewinds
        if rewinds >= MAX_REWINDS:
            raise StudioError(
                f"The training diverged {rewinds + 1} times and was stopped at step {self.state.step:,}.",
                "Lower the learning rate, and check the training data for damaged files.",
            )
        if not self.resume():
            raise StudioError("The training diverged in its first steps.", "Lower the learning rate.")
        self.state.rate_scale, self.state.rewinds = scale / 2, rewinds + 1
        self.save()

    def save(self) -> None:
        """Write the checkpoint, whole or not at all. Raises NotFiniteError if a weight is NaN or infinite."""
        if not all(bool(value.isfinite().all()) for value in self._parameters):
            raise NotFiniteError
        tensors: dict[str, Tensor] = {}
        for name, (network, names) in self._saved.items():
            values = {key: value for key, value in network.state_dict().items() if key in names}
            tensors |= _copy_with_prefix(f"{name}.", values)
        for name, optimizer in self._optimizers.items():
            for number, slots in optimizer.state_dict()["state"].items():
                tensors |= _copy_with_prefix(f"{name}.{number}.", slots)
        write_tensors(self.checkpoint_dir / self.CHECKPOINT, tensors, asdict(self.state))

    def resume(self) -> bool:
        """Load the checkpoint. Returns False, with nothing changed, if there is none that fits."""
        try:
            tensors, notes = read_tensors(self.checkpoint_dir / self.CHECKPOINT)
            state = TrainingState(**notes)
            parts: dict[str, dict[str, Tensor]] = {name: {} for name in (*self._saved, *self._optimizers)}
            for name, value in tensors.items():
                part, _, rest = name.partition(".")
                parts[part][rest] = value
        except (OSError, ValueError, TypeError, KeyError):
            return False
        for name, (network, names) in self._saved.items():
            shapes = {key: value.shape for key, value in network.state_dict().items() if key in names}
            if {key: value.shape for key, value in parts[name].items()} != shapes:
                return False
        for name, (network, _) in self._saved.items():
            network.load_state_dict(parts[name], strict=False)
        for name, optimizer in self._optimizers.items():
            slots: dict[int, dict[str, Tensor]] = {}
            for key, value in parts[name].items():
                number, _, slot = key.partition(".")
                slots.setdefault(int(number), {})[slot] = value
            optimizer.load_state_dict({**optimizer.state_dict(), "state": slots})
        self.state = state
        return True


class BestWeights:
    """The weights of a network at its lowest score so far, in a safetensors file beside the checkpoint."""

    FILE: ClassVar[str] = "best.safetensors"

    def __init__(self, network: nn.Module, checkpoint_dir: Path, *, score_key: str = "score") -> None:
        """Begin without a score. `score_key` is the name of the score in the file's notes."""
        self._network, self._path, self._score_key = network, checkpoint_dir / self.FILE, score_key
        self.score = math.inf
        """The lowest score so far; infinite before the first one."""

    def update(self, score: float, **notes: object) -> bool:
        """Save the network's weights with JSON notes if `score` is lower than before. Returns whether it was."""
        if not score < self.score:
            return False
        self.score = score
        weights = {name: value.cpu().contiguous().clone() for name, value in self._network.state_dict().items()}
        write_tensors(self._path, weights, {self._score_key: score, **notes})
        return True

    def resume(self) -> None:
        """Read the lowest score from the file, after the training was resumed."""
        try:
            self.score = float(read_tensors(self._path)[1][self._score_key])
        except UNREADABLE:
            self.score = math.inf

    def restore(self) -> dict[str, Any] | None:
        """Load the saved weights into the network. Returns their notes, or None if there are none that fit."""
        try:
            tensors, notes = read_tensors(self._path)
            self._network.load_state_dict(tensors)
        except UNREADABLE:
            return None
        return notes


class TrainingParams(Params):
    """The parameters of a training on the files in a folder. A tool declares again what differs, such as a help text.

    `steps`, `batch` and `learning_rate` are None where the artist leaves them to `TrainingDefaults`.
    """

    folder: FolderInput
    """Training data. Subfolders are included."""
    more_folders: list[FolderInput] = param([], max_items=8, title="More folders")
    """Further folders of training data."""
    title: str = param("My model", title="Name")
    """Name of the model in the other tools."""
    steps: int | None = param(None, ge=1, le=1_000_000, title="Steps")
    """More steps improve the result and take longer. Leave it empty for the default."""
    batch: int | None = param(None, ge=1, le=1024, title="Batch size", advanced=True)
    """Samples per step. Leave it empty for the default."""
    learning_rate: float | None = param(None, ge=1e-7, le=1.0, title="Learning rate", advanced=True)
    """Leave it empty for the default."""
    ema: float = param(0.999, ge=0, le=0.99999, title="EMA decay", advanced=True)
    """Fraction of the averaged weights that is kept at each step."""
    preview_every: int = param(250, ge=1, le=100_000, title="Preview interval", unit="steps", advanced=True)
    """Steps between two previews."""


class HasTrainingNumbers(Protocol):
    """Parameters with numbers that may be left empty, such as `TrainingParams`."""

    @property
    def steps(self) -> int | None: ...
    @property
    def batch(self) -> int | None: ...
    @property
    def learning_rate(self) -> float | None: ...


D = TypeVar("D", bound="TrainingDefaults")


@dataclass(frozen=True)
class TrainingDefaults:
    """The numbers of a kind of training that the artist has left empty. Subclass it to add further ones."""

    steps: int
    batch: int
    learning_rate: float

    def override(self: D, params: HasTrainingNumbers) -> D:
        """Return a copy with the numbers that the artist has set."""
        return replace(
            self,
            steps=params.steps or self.steps,
            batch=params.batch or self.batch,
            learning_rate=params.learning_rate or self.learning_rate,
        )


def step_generator(seed: int, step: int, stream: int | None = None) -> torch.Generator:
    """Return a torch generator on the CPU for one step of a training, the same however often it was resumed.

    With `stream` (0..15) a step has several independent generators.
    """
    import torch

    number = seed * 1_000_003 + step
    if stream is not None:
        number = (number * 16 + stream) % 2**63
    return torch.Generator("cpu").manual_seed(number)


def require_samples(folder: Path, count: int, minimum: int, noun: str = "image") -> None:
    """Raise BadInput if a folder has fewer readable samples than a training needs. `noun` is in the singular."""
    if count >= minimum:
        return
    samples = f"1 readable {noun}" if count == 1 else f"{count or 'no'} readable {noun}s"
    raise BadInput(
        f"{folder.name} contains {samples}, and this training needs {minimum}.",
        f"Add {noun}s or choose another folder.",
    )


def autocast(device: str, *, enabled: bool = True) -> AbstractContextManager[None]:
    """Return a context in which matrix products and convolutions run in bfloat16, if `enabled` and worthwhile.

    A CPU without instructions for bfloat16 (AVX-512 BF16 or AMX) would take ten times as long as in float32, so it
    stays in float32.
    """
    import torch

    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=enabled and (kind != "cpu" or _cpu_has_bfloat16()))


def format_time_left(seconds: float) -> str:
    """Return a duration in words, such as "about 2.0 hours left"; empty for 0."""
    if seconds >= 5400:
        return f"about {seconds / 3600:.1f} hours left"
    if seconds >= 90:
        return f"about {seconds / 60:.0f} minutes left"
    if seconds >= 10:
        return f"about {seconds:.0f} seconds left"
    return "a few seconds left" if seconds > 0 else ""


def _cpu_has_bfloat16() -> bool:
    import torch

    flags = torch.cpu.get_capabilities()
    return bool(flags.get("avx512_bf16") or flags.get("amx_bf16") or flags.get("bf16"))


def _trained_names(network: nn.Module) -> set[str]:
    """Names of the parameters that require gradients, and of the buffers."""
    frozen = {name for name, value in network.named_parameters() if not value.requires_grad}
    return set(network.state_dict()) - frozen


def _copy_with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
