"""The training loop: checkpoints, recovery from NaN, pausing, the record, and the artist's changes."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from studio.api.context import Context, pause_if_requested
from studio.api.events import Event, Notice, Preview, Progress, Trained
from studio.api.training import checkpoints, data_changes, disk_space, measuring
from studio.api.training.checkpoints import SaveTimer
from studio.api.training.optimizer_state import load_state, read_state
from studio.api.training.optimizer_steps import OptimizerSteps
from studio.api.training.params import TrainingParams
from studio.api.training.recorder import Recorder
from studio.api.training.schedule import LearningRateSchedule
from studio.api.training.state import NotFiniteError, TrainingState
from studio.api.training.step_timer import StepTimer
from studio.core.errors import BadInput, OutOfMemory, StudioError, is_out_of_memory
from studio.core.training_record import TrainingChanges, TrainingRecord

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

MAX_REWINDS = 3
"""Number of times that one training may return to its checkpoint because of NaN."""
LOSS_WINDOW = 100
"""Number of steps over which `TrainingState.loss` is averaged."""


class Training(OptimizerSteps):
    """Networks and optimizers that are trained together, with a checkpoint in one safetensors file.

    A subclass implements `step`, which calls `optimizer_step` and `finish_step`. If all randomness of a step follows
    from its number (see `step_generator`), a training that was killed and resumed ends with the same weights as one
    that was not.
    """

    CHECKPOINT: ClassVar[str] = checkpoints.LAST

    def __init__(
        self,
        checkpoint_dir: Path,
        *,
        networks: Mapping[str, nn.Module],
        optimizers: Mapping[str, torch.optim.Optimizer],
        schedule: LearningRateSchedule,
        averages: Mapping[str, tuple[nn.Module, nn.Module]] | None = None,
        ema: float = 0.999,
    ) -> None:
        """Set up a training that begins at step 0; `run` resumes it from a checkpoint.

        `networks` and `optimizers` are named as in the checkpoint. Of a network, buffers and the parameters that
        require gradients are saved. `averages` maps names to (average, source): the weights of `average` follow those
        of `source` with the decay `ema` per step. `schedule` has the number of steps and the learning rate; a
        parameter group of an optimizer may have a `rate_factor` of its own.
        """
        self.checkpoint_dir, self.state, self.schedule = checkpoint_dir, TrainingState(), schedule
        self.prompts: list[str] = []
        """Prompts of the previews, which the artist may change during the training."""
        self.steps_per_epoch: float | None = None
        """Number of steps in which as many samples are used as the data has; None if unknown."""
        self._optimizers, self._ema = optimizers, ema
        self._averages = [*(averages or {}).values()]
        sources = {name: (network, network) for name, network in networks.items()} | dict(averages or {})
        self._saved = {name: (network, _trained_names(source)) for name, (network, source) in sources.items()}
        self._parameters = [
            value for network in networks.values() for value in network.parameters() if value.requires_grad
        ]
        self._checkpoints = checkpoints.Checkpoints(checkpoint_dir)
        self._recorder = Recorder(checkpoint_dir)
        self._changes = TrainingChanges()

    @property
    def training_record(self) -> TrainingRecord:
        """The record of this training, beside its checkpoint."""
        return self._recorder.record

    def step(self) -> None:
        """Train on one batch. Raises NotFiniteError, leaving the weights as they were."""
        raise NotImplementedError

    def reduce_memory(self) -> str:
        """Change the training so that a step needs less memory and computes the same gradient.

        Called when memory is short; each call takes one further measure, such as gradient checkpointing. Returns the
        end of a sentence that begins with "Memory is short, so"; empty when nothing is left to do.
        """
        return ""

    def status(self) -> str:
        """Return a few words about the current quality, shown beside the progress."""
        return f"loss {self.state.loss:.3f}"

    @property
    def steps(self) -> int:
        """The number of steps, also after the artist has changed it."""
        return self.schedule.steps

    @property
    def current_learning_rate(self) -> float:
        """The learning rate of the current step."""
        return self.schedule.rate_at(self.state.step) * self.state.rate_scale

    def finish_step(self, loss: float, measures: Mapping[str, float] | None = None) -> None:
        """Count a step, add its loss to the moving average, and update the averaged networks.

        `measures` are further values of the step, such as the losses of each part, for the record.
        """
        import torch

        state = self.state
        self._recorder.add({"loss": loss, "learning rate": self.current_learning_rate, **(measures or {})})
        state.step += 1
        state.loss += (loss - state.loss) / min(state.step, LOSS_WINDOW)
        decay = min(self._ema, (1 + state.step) / (10 + state.step))
        with torch.no_grad():
            for average, source in self._averages:
                pairs = [*zip(average.parameters(), source.parameters(), strict=True)]
                moving = [(mean, value) for mean, value in pairs if value.requires_grad]
                torch._foreach_lerp_([mean for mean, _ in moving], [value for _, value in moving], 1 - decay)

    def record_measures(self, measures: Mapping[str, float]) -> None:
        """Record values that an evaluation gave at the current step, such as a held-out loss."""
        self._recorder.write_point(self.state.step, self.state.seconds, force=True)
        self._recorder.add(measures)
        self._recorder.write_point(self.state.step, self.state.seconds, force=True)

    def report_score(self, name: str, score: float) -> None:
        """Record a held-out measure of which lower values are better; early stopping follows it."""
        self.record_measures({name: score})
        state = self.state
        if state.best_score is None or score < state.best_score:
            state.best_score, state.scores_since_best = score, 0
        else:
            state.scores_since_best += 1

    def run(
        self,
        ctx: Context,
        params: TrainingParams,
        *,
        preview: Callable[[], Iterator[Event]],
        save_model: Callable[[str], Trained],
        memory_error: str,
        save_every: float = 30.0,
    ) -> Iterator[Event]:
        """Train until `steps` are done, resuming from the checkpoint if there is one.

        `preview` evaluates the averaged networks and yields previews. `save_model` writes them into a new folder; its
        argument is added to the title, such as " (step 500)". Values that these compute and save belong to the current
        step: after a kill between the two, both are repeated. `memory_error` is the sentence for the artist when the
        device has too little memory. The checkpoint is saved every `save_every` seconds, more often at the beginning.
        Raises Paused if the artist asked for it, OutOfMemory, CannotWrite if the disk is full, and BadInput if the
        checkpoint belongs to other networks.
        """
        timer = StepTimer(self.steps)
        disk = self._require_disk_space(params)
        yield from self._start()
        if sentence := data_changes.note_changes(params, self.checkpoint_dir):
            yield Notice(sentence, "warning")
        if self.training_record.read_changes().measure:
            yield from measuring.measure(self, ctx, params, preview, disk)
        clock = time.monotonic()
        save_timer = SaveTimer(save_every, clock)
        while self.state.step < self.steps:
            try:
                yield from self._take_step(memory_error)
                stepped = time.monotonic()
                timer.add_step(stepped - clock)
                is_shown = self._is_preview_due(params)
                if is_shown:
                    yield from self._show_previews(ctx, preview)
                    timer.add_preview(time.monotonic() - stepped)
                yield from self._save_models(params, save_model)
                now = time.monotonic()
                self.state.seconds += now - clock
                clock = now
                self._recorder.write_point(self.state.step, self.state.seconds, force=self.state.step == self.steps)
                changes = yield from self._apply_changes()
                if changes and not is_shown and self.state.step >= self.steps:
                    yield from self._show_previews(ctx, preview)
                is_stale = _is_stale(self.state, params)
                if changes or is_stale or save_timer.is_due(now) or self.state.step >= self.steps:
                    self.save()
                    save_timer.note_saved(now, time.monotonic())
                pause_if_requested(ctx, self.save)
            except NotFiniteError:
                self.rewind()
                yield Notice(
                    f"The loss became NaN or infinite. The training resumes at step {self.state.step:,} with half the "
                    "learning rate.",
                    "warning",
                )
                continue
            if is_stale:
                yield Notice(
                    f"Stopped at step {self.state.step:,} of {self.steps:,}: the held-out measure has not improved in "
                    f"{self.state.scores_since_best} evaluations."
                )
                return
            if done := timer.report(params.preview_every, is_last=self.state.step >= self.steps):
                yield done
            yield Progress(
                self.state.step, self.steps, " · ".join(filter(None, (self.status(), self._describe_epoch())))
            )

    def _describe_epoch(self) -> str:
        if not self.steps_per_epoch:
            return ""
        return f"epoch {self.state.step / self.steps_per_epoch:.1f} of {self.steps / self.steps_per_epoch:.1f}"

    def _require_disk_space(self, params: TrainingParams) -> int:
        """Return the bytes that the training writes. Raises CannotWrite if the disk has fewer, before anything else."""
        weights = sum(value.numel() for value in self._parameters)
        needed = disk_space.estimate_disk(weights, params, self.steps, averaged=bool(self._averages))
        written = sum(path.stat().st_size for path in self.checkpoint_dir.rglob("*") if path.is_file())
        disk_space.require_space(self.checkpoint_dir, needed - written)
        return needed

    def _start(self) -> Iterator[Event]:
        if self.resume():
            if self._checkpoints.has_damage:
                yield Notice("The last checkpoint is damaged, so the one before is used.", "warning")
            self._apply_state()
            self._recorder.record.truncate(self.state.step)
            yield Notice(f"Resumes at step {self.state.step:,} of {self.steps:,}.")
            return
        if self._checkpoints.has_whole:
            raise BadInput(
                "The checkpoint does not fit this training: its base model or its data has changed since.",
                "Put back what it began with, or start a new training.",
            )
        if self._checkpoints.has_damage:
            yield Notice("The checkpoint is damaged, so the training starts again from the beginning.", "warning")
        self._recorder.record.truncate(-1)
        self.save()

    def _take_step(self, memory_error: str) -> Iterator[Event]:
        """Take a step. While memory is short, save some and repeat it; raise OutOfMemory when nothing is left."""
        while True:
            self.updates = 0
            problem = ""
            try:
                self.step()
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                problem = str(error)
            if not problem:
                return
            # Outside the handler, where the exception no longer holds the tensors of the step.
            self._release_memory()
            saving = self.reduce_memory()
            if not saving:
                raise OutOfMemory(memory_error, "Lower the batch size.")
            if self.updates and not self.resume():  # a part of the step is in the weights already
                raise OutOfMemory(memory_error, "Lower the batch size.")
            yield Notice(f"Memory is short, so {saving} The step is repeated.", "warning")

    def _release_memory(self) -> None:
        import torch

        for optimizer in self._optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _is_preview_due(self, params: TrainingParams) -> bool:
        """Check for a preview at the interval, once early, at the end, and when the artist has asked for one."""
        step, every = self.state.step, params.preview_every
        is_requested = self._changes.previews_requested > self.state.previews_made
        return is_requested or step % every == 0 or step in (every // 10, self.steps)

    def _show_previews(self, ctx: Context, preview: Callable[[], Iterator[Event]]) -> Iterator[Event]:
        self.state.previews_made = self._changes.previews_requested
        step = self.state.step
        for event in preview():
            if isinstance(event, Preview):
                event = replace(event, label=event.label or f"Step {step:,}")
                yield self._recorder.write_preview(step, event, self.prompts, ctx.seed)
            else:
                yield event

    def _save_models(self, params: TrainingParams, save_model: Callable[[str], Trained]) -> Iterator[Event]:
        """Yield an intermediate model at the interval, and when the artist has asked for one."""
        step, requested = self.state.step, self._changes.models_requested
        is_due = bool(params.keep_every) and step % (params.keep_every or 1) == 0 and step < self.steps
        if is_due or requested > self.state.models_made:
            self.state.models_made = requested
            yield save_model(f" (step {step:,})")

    def _apply_changes(self) -> Generator[Event, None, bool]:
        """Apply what the artist has changed since the last look. Return whether there was something."""
        changes = self._recorder.read_changes()
        if changes is None:
            return False
        self._changes, before = changes, self.schedule
        if changes.steps is not None:
            self.state.steps = max(self.state.step, changes.steps)
        if changes.finish:
            self.state.steps = self.state.step
        if changes.learning_rate is not None:
            self.state.learning_rate = changes.learning_rate
        self._apply_state()
        if changes.prompts is not None:
            self.prompts = list(changes.prompts)
        if changes.finish and self.state.step < before.steps:
            yield Notice(f"Finished at step {self.state.step:,} of {before.steps:,}.")
        elif self.schedule != before:
            rate = f"learning rate {self.schedule.learning_rate:g}"
            yield Notice(f"From step {self.state.step:,} on: {self.steps:,} steps, {rate}.")
        return True

    def _apply_state(self) -> None:
        """Use the number of steps and the learning rate that the artist has changed."""
        self.schedule = replace(
            self.schedule,
            steps=self.state.steps if self.state.steps is not None else self.schedule.steps,
            learning_rate=self.state.learning_rate or self.schedule.learning_rate,
        )

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
        self._recorder.clear()
        self._recorder.record.truncate(self.state.step)
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
            tensors |= _copy_with_prefix(f"{name}.", read_state(optimizer))
        self._checkpoints.write(tensors, self.state)

    def resume(self) -> bool:
        """Load the last checkpoint, or the one before. Returns False, with nothing changed, if there is none that fits.

        Raises BadInput for a file that cannot be read now and may be whole.
        """
        return any(self._load(tensors, state) for tensors, state in self._checkpoints.read())

    def _load(self, tensors: Mapping[str, Tensor], state: TrainingState) -> bool:
        parts: dict[str, dict[str, Tensor]] = {name: {} for name in (*self._saved, *self._optimizers)}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            if part in parts:
                parts[part][rest] = value
        for name, (network, names) in self._saved.items():
            shapes = {key: value.shape for key, value in network.state_dict().items() if key in names}
            if {key: value.shape for key, value in parts[name].items()} != shapes:
                return False
        for name, (network, _) in self._saved.items():
            network.load_state_dict(parts[name], strict=False)
        for name, optimizer in self._optimizers.items():
            load_state(optimizer, parts[name])
        self.state = state
        return True


def _trained_names(network: nn.Module) -> set[str]:
    """Names of the parameters that require gradients, and of the buffers."""
    frozen = {name for name, value in network.named_parameters() if not value.requires_grad}
    return set(network.state_dict()) - frozen


def _copy_with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}


def _is_stale(state: TrainingState, params: TrainingParams) -> bool:
    """Check whether the held-out measure has stopped improving for as long as the artist allows."""
    return params.patience is not None and state.scores_since_best >= params.patience
