"""Trainings of LoRAs with the options of the form, through the tool."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from plugins.diffusion.tools.train import TrainDiffusion
from plugins.diffusion.training import presets
from plugins.diffusion.training.presets import Settings
from plugins.diffusion.training.trainer import TrainerOptions
from studio import api, testing

TINY: dict[str, Any] = {
    "kind": "lora",
    "size": 64,
    "batch": 2,
    "steps": 4,
    "preview_every": 4,
    "rank": 2,
    "prompts": ["fox"],
    "learning_rate": 0.01,
}


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
    assert [np.asarray(view).shape for view in previews] == [(64, 64, 3)]


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
    house = Image.new("RGB", (96, 96), "white")
    house.paste((120, 40, 20), (20, 40, 80, 96))
    house.save(others / "house.png")
    values = {**TINY, "folder": photos, "model": str(sd), "regularisation": others, "regularisation_weight": 0.5}
    with_others, _ = run(tmp_path / "a", **values)
    without, _ = run(tmp_path / "b", **{**values, "regularisation": None})
    assert weights(with_others) != weights(without)
    assert "| others | 1 |" in (with_others.folder / "README.md").read_text("utf-8")


def test_masks_without_a_folder_are_refused(photos: Path, tmp_path: Path, sd: Path) -> None:
    with pytest.raises(api.BadInput, match="No folder of masks is chosen"):
        run(tmp_path, **TINY, folder=photos, model=str(sd), masks="folder")


def read_tensors(made: api.Trained) -> dict[str, Any]:
    from safetensors.torch import load_file

    tensors: dict[str, Any] = load_file(made.folder / "pytorch_lora_weights.safetensors")
    return tensors


EVERYTHING: dict[str, Any] = {
    "layers": "convolutions",
    "text_encoder": "on",
    "text_encoder_rate": 0.001,
    "dropout": 0.2,
    "accumulation": 2,
    "checkpointing": "on",
    "weighting": "min_snr",
    "noise_offset": 0.1,
    "schedule": "linear",
    "warm_up": 0.25,
    "image_shape": "buckets",
}


@pytest.mark.parametrize(("adapter", "ema"), [("lora", 0.0), ("dora", 0.9), ("loha", 0.9), ("lokr", 0.0)])
def test_every_type_resumes_with_the_same_weights(
    photos: Path, tmp_path: Path, sd: Path, adapter: str, ema: float
) -> None:
    values = {**TINY, **EVERYTHING, "folder": photos, "model": str(sd), "adapter": adapter, "ema": ema}
    straight, _ = run(tmp_path / "a", **values)
    run_paused(tmp_path / "b", 2, **values)
    resumed, _ = run(tmp_path / "b", **values)
    assert weights(straight) == weights(resumed)


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor", "lion", "prodigy"])
def test_every_optimizer_learns_and_resumes(photos: Path, tmp_path: Path, sd: Path, optimizer: str) -> None:
    package = {"lion": "lion_pytorch", "prodigy": "prodigyopt"}.get(optimizer)
    if package:
        pytest.importorskip(package)
    values = {**TINY, "folder": photos, "model": str(sd), "optimizer": optimizer, "text_encoder": "on"}
    values |= {"learning_rate": None, "steps": 6}
    straight, _ = run(tmp_path / "a", **values)
    run_paused(tmp_path / "b", 3, **values)
    resumed, _ = run(tmp_path / "b", **values)
    assert weights(straight) == weights(resumed)
    assert any(value.abs().max() > 0 for name, value in read_tensors(straight).items() if "lora_up" in name)


@pytest.mark.parametrize(
    ("optimizer", "package"), [("adamw8bit", "bitsandbytes"), ("lion", "lion-pytorch"), ("prodigy", "prodigyopt")]
)
def test_missing_package_is_named(
    photos: Path, tmp_path: Path, sd: Path, optimizer: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bitsandbytes", "bitsandbytes.optim", "lion_pytorch", "prodigyopt"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(api.StudioError, match=f"needs the package {package}") as caught:
        run(tmp_path, **{**TINY, "folder": photos, "model": str(sd), "optimizer": optimizer})
    assert caught.value.hint == f"Install it with: pip install {package}"


def test_presets_fill_what_is_empty_and_are_told(photos: Path, tmp_path: Path, sd: Path) -> None:
    values = {**TINY, "folder": photos, "model": str(sd), "rank": None, "batch": None, "learning_rate": None}
    made, events = run(tmp_path, **values, purpose="style", card="small", flips=False)
    assert next(text for text in notices(events) if text.startswith("Steps")) == (
        "Steps: 4, Batch size: 1 × 4, Learning rate: 0.0001, cosine, Optimizer: AdamW, Type: LoRA, Rank: 32, alpha 16, "
        "Layers: Attention + convolutions, Loss weighting: min-SNR γ 5, Gradient checkpointing: on."
    )
    card = (made.folder / "README.md").read_text("utf-8")
    assert "| Rank | 32, alpha 16 |" in card
    assert "| Batch size | 1 × 4 |" in card


def resolve(kind: Any = "lora", **values: Any) -> Settings:
    return presets.resolve(kind, TrainDiffusion.Params(folder=Path(), **values))


def test_own_values_replace_those_of_the_preset() -> None:
    person = resolve(purpose="person")
    assert (person.steps, person.batch, person.learning_rate) == (1500, 4, 1e-4)
    assert (person.adapter.rank, person.adapter.alpha, person.trains_text_encoder) == (16, 8, True)
    own = resolve(purpose="person", rank=4, alpha=4, text_encoder="off", steps=10, weighting="none", layers="attention")
    assert (own.steps, own.adapter.rank, own.adapter.alpha, own.trains_text_encoder) == (10, 4, 4, False)
    assert (own.options.objective.weighting, own.adapter.layers) == ("none", "attention")
    none = resolve()
    assert (none.steps, none.adapter.rank, none.adapter.alpha, none.learning_rate) == (1000, 8, 8, 2e-4)
    assert none.options == TrainerOptions(text_encoder_rate=0.5)


def test_card_and_optimizer_change_the_defaults() -> None:
    small = resolve(purpose="style", card="small")
    assert (small.batch, small.options.accumulation, small.options.checkpointing) == (1, 4, True)
    assert resolve(optimizer="prodigy").learning_rate == 1
    assert resolve(optimizer="prodigy", learning_rate=0.5).learning_rate == 0.5
    assert resolve(optimizer="lion").learning_rate == pytest.approx(4e-5)
    assert resolve("full").trains_text_encoder
    assert not resolve("full", text_encoder="off").trains_text_encoder
    assert resolve(learning_rate=1e-4, text_encoder_rate=2e-5).options.text_encoder_rate == pytest.approx(0.2)


@pytest.mark.parametrize(("warm_up", "steps"), [(None, 100), (0.0, 0), (0.25, 250)])
def test_warm_up_is_in_proportion_to_the_steps(warm_up: float | None, steps: int) -> None:
    schedule = resolve(steps=1000, warm_up=warm_up, schedule="constant").build_schedule()
    assert schedule.warm_up == steps
    assert schedule.rate_at(999) == 2e-4


def test_fine_tuning_keeps_the_text_encoder_when_asked(photos: Path, tmp_path: Path, sd: Path) -> None:
    from safetensors.torch import load_file

    values = {**TINY, "kind": "full", "folder": photos, "model": str(sd), "text_encoder": "off", "ema": 0.0}
    made, _ = run(tmp_path, **values, image_shape="buckets", checkpointing="on", weighting="debiased")

    def changed(part: str) -> bool:
        before, after = (load_file(next((folder / part).glob("*.safetensors"))) for folder in (sd, made.folder))
        return any(bool((value.half() != after[name]).any()) for name, value in before.items())

    assert (changed("unet"), changed("text_encoder")) == (True, False)


def test_form_shows_the_values_of_the_preset_for_empty_fields(tmp_path: Path) -> None:
    for number in range(10):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
    values: dict[str, Any] = {"kind": "lora", "purpose": "style", "card": "small", "rank": 4, "model": "nobody/none"}
    found = testing.estimate(TrainDiffusion, folder=tmp_path, **values)
    assert found
    notes = found.notes
    assert notes["steps"] == "2,500, 1,000 epochs"
    assert (notes["alpha"], notes["layers"], notes["batch"], notes["accumulation"]) == (
        "2",
        "attention + convolutions",
        "1",
        "4",
    )
    assert (notes["weighting"], notes["checkpointing"], notes["text_encoder"]) == ("min-SNR", "on", "off")
    assert "rank" not in notes
