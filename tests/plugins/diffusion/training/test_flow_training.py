"""LoRAs of families that learn by flow matching: the networks are called as their pipelines do, and files fit them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plugins.diffusion.models import loader
from plugins.diffusion.modifiers import lora as modifier
from plugins.diffusion.tools.text_to_image import TextToImage
from plugins.diffusion.tools.train import TrainDiffusion
from plugins.diffusion.training import flow_matching, frozen_weights, lora, lora_file
from plugins.diffusion.training.adapter import AdapterOptions, AdapterType
from plugins.diffusion.training.flow_families import FLOW_FAMILIES
from plugins.diffusion.training.flow_model import FlowModel
from plugins.diffusion.training.latent_dataset import Batch
from plugins.diffusion.training.objective import Objective
from plugins.diffusion.training.trainer import Trainer, TrainerOptions
from studio import api, testing
from studio.api.training import LearningRateSchedule
from tests.plugins.diffusion.training.test_lora_options import TINY, notices, photos, run, run_paused, weights

__all__ = ["photos"]
FAMILIES = [family.name for family in FLOW_FAMILIES.values()]
SIDES = (16, 32)
"""Height and width of the latents."""
TEXTS = ["a fox", "two old houses"]
GUIDANCE_OFF = {"qwenimage": {"true_cfg_scale": 1.0}, "z-image": {"guidance_scale": 0.0}}


def build(model: Path, job: Path, **options: Any) -> FlowModel:
    """Prepare a model for training, with captions that are encoded and text encoders that are released."""
    torch.manual_seed(0)
    ctx = testing.FakeContext(1, job)
    settings = AdapterOptions(**{"rank": 4, "alpha": 2.0, "layers": "blocks", **options})
    components = lora.prepare_lora_training(ctx, str(model), settings, 64).components
    assert isinstance(components, FlowModel)
    list(components.read_texts(TEXTS, ctx))
    return components


def fill(model: FlowModel) -> None:
    """Give all adapters an effect, in numbers that float16 has."""
    generator = torch.Generator().manual_seed(3)
    for name, parameter in model.transformer.named_parameters():
        if parameter.requires_grad and "magnitude" not in name:
            parameter.data = (0.2 * torch.randn(parameter.shape, generator=generator)).half().float()


def draw_latents(model: FlowModel, seed: int = 5) -> torch.Tensor:
    channels = model.pipe.vae.config.get("latent_channels") or model.pipe.vae.config.z_dim
    return torch.randn(len(TEXTS), channels, *SIDES, generator=torch.Generator().manual_seed(seed))


def predict(model: FlowModel, transformer: Any = None) -> np.ndarray:
    """Return the velocity at a noise level for each text."""
    latents, noise = draw_latents(model), draw_latents(model, 6)
    own, model.transformer = model.transformer, transformer or model.transformer
    with torch.no_grad():
        velocity = model.predict(latents, noise, torch.tensor([0.3, 0.8]), TEXTS, [None, None])
    model.transformer = own
    return velocity.float().numpy()


@pytest.mark.parametrize("family", FAMILIES)
def test_prediction_is_what_the_pipeline_samples_with(
    tiny_model: Callable[[str], Path], tmp_path: Path, family: str
) -> None:
    model = build(tiny_model(family), tmp_path)
    fill(model)
    pipe, noise = model.pipe, draw_latents(model)
    assert getattr(pipe, "text_encoder", None) is None
    prompts = model.family.collate([model.prompts.read(text) for text in TEXTS], "cpu")
    packed = pipe._pack_latents(noise, *noise.shape) if hasattr(pipe, "_pack_latents") else noise
    factor = 64 // 32
    sampled = pipe(
        **prompts,
        **GUIDANCE_OFF.get(family, {"guidance_scale": 1.0}),
        **{name: value for name, value in model.call.items() if name == "use_resolution_binning"},
        **({"negative_prompt": None} if family == "sana" else {}),
        latents=packed,
        height=SIDES[0] * factor,
        width=SIDES[1] * factor,
        num_inference_steps=3,
        output_type="latent",
    ).images
    latents = noise
    sigmas = pipe.scheduler.sigmas
    for level, following in itertools.pairwise(sigmas):
        with torch.no_grad():
            # With noise of its own value, adding it leaves latents as they are.
            velocity = model.predict(latents, latents, level.repeat(2), TEXTS, [None, None])
        latents = latents + (following - level) * velocity
    expected = pipe._pack_latents(latents, *latents.shape) if hasattr(pipe, "_pack_latents") else latents
    np.testing.assert_allclose(sampled.numpy(), expected.numpy(), atol=2e-4)


def build_trainer(model: FlowModel, folder: Path, **options: Any) -> Trainer:
    folder.mkdir(parents=True, exist_ok=True)
    latents = draw_latents(model)
    ema = options.pop("ema", 0.9)

    def batches(number: int) -> Batch:
        return Batch(latents + 0.01 * number, TEXTS, [None, None])

    schedule = LearningRateSchedule(steps=20, learning_rate=0.01, shape="constant", warm_up=0)
    return Trainer(
        model, schedule, batches, folder, seed=1, ema=ema, options=TrainerOptions(precision="float32", **options)
    )


def step(training: Trainer, count: int) -> list[float]:
    losses = []
    for _ in range(count):
        before, done = training.state.loss, training.state.step
        training.step()
        losses.append(training.state.loss * (done + 1) - before * done)
    return losses


@pytest.mark.parametrize("family", FAMILIES)
def test_training_moves_the_adapter_alone_and_its_file_is_read(
    tiny_model: Callable[[str], Path], tmp_path: Path, family: str
) -> None:
    from diffusers import DiffusionPipeline

    folder = tiny_model(family)
    model = build(folder, tmp_path)
    plain = predict(model)
    before = {name: value.clone() for name, value in model.transformer.state_dict().items()}
    training = build_trainer(model, tmp_path, ema=0.0)
    assert np.isfinite(step(training, 3)).all()
    changed = {name for name, value in model.transformer.state_dict().items() if (value != before[name]).any()}
    assert changed
    assert all(".lora_" in name for name in changed)
    fill(model)
    expected = predict(model)
    assert np.abs(expected - plain).max() > 0.01
    lora_file.write(tmp_path, lora_file.collect_tensors(model), {})

    pipe = DiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    pipe.load_lora_weights(tmp_path)
    np.testing.assert_allclose(predict(model, pipe.transformer), expected, atol=2e-3)
    pipe.unload_lora_weights()

    ctx = testing.FakeContext(1)
    loaded = loader.load(ctx, str(folder))
    params = TextToImage.Params(prompt="", model=str(folder), loras=[str(tmp_path)])
    with modifier.apply(ctx, loaded, loaded.base, params):
        np.testing.assert_allclose(predict(model, loaded.base.transformer), expected, atol=2e-3)
    np.testing.assert_allclose(predict(model, loaded.base.transformer), plain, atol=1e-5)
    assert not notices(ctx.events)


@pytest.mark.parametrize("kind", ["lora", "dora", "loha", "lokr"])
def test_every_type_is_read_by_the_tools_and_gone_on_from(
    tiny_model: Callable[[str], Path], tmp_path: Path, kind: AdapterType
) -> None:
    folder = tiny_model("flux")
    model = build(folder, tmp_path / "a", type=kind)
    fill(model)
    expected = predict(model)
    start = tmp_path / "start"
    start.mkdir()
    lora_file.write(start, lora_file.collect_tensors(model), {"ss_network_alpha": "2"})
    np.testing.assert_array_equal(predict(model), expected)
    ctx = testing.FakeContext(1, tmp_path / "a")
    loaded = loader.load(ctx, str(folder))
    params = TextToImage.Params(prompt="", model=str(folder), loras=[str(start)])
    with modifier.apply(ctx, loaded, loaded.base, params):
        np.testing.assert_allclose(predict(model, loaded.base.transformer), expected, atol=4e-3)
    assert np.abs(predict(model, loaded.base.transformer) - expected).max() > 0.01
    again = lora.prepare_lora_training(ctx, str(folder), AdapterOptions(), 64, str(start))
    assert again.adapter == AdapterOptions(kind, 4, 2.0, layers="blocks")
    assert isinstance(again.components, FlowModel)
    list(again.components.read_texts(TEXTS, ctx))
    np.testing.assert_allclose(predict(again.components), expected, atol=2e-3)


TOOL: dict[str, Any] = {
    "image_shape": "buckets",
    "shuffle_tags": True,
    "held_out": 0.2,
    "patience": 9,
    "purpose": "person",
    "ema": 0.9,
    "masks": "alpha",
}


def test_killed_and_resumed_training_gives_the_same_lora(
    photos: Path, tmp_path: Path, tiny_model: Callable[[str], Path]
) -> None:
    values = {**TINY, **TOOL, "folder": photos, "model": str(tiny_model("stable-diffusion-3"))}
    straight, events = run(tmp_path / "a", **values)
    run_paused(tmp_path / "b", 2, **values)
    resumed, later = run(tmp_path / "b", **values)
    assert weights(resumed) == weights(straight)
    assert "Resumes at step 3 of 4." in notices(later)
    assert [np.asarray(event.content).shape for event in events if isinstance(event, api.Preview)] == [(64, 64, 3)]
    card = (straight.folder / "README.md").read_text("utf-8")
    assert "min-SNR" not in card
    assert "Text encoder" not in card


def test_unknown_family_names_those_that_can_be_trained(
    photos: Path, tmp_path: Path, tiny_model: Callable[[str], Path]
) -> None:
    with pytest.raises(api.BadInput) as caught:
        run(tmp_path, **TINY, folder=photos, model=str(tiny_model("pixart-sigma")))
    assert str(caught.value) == (
        "LoRAs can be trained for Stable Diffusion 1, 2 and XL, Stable Diffusion 3, FLUX.1, Qwen-Image, Z-Image, Sana "
        "and models trained here, and pixart-sigma (PixArt-Σ) is none of these. Choose another model."
    )


def test_estimate_leaves_open_what_a_transformer_needs(photos: Path, tiny_model: Callable[[str], Path]) -> None:
    found = testing.estimate(
        TrainDiffusion, folder=photos, kind="lora", size=64, model=str(tiny_model("sana")), purpose="style"
    )
    assert found is not None
    assert (found.memory, found.notes["steps"]) == (0, "2,500, 1,250 epochs")
    said = [found.notes[name] for name in ("layers", "weighting", "text_encoder")]
    assert said == ["attention + feed-forward", "none", "off"]


def test_new_prompts_of_previews_load_the_text_encoders_again(
    tmp_path: Path, tiny_model: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = testing.FakeContext(1, tmp_path)
    model = build(tiny_model("flux"), tmp_path)
    known, fresh = (model.render([prompt], model.pipe.vae, 8, ctx) for prompt in ("a fox", "a new word"))
    assert known.shape == (1, 3, 16, 16)
    assert (known != fresh).any()
    assert "a new word" in model.prompts
    assert model.pipe.text_encoder is None

    def fail() -> None:
        raise api.OutOfMemory("There is no memory.", "")

    model.reload = fail
    model.render(["another"], model.pipe.vae, 8, ctx)
    assert notices(ctx.events) == [
        "The new prompts cannot be encoded, so their previews have none: There is no memory."
    ]


def test_memory_ladder_ends_with_smaller_frozen_weights(tmp_path: Path, tiny_model: Callable[[str], Path]) -> None:
    model = build(tiny_model("stable-diffusion-3"), tmp_path)
    training = build_trainer(model, tmp_path)
    full = step(training, 1)
    said = [training.reduce_memory() for _ in range(4)]
    assert [text.split(",")[0].rstrip(".") for text in said] == [
        "activations are computed again for the gradient",
        "the batch is computed in 2 parts with the same gradient",
        "the base model's weights are kept in 8 bits",
        "",
    ]
    training.save()
    assert training.resume()
    trained = [value for value in training.network.parameters() if value.requires_grad]
    assert trained
    assert step(training, 3)[0] == pytest.approx(full[0], rel=0.1)
    with training.evaluation() as average:
        assert average.denoiser is not model.transformer
        base = model.transformer.get_submodule("transformer_blocks.0.attn.to_q.base_layer")
        assert average.denoiser.get_submodule("transformer_blocks.0.attn.to_q.base_layer") is base


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first steps fail for a lack of memory, until the base model takes less."""
    original = Trainer.step

    def step(training: Trainer) -> None:
        if not frozen_weights.is_stored(training.network):
            raise torch.OutOfMemoryError("no memory")
        original(training)

    monkeypatch.setattr(Trainer, "step", step)


@pytest.mark.usefixtures("no_memory")
def test_lack_of_memory_is_said_and_the_training_goes_on(
    photos: Path, tmp_path: Path, tiny_model: Callable[[str], Path]
) -> None:
    _, events = run(tmp_path, **TINY, folder=photos, model=str(tiny_model("z-image")))
    assert notices(events)[-1] == (
        "Memory is short, so the base model's weights are kept in 8 bits, which changes its results a little. The step "
        "is repeated."
    )


def test_shift_follows_the_number_of_tokens() -> None:
    dynamic = {"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15}
    assert flow_matching.find_shift(dynamic, 256) == pytest.approx(np.exp(0.5))
    assert flow_matching.find_shift(dynamic, 4096) == pytest.approx(np.exp(1.15))
    assert flow_matching.find_shift({**dynamic, "time_shift_type": "linear"}, 4096) == pytest.approx(1.15)
    assert flow_matching.find_shift({"shift": 3.0, "use_dynamic_shifting": False}, 4096) == 3.0
    assert flow_matching.find_shift({"flow_shift": 3.0}, 4096) == 3.0


def test_noise_levels_and_weights() -> None:
    even = (torch.arange(1000) + 0.5) / 1000
    assert torch.equal(flow_matching.draw_noise_levels(even, "uniform", 3.0), even)
    normal = flow_matching.draw_noise_levels(even, "logit_normal", 3.0)
    assert normal.mean() == pytest.approx(0.5, abs=1e-4)
    assert normal.logit().std() == pytest.approx(1.0, abs=0.01)
    shifted = flow_matching.draw_noise_levels(even, "shifted", 3.0)
    assert shifted.median() == pytest.approx(0.75, abs=1e-3)
    assert torch.isfinite(flow_matching.draw_noise_levels(torch.tensor([0.0, 1.0]), "shifted", 3.0)).all()
    levels = torch.tensor([0.1, 0.5, 0.9])
    assert flow_matching.weigh(Objective(), levels) is None
    min_snr = flow_matching.weigh(Objective("min_snr", gamma=5.0), levels)
    torch.testing.assert_close(min_snr, torch.tensor([0.05, 0.25, 0.01]))
    debiased = flow_matching.weigh(Objective("debiased"), levels)
    torch.testing.assert_close(debiased, torch.tensor([0.09, 0.25, 0.09]))
