"""Styles of all architectures give the output of the networks that their files come from."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from plugins.style_transfer.models import generators
from plugins.style_transfer.models import style as style_models
from plugins.style_transfer.models.style import Style
from studio import api, testing
from tests.plugins.style_transfer.fixtures import original_networks
from tests.plugins.style_transfer.fixtures.results import open_torch_style

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "cyclegan-9": lambda: original_networks.build_cyclegan(9),
    "cyclegan-6": lambda: original_networks.build_cyclegan(6),
    "dropout": lambda: original_networks.build_cyclegan(2, dropout=True),
    "running statistics without weights": lambda: original_networks.build_cyclegan(2, track_running_stats=True),
    "batch norm": lambda: original_networks.build_cyclegan(2, norm=nn.BatchNorm2d),
    "instance norm with weights": lambda: original_networks.build_cyclegan(2, affine=True),
    "cut": lambda: original_networks.build_cut(9),
    "unet-128": lambda: original_networks.build_unet(7),
    "unet with batch norm": lambda: original_networks.build_unet(6, norm=nn.BatchNorm2d),
    "animegan2": original_networks.AnimeGan2,
}


def randomize(network: nn.Module) -> nn.Module:
    """Set weights and statistics to values unlike the initial ones, so that none is overlooked."""
    torch.manual_seed(3)
    for name, value in network.state_dict().items():
        if not name.endswith(("filt", "num_batches_tracked")):
            value.copy_(
                torch.rand_like(value) + 0.5 if "var" in name or value.ndim == 1 else torch.randn_like(value) / 9
            )
    return network.eval()


def make_image(side: int = 128) -> Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(4)) * 2 - 1


def run_original(network: nn.Module, x: Tensor) -> Tensor:
    """Run a network, of which instance norms without weights ignore their running statistics."""
    for module in network.modules():
        if isinstance(module, nn.InstanceNorm2d) and not module.affine:
            module.track_running_stats, module.running_mean, module.running_var = False, None, None
    with torch.inference_mode():
        output: Tensor = network(x.clone())
    return output


@pytest.mark.parametrize("name", NETWORKS)
def test_the_output_is_that_of_the_original_network(name: str, tmp_path: Path) -> None:
    network = randomize(NETWORKS[name]())
    save_file(dict(network.state_dict()), tmp_path / "style.safetensors")
    style = open_torch_style(tmp_path / "style.safetensors")
    result, expected = style(make_image()), run_original(network, make_image())
    assert expected.std() > 0.05
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=0)


def test_fast_neural_style_has_the_range_0_to_255(tmp_path: Path) -> None:
    network = randomize(original_networks.FastNeuralStyle())
    network.get_parameter("deconv3.conv2d.weight").data *= 20
    weights = dict(network.state_dict()) | {"in1.running_mean": torch.ones(8)}
    save_file(weights, tmp_path / "mosaic.safetensors")
    style = open_torch_style(tmp_path / "mosaic.safetensors")
    assert style.value_range == "bytes"
    with torch.inference_mode():
        expected: Tensor = network((make_image() + 1) * 127.5).clamp(0, 255) / 127.5 - 1
    torch.testing.assert_close(style(make_image()), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"epoch": 3, "netG_A": state, "opt": {}}])
def test_pickles_are_read_as_weights_only(wrap: Callable[[Any], Any], tmp_path: Path) -> None:
    network = randomize(original_networks.build_cyclegan(6))
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save(wrap(state), tmp_path / "latest_net_G.pth")
    style = open_torch_style(tmp_path / "latest_net_G.pth")
    torch.testing.assert_close(style(make_image(64)), run_original(network, make_image(64)), atol=1e-5, rtol=0)


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("harm-was-done"),))


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model.1.weight": Harmful()}, tmp_path / "evil.pth")
    (tmp_path / "older.pt").write_bytes(pickle.dumps(Harmful()))
    for name in ("evil.pth", "older.pt"):
        with pytest.raises(api.BadInput, match=r"not opened|damaged"):
            style_models.open_style(tmp_path / name)
    assert not (tmp_path / "harm-was-done").exists()


def test_a_file_that_is_no_style_raises_bad_input(tmp_path: Path, style: Path) -> None:
    save_file({"lora_up.weight": torch.zeros(2)}, tmp_path / "lora.safetensors")
    torch.save(dict(original_networks.build_cyclegan(2).state_dict()), tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:9000])
    (tmp_path / "pointer.pth").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    (tmp_path / "empty.pt").touch()
    (tmp_path / "notes.txt").touch()
    state = original_networks.build_cyclegan(2).state_dict()
    state["model.4.weight"] = torch.zeros(3, 3, 3, 3)
    save_file(dict(state), tmp_path / "odd.safetensors")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{")
    (broken / generators.WEIGHTS).write_bytes((style / generators.WEIGHTS).read_bytes())
    sentences = {
        "lora.safetensors": "not a supported style network",
        "cut.pth": "incomplete",
        "pointer.pth": "Git LFS pointer",
        "empty.pt": "incomplete",
        "notes.txt": "is no style",
        "odd.safetensors": "do not fit",
        "broken": "incomplete or damaged",
    }
    for name, sentence in sentences.items():
        with pytest.raises(api.BadInput, match=sentence):
            style_models.open_style(tmp_path / name)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes in folders")
@pytest.mark.parametrize("name", ["pipe.pth", "pipe.safetensors", "pipe.onnx"])
def test_a_pipe_is_refused_before_it_is_read(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(api.BadInput):
        style_models.open_style(tmp_path / name)


def test_a_style_folder_is_loaded_once(style: Path) -> None:
    ctx = testing.FakeContext()
    first, second = (style_models.load_style(ctx, str(style)) for _ in range(2))
    assert first is second
    assert isinstance(first, Style)
    assert (first.title, first.stride, first.architecture, first.value_range) == ("Ink", 4, "resnet", "signed")


def test_an_empty_choice_says_how_to_get_a_style(tmp_path: Path, style: Path) -> None:
    with pytest.raises(api.BadInput, match="Train a style"):
        style_models.load_style(testing.FakeContext(folder=tmp_path), "")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "ink").symlink_to(style)
    with pytest.raises(api.BadInput, match="such as ink"):
        style_models.load_style(testing.FakeContext(folder=tmp_path), "")
