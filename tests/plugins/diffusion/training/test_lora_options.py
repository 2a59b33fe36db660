"""Trainings of LoRAs with the options of the form, through the tool."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tqdm import tqdm

from plugins.diffusion.tools.train import TrainDiffusion
from studio import api, testing

TINY: dict[str, Any] = {
    "kind": "lora",
    "size": 64,
    "batch": 2,
    "steps": 4,
    "preview_every": 2,
    "rank": 2,
    "prompts": ["fox"],
    "learning_rate": 0.01,
}


@pytest.fixture(autouse=True)
def _no_progress_monitor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevent the thread that progress bars start, even disabled ones."""
    monkeypatch.setattr(tqdm, "monitor_interval", 0)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write images of three shapes, some with a transparent half, with captions beside them."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(8):
        size = ((192, 128), (128, 128), (128, 192))[number % 3]
        image = Image.new("RGBA", size, (30 * number, 255 - 30 * number, 120, 255))
        if number % 2:
            image.paste((0, 0, 0, 0), (0, 0, size[0] // 2, size[1]))
        image.save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"a garden, number {number}, green, sunny", "utf-8")
    return folder


@pytest.fixture
def sd(tiny_model: Callable[[str], Path]) -> Path:
    return tiny_model("stable-diffusion")


def run(job: Path, seed: int = 7, **values: Any) -> tuple[api.Trained, list[api.Event]]:
    events = testing.run(TrainDiffusion, testing.FakeContext(seed, job), **values)
    (made,) = testing.results(events)
    assert isinstance(made, api.Trained)
    return made, events


def run_killed(job: Path, step: int, **values: Any) -> None:
    """Begin a training and end it at a step without any saving."""
    running = TrainDiffusion().run(TrainDiffusion.Params(**values), testing.FakeContext(7, job))
    while not isinstance(event := next(running), api.Progress) or event.step < step:
        pass
    assert isinstance(running, Generator)
    running.close()


def run_paused(job: Path, step: int, **values: Any) -> None:
    """Begin a training and pause it after a step."""
    ctx = testing.FakeContext(7, job)
    running = TrainDiffusion().run(TrainDiffusion.Params(**values), ctx)
    while not isinstance(event := next(running), api.Progress) or event.step < step:
        pass
    ctx.pause_requested = True
    with pytest.raises(api.Paused):
        list(running)


def notices(events: list[api.Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, api.Notice)]


def weights(made: api.Trained) -> bytes:
    return (made.folder / "pytorch_lora_weights.safetensors").read_bytes()


DATA: dict[str, Any] = {
    "image_shape": "buckets",
    "trigger": "ohwx",
    "shuffle_tags": True,
    "repeats": 2,
    "masks": "alpha",
    "held_out": 0.2,
    "patience": 50,
}


def test_buckets_masks_and_held_out_images_resume_with_the_same_weights(photos: Path, tmp_path: Path, sd: Path) -> None:
    values = {**TINY, **DATA, "folder": photos, "model": str(sd)}
    straight, events = run(tmp_path / "a", **values)
    run_paused(tmp_path / "b", 2, **values)
    resumed, later = run(tmp_path / "b", **values)
    assert weights(resumed) == weights(straight)
    assert "Resumes at step 3 of 4." in notices(later)
    previews = [event.content for event in events if isinstance(event, api.Preview)]
    assert [np.asarray(view).shape for view in previews] == [(64, 64, 3)] * 2


def test_epochs_replace_steps(photos: Path, tmp_path: Path, sd: Path) -> None:
    values = {**TINY, "steps": None, "epochs": 2, "repeats": 2, "folder": photos, "model": str(sd)}
    _, events = run(tmp_path, **values)
    assert max(event.total for event in events if isinstance(event, api.Progress)) == 16


def test_early_stopping_follows_the_held_out_loss(photos: Path, tmp_path: Path, sd: Path) -> None:
    values = {**TINY, "steps": 40, "preview_every": 1, "patience": 2, "learning_rate": 1.0, "ema": 0.0}
    _, events = run(tmp_path, **values, folder=photos, model=str(sd))
    assert any("the held-out measure has not improved" in text for text in notices(events))


def test_regularisation_folder_needs_no_minimum(photos: Path, tmp_path: Path, sd: Path) -> None:
    others = tmp_path / "others"
    others.mkdir()
    Image.new("RGB", (96, 96)).save(others / "house.png")
    values = {**TINY, "folder": photos, "model": str(sd), "regularisation": others, "regularisation_weight": 0.5}
    with_others, _ = run(tmp_path / "a", **values)
    without, _ = run(tmp_path / "b", **{**values, "regularisation": None})
    assert weights(with_others) != weights(without)
    assert "| others | 1 |" in (with_others.folder / "README.md").read_text("utf-8")


def test_masks_without_a_folder_are_refused(photos: Path, tmp_path: Path, sd: Path) -> None:
    with pytest.raises(api.BadInput, match="No folder of masks is chosen"):
        run(tmp_path, **TINY, folder=photos, model=str(sd), masks="folder")
