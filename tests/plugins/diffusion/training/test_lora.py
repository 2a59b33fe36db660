"""LoRA training for Stable Diffusion XL, with its crop conditioning."""

import json
import shutil
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from plugins.diffusion.tools.text_to_image import TextToImage
from plugins.diffusion.tools.train import TrainDiffusion
from plugins.diffusion.training import captions, dataset, lora, trainer
from plugins.diffusion.training.adapter import AdapterOptions
from plugins.diffusion.training.small_model import Components
from plugins.diffusion.training.trainer import TrainerOptions
from studio import api, testing

pytest.importorskip("peft")
TINY: dict[str, Any] = {
    "kind": "lora",
    "size": 64,
    "batch": 2,
    "steps": 4,
    "preview_every": 4,
    "rank": 2,
    "prompts": ["fox"],
    "flips": False,
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write wide images of one colour each."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(8):
        image = Image.new("RGB", (192, 128), (30 * number, 255 - 30 * number, 120))
        image.paste((250, 240, 90), (8 * number, 20, 8 * number + 60, 90))
        image.save(folder / f"garden-{number}.png")
    return folder


@pytest.fixture
def xl(tiny_model: Callable[[str], Path]) -> Path:
    return tiny_model("stable-diffusion-xl")


def trained_lora(events: list[api.Event]) -> api.Trained:
    (event,) = testing.results(events)
    assert isinstance(event, api.Trained)
    return event


def weights(made: api.Trained) -> bytes:
    return (made.folder / "pytorch_lora_weights.safetensors").read_bytes()


def test_lora_changes_the_images_and_resumes_with_the_same_weights(photos: Path, tmp_path: Path, xl: Path) -> None:
    values = {**TINY, "folder": photos, "model": str(xl), "learning_rate": 0.05}
    straight = trained_lora(testing.run(TrainDiffusion, testing.FakeContext(7, tmp_path / "a"), **values))
    running = TrainDiffusion().run(TrainDiffusion.Params(**values), testing.FakeContext(7, tmp_path / "b"))
    while not isinstance(event := next(running), api.Progress) or event.step < 3:
        pass
    assert isinstance(running, Generator)
    running.close()
    events = testing.run(TrainDiffusion, testing.FakeContext(7, tmp_path / "b"), **values)
    (notice,) = [event.text for event in events if isinstance(event, api.Notice)]
    assert notice.startswith("Resumes at step ")
    assert [np.asarray(view.content).shape for view in events if isinstance(view, api.Preview)] == [(64, 64, 3)]
    assert weights(trained_lora(events)) == weights(straight)
    ctx = testing.FakeContext(1)

    def generate(loras: list[str]) -> np.ndarray:
        *_, result = testing.results(testing.run(TextToImage, ctx, prompt="fox", model=str(xl), steps=2, loras=loras))
        assert isinstance(result, api.Image)
        return np.asarray(result.picture)

    assert (generate([]) != generate([str(straight.folder)])).any()


class ConstantNoiseTrainer(trainer.Trainer):
    """A trainer with the same noise and timesteps in every step."""

    def _draw_noise(self, latents: torch.Tensor, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(5)
        return torch.randn(latents.shape, generator=generator), torch.tensor([100, 700])


def test_loss_falls(tmp_path: Path, xl: Path) -> None:
    torch.manual_seed(0)
    base = lora.prepare_lora_training(testing.FakeContext(1), str(xl), AdapterOptions(), 16)
    batch = torch.ones(2, 4, 8, 8), ["a fox", ""], [(32, 64, 0, 16, 16, 16), None]
    numbers = api.training.LearningRateSchedule(steps=12, learning_rate=3e-2, warm_up=2)
    training = ConstantNoiseTrainer(
        base.components, numbers, lambda _: batch, tmp_path, seed=1, options=TrainerOptions(precision="float32")
    )
    losses = []
    for _ in range(12):
        before, count = training.state.loss, training.state.step
        training.step()
        losses.append(training.state.loss * (count + 1) - before * count)
    assert losses[-1] < 0.98 * losses[0]


def test_conditioning_agrees_with_the_pipeline(xl: Path) -> None:
    from diffusers import StableDiffusionXLPipeline

    components = lora.prepare_lora_training(testing.FakeContext(1), str(xl), AdapterOptions(), 32).components
    assert isinstance(components, Components)
    told = components.conditioning(["a fox", ""], [(600, 800, 0, 5, 32, 32), None], "cpu")
    pipe = StableDiffusionXLPipeline.from_pretrained(xl)
    said, none, pooled, nothing = pipe.encode_prompt("a fox")
    extra = told["added_cond_kwargs"]
    torch.testing.assert_close(told["encoder_hidden_states"], torch.cat([said, none]))
    torch.testing.assert_close(extra["text_embeds"], torch.cat([pooled, nothing]))
    width = pipe.text_encoder_2.config.projection_dim
    for row, original, corner in ((0, (600, 800), (0, 5)), (1, (32, 32), (0, 0))):
        expected = pipe._get_add_time_ids(original, corner, (32, 32), torch.float32, width)
        assert extra["time_ids"][row].tolist() == expected[0].tolist()


def test_frame_tells_the_crop(photos: Path) -> None:
    subject, pixels = dataset.read_image(captions.read_captions(photos, api.datasets.find_images(photos))[0], 64)
    assert (subject.frame, pixels.shape) == ((128, 192, 0, 16, 64, 64), (64, 64, 3))


@pytest.mark.parametrize("family", ["instruct-pix2pix-xl", "lcm", "pixart-sigma"])
def test_other_families_are_refused(family: str, tiny_model: Callable[[str], Path]) -> None:
    with pytest.raises(api.BadInput, match="LoRAs can be trained for Stable Diffusion 1, 2 and XL, Stable"):
        lora.prepare_lora_training(testing.FakeContext(1), str(tiny_model(family)), AdapterOptions(), 64)


def test_refiner_is_refused(tmp_path: Path) -> None:
    from tests.plugins.diffusion.fixtures import tiny

    with pytest.raises(api.BadInput, match=r"and refiner \(Stable Diffusion XL\) is none of these"):
        lora.prepare_lora_training(
            testing.FakeContext(1), str(tiny.refiner(tmp_path / "refiner")), AdapterOptions(), 64
        )


def test_small_images_emit_a_notice(photos: Path, tmp_path: Path, xl: Path) -> None:
    folder = Path(shutil.copytree(xl, tmp_path / "large"))
    config = folder / "unet/config.json"
    config.write_text(json.dumps({**json.loads(config.read_text("utf-8")), "sample_size": 64}), "utf-8")
    values = {**TINY, "folder": photos, "model": str(folder)}
    running = TrainDiffusion().run(TrainDiffusion.Params(**values), testing.FakeContext(7, tmp_path / "job"))
    sentence = "large generates images of 128 px, and the training images have 64 px"
    assert any(isinstance(event, api.Notice) and event.text.startswith(sentence) for event in running)
