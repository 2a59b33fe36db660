"""Steps of a training in the kit's loop, to be compared with a bare loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from studio import api, testing


def prepare_kit_steps(training: api.training.Training, folder: Path, steps: int) -> Callable[[], None]:
    """Return a function that takes so many steps of a training, without previews."""
    params = api.training.TrainingParams.model_validate({"folder": folder, "preview_every": 100_000})
    events = training.run(
        testing.FakeContext(seed=1),
        params,
        preview=lambda: iter(()),
        save_model=lambda suffix: api.Trained(folder, suffix, "model"),
        memory_error="",
    )

    def take_steps() -> None:
        target = training.state.step + steps
        while training.state.step < target:
            next(events)

    return take_steps
