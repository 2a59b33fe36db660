"""What the networks are trained to predict, the weights of the timesteps, accumulation, EMA and checkpointing."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler

from plugins.diffusion.training import objective, small_model
from plugins.diffusion.training.latent_dataset import Batch
from plugins.diffusion.training.objective import Objective
from plugins.diffusion.training.trainer import Trainer, TrainerOptions
from studio.api.training import LearningRateSchedule

TIMES = torch.tensor([1, 200, 500, 999])


def scheduler(prediction: str) -> DDIMScheduler:
    return DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=prediction)


def snr(noise: DDIMScheduler) -> torch.Tensor:
    signal: torch.Tensor = noise.alphas_cumprod[TIMES]
    return signal / (1 - signal)


def test_min_snr_weights_are_those_of_the_paper() -> None:
    for prediction, divisor in (("epsilon", snr), ("v_prediction", lambda noise: snr(noise) + 1), ("sample", None)):
        noise = scheduler(prediction)
        expected = snr(noise).clamp(max=5)
        expected = expected / divisor(noise) if divisor else expected
        torch.testing.assert_close(Objective("min_snr").weigh(noise, TIMES), expected)
    assert Objective().weigh(scheduler("epsilon"), TIMES) is None


def test_debiased_weights_are_those_of_the_paper() -> None:
    noise = scheduler("epsilon")
    torch.testing.assert_close(Objective("debiased").weigh(noise, TIMES), 1 / snr(noise).clamp(max=1000).sqrt())
    velocity = scheduler("v_prediction")
    torch.testing.assert_close(Objective("debiased").weigh(velocity, TIMES), 1 / (snr(velocity).clamp(max=1000) + 1))


@pytest.mark.parametrize("weighting", ["min_snr", "debiased"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_weights_are_finite_at_zero_terminal_snr(weighting: Any, prediction: str) -> None:
    noise = small_model.build_noise_scheduler()
    noise.register_to_config(prediction_type=prediction)
    weights = Objective(weighting).weigh(noise, torch.arange(1000))
    assert weights is not None
    assert bool(weights.isfinite().all())


def test_noise_offset_shifts_whole_channels() -> None:
    latents = torch.zeros(64, 4, 8, 8)
    plain, offset = (
        Objective(noise_offset=value).draw_noise(latents, torch.Generator().manual_seed(1)) for value in (0, 2)
    )
    difference = offset - plain
    assert float(difference.std((2, 3)).max()) < 1e-5
    assert float(difference[..., 0, 0].std()) == pytest.approx(2, rel=0.15)


def test_velocity_is_the_target_of_a_v_prediction_base() -> None:
    noise = scheduler("v_prediction")
    latents, drawn = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    times = torch.tensor([100, 900])
    signal = noise.alphas_cumprod[times].view(-1, 1, 1, 1)
    expected = signal.sqrt() * drawn - (1 - signal).sqrt() * latents
    torch.testing.assert_close(objective.choose_prediction_target(noise, latents, drawn, times), expected)
    assert objective.choose_prediction_target(scheduler("epsilon"), latents, drawn, times) is drawn


def batch(step: int) -> tuple[torch.Tensor, list[str], list[None]]:
    generator = torch.Generator().manual_seed(step)
    return torch.randn(2, 4, 8, 8, generator=generator), ["a fox", "an owl"], [None, None]


def build(folder: Path, batches: Any = batch, ema: float = 0.9, **options: Any) -> Trainer:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    parts = small_model.build_components(["a fox", "an owl"], small_model.NETWORK_SIZES["tiny"], 4, 8, folder / "w")
    settings = TrainerOptions(precision="float32", **options)
    return Trainer(parts, LearningRateSchedule(20, 1e-3), batches, folder, seed=1, ema=ema, options=settings)


def run(training: Trainer, steps: int) -> list[torch.Tensor]:
    for _ in range(steps):
        training.step()
    return [value.clone() for value in training.network.state_dict().values()]


def test_accumulated_batches_equal_one_large_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fixed_noise(_: Trainer, latents: torch.Tensor, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.ones_like(latents), torch.full((len(latents),), 300)

    def large(step: int) -> tuple[torch.Tensor, list[str], list[None]]:
        parts = [batch(2 * step), batch(2 * step + 1)]
        return torch.cat([part[0] for part in parts]), parts[0][1] * 2, [None] * 4

    monkeypatch.setattr(Trainer, "_draw_noise", fixed_noise)
    whole = run(build(tmp_path / "a", large), 3)
    parts = run(build(tmp_path / "b", accumulation=2), 3)
    for left, right in zip(whole, parts, strict=True):
        torch.testing.assert_close(left, right, atol=1e-4, rtol=1e-3)


def test_checkpointing_changes_no_result(tmp_path: Path) -> None:
    plain, checkpointed = (run(build(tmp_path / str(on), checkpointing=on), 3) for on in (False, True))
    for left, right in zip(plain, checkpointed, strict=True):
        torch.testing.assert_close(left, right, atol=1e-5, rtol=1e-4)


def test_without_ema_there_is_no_copy(tmp_path: Path) -> None:
    training = build(tmp_path, ema=0.0)
    training.save()
    assert training.ema_components is training.components
    assert training._averages == []
    from safetensors import safe_open

    with safe_open(tmp_path / Trainer.CHECKPOINT, "pt") as file:
        assert not [name for name in file.keys() if name.startswith("ema.")]  # noqa: SIM118
    with training.evaluation() as components:
        assert not components.denoiser.training
    assert training.components.denoiser.training


def test_held_out_loss_is_the_same_each_time_and_falls(tmp_path: Path) -> None:
    training = build(tmp_path, ema=0.0)
    training.held_out = lambda: [Batch(*batch(0))]
    scores = []
    for _ in range(2):
        training.report_held_out_loss()
        scores.append(training.state.best_score)
    assert scores[0] == scores[1]
    assert training.state.scores_since_best == 1
    run(training, 10)
    training.report_held_out_loss()
    assert training.state.best_score is not None
    assert scores[0] is not None
    assert training.state.best_score < scores[0]


def test_weights_of_a_batch_scale_its_loss(tmp_path: Path) -> None:
    def masked(step: int) -> tuple[Any, ...]:
        weights = torch.zeros(2, 1, 8, 8)
        return (*batch(step), weights)

    training = build(tmp_path, masked)
    training.step()
    assert training.state.loss == 0


def test_text_encoders_have_a_learning_rate_of_their_own(tmp_path: Path) -> None:
    training = build(tmp_path, text_encoder_rate=0.0)
    before = [value.clone() for value in training.components.networks["text_encoder"].parameters()]
    unet = [value.clone() for value in training.components.denoiser.parameters()]
    run(training, 2)
    assert all(map(torch.equal, before, training.components.networks["text_encoder"].parameters()))
    assert not all(map(torch.equal, unet, training.components.denoiser.parameters()))
