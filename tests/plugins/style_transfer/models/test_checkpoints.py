"""Styles of all layouts, loaded from files, paint what the networks paint that they came from."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from plugins.style_transfer.models import generators
from plugins.style_transfer.models import style as models
from studio import api, testing
from tests.plugins.style_transfer.fixtures import original_networks

LAYOUTS: dict[str, Callable[[], nn.Module]] = {
    "cyclegan-9": lambda: original_networks.cyclegan(9),
    "cyclegan-6": lambda: original_networks.cyclegan(6),
    "dropout": lambda: original_networks.cyclegan(2, dropout=True),
    "running statistics without weights": lambda: original_networks.cyclegan(2, track_running_stats=True),
    "batch norm": lambda: original_networks.cyclegan(2, norm=nn.BatchNorm2d),
    "instance norm with weights": lambda: original_networks.cyclegan(2, affine=True),
    "cut": lambda: original_networks.cut(9),
    "unet-128": lambda: original_networks.unet(7),
    "unet with batch norm": lambda: original_networks.unet(6, norm=nn.BatchNorm2d),
    "animegan2": original_networks.AnimeGan2,
}


def random(network: nn.Module) -> nn.Module:
    """With weights, and statistics, such as no network is born with, in order that none is overlooked."""
    torch.manual_seed(3)
    for name, value in network.state_dict().items():
        if not name.endswith(("filt", "num_batches_tracked")):
            value.copy_(
                torch.rand_like(value) + 0.5 if "var" in name or value.ndim == 1 else torch.randn_like(value) / 9
            )
    return network.eval()


def picture(side: int = 128) -> Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(4)) * 2 - 1


def expected(network: nn.Module, x: Tensor) -> Tensor:
    """Instance norms without weights were made to look at the picture alone, whatever they gathered in training."""
    for module in network.modules():
        if isinstance(module, nn.InstanceNorm2d) and not module.affine:
            module.track_running_stats, module.running_mean, module.running_var = False, None, None
    with torch.inference_mode():
        return network(x.clone())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_paints_what_the_network_painted(layout: str, tmp_path: Path) -> None:
    network = random(LAYOUTS[layout]())
    save_file(dict(network.state_dict()), tmp_path / "style.safetensors")
    style = models.opened(tmp_path / "style.safetensors")
    made, wanted = style(picture()), expected(network, picture())
    assert wanted.std() > 0.05
    torch.testing.assert_close(made, wanted, atol=1e-5, rtol=0)


def test_fast_neural_style_takes_and_gives_0_to_255(tmp_path: Path) -> None:
    network = random(original_networks.FastNeuralStyle())
    network.deconv3.conv2d.weight.data *= 20
    weights = dict(network.state_dict()) | {"in1.running_mean": torch.ones(8)}
    save_file(weights, tmp_path / "mosaic.safetensors")
    style = models.opened(tmp_path / "mosaic.safetensors")
    assert style.values == "bytes"
    with torch.inference_mode():
        wanted = network((picture() + 1) * 127.5).clamp(0, 255) / 127.5 - 1
    torch.testing.assert_close(style(picture()), wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("around", [lambda state: state, lambda state: {"epoch": 3, "netG_A": state, "opt": {}}])
def test_pickles_are_read_as_weights_alone(around: Callable[[Any], Any], tmp_path: Path) -> None:
    network = random(original_networks.cyclegan(6))
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save(around(state), tmp_path / "latest_net_G.pth")
    style = models.opened(tmp_path / "latest_net_G.pth")
    torch.testing.assert_close(style(picture(64)), expected(network, picture(64)), atol=1e-5, rtol=0)


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("harm-was-done"),))


def test_a_pickle_that_runs_a_program_is_refused_and_nothing_is_run(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model.1.weight": Harmful()}, tmp_path / "evil.pth")
    (tmp_path / "older.pt").write_bytes(pickle.dumps(Harmful()))
    for name in ("evil.pth", "older.pt"):
        with pytest.raises(api.BadInput, match=r"not opened|damaged"):
            models.opened(tmp_path / name)
    assert not (tmp_path / "harm-was-done").exists()


def test_what_is_no_style_gets_one_sentence(tmp_path: Path, style: Path) -> None:
    save_file({"lora_up.weight": torch.zeros(2)}, tmp_path / "lora.safetensors")
    torch.save(dict(original_networks.cyclegan(2).state_dict()), tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:9000])
    (tmp_path / "pointer.pth").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    (tmp_path / "empty.pt").touch()
    (tmp_path / "notes.txt").touch()
    state = original_networks.cyclegan(2).state_dict()
    state["model.4.weight"] = torch.zeros(3, 3, 3, 3)
    save_file(dict(state), tmp_path / "odd.safetensors")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{")
    (broken / generators.WEIGHTS).write_bytes((style / generators.WEIGHTS).read_bytes())
    sentences = {
        "lora.safetensors": "no style network that is known",
        "cut.pth": "incomplete",
        "pointer.pth": "Git LFS pointer",
        "empty.pt": "incomplete",
        "notes.txt": "is no style",
        "odd.safetensors": "do not fit",
        "broken": "incomplete or damaged",
    }
    for name, sentence in sentences.items():
        with pytest.raises(api.BadInput, match=sentence):
            models.opened(tmp_path / name)


def test_a_folder_of_ours_is_loaded_once(style: Path) -> None:
    ctx = testing.FakeContext()
    first, second = (models.load(ctx, str(style)) for _ in range(2))
    assert first is second
    assert (first.title, first.stride, first.kind, first.values) == ("Ink", 4, "resnet", "signed")


def test_without_a_style_it_is_said_how_to_get_one(tmp_path: Path, style: Path) -> None:
    with pytest.raises(api.BadInput, match="Train a style"):
        models.load(testing.FakeContext(folder=tmp_path), "")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "ink").symlink_to(style)
    with pytest.raises(api.BadInput, match="such as ink"):
        models.load(testing.FakeContext(folder=tmp_path), "")
