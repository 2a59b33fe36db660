"""The estimates of all trainings: work, memory, disk, and rates that tell apart what differs in speed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from plugins.diffusion.tools.train import TrainDiffusion
from plugins.gan_art.tools.train import TrainGan
from plugins.style_transfer.tools.train import StyleTrain
from plugins.vae_interpolation.models import networks
from plugins.vae_interpolation.tools.train import WIDTHS, TrainVae
from plugins.writer.tools.train import WriterTrain
from studio import api, testing
from studio.api.training import measure_network

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

Values = Mapping[str, Any]
TRAININGS: list[tuple[type[api.Tool], str, Values, Values]] = [
    (TrainVae, "size", {"kind": "spatial", "width": "tiny", "size": 64}, {"width": "small"}),
    (TrainVae, "size", {"kind": "global", "width": "tiny", "size": 64}, {"width": "medium"}),
    (StyleTrain, "size", {"kind": "effect", "network": "tiny", "size": 64}, {"network": "small"}),
    (StyleTrain, "size", {"kind": "cut", "network": "tiny", "size": 64}, {"kind": "cyclegan"}),
    (TrainGan, "size", {"width": "tiny", "size": 64}, {"width": "small"}),
    (TrainGan, "size", {"architecture": "fastgan", "width": "tiny", "size": 64}, {"architecture": "stylegan2"}),
    (TrainDiffusion, "size", {"kind": "new", "width": "tiny", "size": 64}, {"width": "small"}),
    (TrainDiffusion, "size", {"kind": "lora", "size": 64}, {"rank": 64}),
    (TrainDiffusion, "size", {"kind": "embedding", "size": 64}, {"vectors": 8}),
    (TrainDiffusion, "size", {"kind": "full", "size": 64}, {"kind": "lora"}),
    (WriterTrain, "context", {"kind": "new", "size": "tiny", "context": 64}, {"size": "small"}),
    (WriterTrain, "context", {"kind": "masked", "size": "tiny", "context": 64}, {"size": "small"}),
    (WriterTrain, "context", {"kind": "lora", "model": "writer-tales", "context": 64}, {"rank": 32}),
    (WriterTrain, "context", {"kind": "full", "model": "writer-tales", "context": 64}, {"kind": "lora"}),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(20):
        Image.fromarray(np.full((80, 80, 3), number, np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "tale.txt").write_text("Once upon a time. " * 200)
    return tmp_path


@pytest.mark.parametrize(("tool", "size", "values", "other"), TRAININGS)
def test_work_counts_steps_batch_and_size_and_rates_tell_networks_apart(
    tool: type[api.Tool], size: str, values: Values, other: Values, folder: Path
) -> None:
    def estimate(**more: object) -> api.Estimate:
        found = testing.estimate(
            tool, testing.FakeContext(), **{"folder": folder, "steps": 100, "batch": 4, **values, **more}
        )
        assert found
        return found

    first = estimate()
    assert first.work > 0
    assert first.memory > api.training.forecast.RUNTIME_BYTES
    assert first.disk > 0
    assert estimate(steps=300).work == pytest.approx(3 * first.work)
    assert estimate(batch=8).work == pytest.approx(2 * first.work)
    assert estimate(steps=300, batch=8).rate == first.rate
    assert estimate(batch=8).memory > first.memory
    larger = estimate(**{size: 2 * values[size]})
    assert larger.rate != first.rate
    assert larger.memory >= first.memory  # a spatial autoencoder for 128 px trains on crops of 64 px
    assert estimate(**other).rate != first.rate
    assert estimate(keep_every=10).disk > first.disk
    assert "epochs" in first.notes["steps"]
    assert first.notes["folder"]


def test_a_model_that_is_not_here_has_no_rate(folder: Path) -> None:
    found = testing.estimate(WriterTrain, folder=folder, kind="full", model="nobody/nothing")
    assert found
    assert (found.rate, found.memory) == ("", 0)


def test_the_measured_sizes_are_those_of_the_real_network() -> None:
    channels = WIDTHS["spatial"]["tiny"]

    def run(network: Any) -> torch.Tensor:
        output: torch.Tensor = network(torch.zeros(1, 3, 64, 64)).sample
        return output

    cost = measure_network(lambda: networks.build_spatial_vae(channels, 64), run)
    real = networks.build_spatial_vae(channels, 64).train()
    saved: dict[int, torch.UntypedStorage] = {}

    def keep(value: torch.Tensor) -> torch.Tensor:
        saved[value.untyped_storage().data_ptr()] = value.untyped_storage()
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        output = run(real)
    parameters = {value.data_ptr() for value in real.parameters()}
    assert output.requires_grad
    assert cost.weights == sum(value.numel() for value in real.parameters())
    assert cost.activations == pytest.approx(
        sum(storage.nbytes() for place, storage in saved.items() if place not in parameters), rel=0.1
    )
