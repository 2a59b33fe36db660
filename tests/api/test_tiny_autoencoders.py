"""Every member of the TAESD family loads from every layout and computes what the published network does."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from studio import api
from studio.core.model_files.tensor_names import AUTOENCODER, kind_of_names

Weights = dict[str, Tensor]
WIDTH = 4


class Clamp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / 3) * 3


class Block(nn.Module):
    """A block as the family publishes it."""

    def __init__(self, width: int, pooled: bool = False) -> None:
        super().__init__()
        self.conv = nn.Sequential(conv(width, width), nn.ReLU(), conv(width, width), nn.ReLU(), conv(width, width))
        self.pool = (
            nn.Sequential(
                nn.Conv2d(width, 4 * width, 1, bias=False),
                nn.GroupNorm(4, 4 * width),
                nn.ReLU(),
                nn.Conv2d(4 * width, width, 1, bias=False),
            )
            if pooled
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.pool is not None:
            x = x + self.pool(x)
        return torch.relu(self.conv(x) + x)


def conv(width_in: int, width_out: int, *, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(width_in, width_out, 3, padding=1, stride=stride, bias=bias)


def build_encoder(channels: int, *, pooled: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = [conv(3, WIDTH), Block(WIDTH)]
    for _ in range(3):
        layers += [conv(WIDTH, WIDTH, stride=2, bias=False), Block(WIDTH, pooled), Block(WIDTH, pooled)]
    return nn.Sequential(*layers, conv(WIDTH, channels))


def build_decoder(channels: int, *, pooled: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = [Clamp(), conv(channels, WIDTH), nn.ReLU()]
    for _ in range(3):
        layers += [Block(WIDTH, pooled), Block(WIDTH, pooled), nn.Upsample(scale_factor=2)]
        layers += [conv(WIDTH, WIDTH, bias=False)]
    return nn.Sequential(*layers, Block(WIDTH), conv(WIDTH, 3))


def build_sana_encoder() -> nn.Sequential:
    layers: list[nn.Module] = [conv(3, 2, stride=2), nn.ReLU(), conv(2, WIDTH, stride=2), nn.ReLU(), Block(WIDTH)]
    for _ in range(3):
        layers += [conv(WIDTH, WIDTH, stride=2, bias=False), Block(WIDTH), Block(WIDTH)]
    return nn.Sequential(*layers, conv(WIDTH, 32))


def build_sana_decoder() -> nn.Sequential:
    layers: list[nn.Module] = [Clamp(), conv(32, 16), nn.ReLU()]
    for wide, narrow in ((16, 8), (8, WIDTH), (WIDTH, WIDTH), (WIDTH, WIDTH), (WIDTH, WIDTH)):
        layers += [Block(wide), nn.Upsample(scale_factor=2), conv(wide, narrow, bias=False)]
    return nn.Sequential(*layers, Block(WIDTH), conv(WIDTH, 3))


Pair = tuple[nn.Sequential, nn.Sequential]
FAMILY: dict[str, tuple[Callable[[], Pair], int, int]] = {
    "taesd": (lambda: (build_encoder(4), build_decoder(4)), 4, 8),
    "taesdxl": (lambda: (build_encoder(4), build_decoder(4)), 4, 8),
    "taesd3": (lambda: (build_encoder(16), build_decoder(16)), 16, 8),
    "taef1": (lambda: (build_encoder(16), build_decoder(16)), 16, 8),
    "taef2": (lambda: (build_encoder(32, pooled=True), build_decoder(32, pooled=True)), 32, 8),
    "taesana": (lambda: (build_sana_encoder(), build_sana_decoder()), 32, 32),
}


def weights_of(network: nn.Module) -> Weights:
    return {name: value.contiguous() for name, value in network.state_dict().items()}


def to_diffusers_names(encoder: Weights, decoder: Weights) -> Weights:
    named = {f"encoder.layers.{name}": value for name, value in encoder.items()}
    for name, value in decoder.items():
        number, rest = name.split(".", 1)
        named[f"decoder.layers.{int(number) - 1}.{rest}"] = value
    return named


def save_pair(folder: Path, name: str, suffix: str, pair: Pair) -> Path:
    save = save_file if suffix == ".safetensors" else torch.save
    for half, network in zip(("encoder", "decoder"), pair, strict=True):
        save(weights_of(network), folder / f"{name}_{half}{suffix}")
    return folder / f"{name}_decoder{suffix}"


def save_whole(folder: Path, name: str, layout: str, pair: Pair) -> Path:
    encoder, decoder = map(weights_of, pair)
    if layout == "diffusers":
        tensors = to_diffusers_names(encoder, decoder)
    else:
        prefix = "taesd_" if layout == "comfyui" else ""
        tensors = {f"{prefix}encoder.{key}": value for key, value in encoder.items()}
        tensors |= {f"{prefix}decoder.{key}": value for key, value in decoder.items()}
    save_file(tensors, folder / f"{name}.safetensors")
    return folder / f"{name}.safetensors"


def check_same(path: Path, pair: Pair, channels: int, factor: int) -> None:
    vae = api.tiny_autoencoders.load(path)
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        latents = pair[0](images)
        assert latents.shape == (1, channels, 64 // factor, 64 // factor)
        assert torch.allclose(vae.encode(images * 2 - 1).latents, latents, atol=1e-5)
        assert torch.allclose(vae.decode(latents).sample, pair[1](latents) * 2 - 1, atol=1e-5)
    assert vae.config.latent_channels == channels
    assert 2 ** (len(vae.config.decoder_block_out_channels) - 1) == factor


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_published_pairs(tmp_path: Path, name: str, suffix: str) -> None:
    torch.manual_seed(3)
    build, channels, factor = FAMILY[name]
    pair = build()
    decoder = save_pair(tmp_path, name, suffix, pair)
    check_same(decoder, pair, channels, factor)
    check_same(decoder.with_name(f"{name}_encoder{suffix}"), pair, channels, factor)


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("layout", ["diffusers", "comfyui", "module"])
def test_whole_files(tmp_path: Path, name: str, layout: str) -> None:
    torch.manual_seed(4)
    build, channels, factor = FAMILY[name]
    pair = build()
    path = save_whole(tmp_path, name, layout, pair)
    check_same(path, pair, channels, factor)
    assert kind_of_names(api.model_files.read_weight_shapes(path)) == AUTOENCODER


@pytest.mark.parametrize("half", ["encoder", "decoder"])
def test_a_half_is_known_as_an_autoencoder(tmp_path: Path, half: str) -> None:
    save_pair(tmp_path, "taesd", ".safetensors", FAMILY["taesd"][0]())
    assert kind_of_names(api.model_files.read_weight_shapes(tmp_path / f"taesd_{half}.safetensors")) == AUTOENCODER


def test_halves_may_differ_in_format(tmp_path: Path) -> None:
    torch.manual_seed(5)
    pair = FAMILY["taef1"][0]()
    save_pair(tmp_path, "taef1", ".pth", pair)
    (tmp_path / "taef1_encoder.pth").unlink()
    save_file(weights_of(pair[0]), tmp_path / "taef1_encoder.safetensors")
    check_same(tmp_path / "taef1_decoder.pth", pair, 16, 8)


def test_a_decoder_alone_decodes(tmp_path: Path) -> None:
    path = save_pair(tmp_path, "taesd", ".pth", FAMILY["taesd"][0]())
    (tmp_path / "taesd_encoder.pth").unlink()
    vae = api.tiny_autoencoders.load(path, decoder_only=True)
    assert vae.decode(torch.zeros(1, 4, 2, 2)).sample.shape == (1, 3, 16, 16)
    with pytest.raises(api.BadInput, match="only the decoder of a TAESD pair"):
        api.tiny_autoencoders.load(path)


def test_halves_of_different_models_do_not_go_together(tmp_path: Path) -> None:
    save_pair(tmp_path, "taesd", ".safetensors", FAMILY["taesd"][0]())
    save_file(weights_of(build_encoder(16)), tmp_path / "taesd_encoder.safetensors")
    with pytest.raises(api.BadInput, match="do not belong together"):
        api.tiny_autoencoders.load(tmp_path / "taesd_decoder.safetensors")


def test_missing_and_other_tensors_get_a_sentence(tmp_path: Path) -> None:
    pair = FAMILY["taef2"][0]()
    decoder = weights_of(pair[1])
    for lost in ("3.conv.2.weight", "3.pool.1.bias"):
        save_pair(tmp_path, "taef2", ".safetensors", pair)
        save_file({n: v for n, v in decoder.items() if n != lost}, tmp_path / "taef2_decoder.safetensors")
        with pytest.raises(api.BadInput, match="is incomplete"):
            api.tiny_autoencoders.load(tmp_path / "taef2_decoder.safetensors")
    others = ({"0.weight": torch.zeros(2, 2)}, {f"{10**9}.conv.0.weight": torch.zeros(1)}, {"a": torch.zeros(1)})
    for number, tensors in enumerate(others):
        save_file(tensors, tmp_path / f"other{number}.safetensors")
        with pytest.raises(api.BadInput, match="not a tiny autoencoder"):
            api.tiny_autoencoders.load(tmp_path / f"other{number}.safetensors")


def test_pickles_with_more_than_weights_are_not_opened(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    evil = b"cpathlib\nPath\n(V" + str(mark).encode() + b"\ntR(dtbcbuiltins\nexec\n(Vopen('x','w')\ntR."
    contents = {
        "evil.pth": evil,
        "words.pth": b"no pickle",
        "empty.pth": b"",
        "numbers.pth": pickle.dumps({"1.weight": [1, 2]}),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(api.BadInput, match="is a pickle"):
            api.tiny_autoencoders.load(tmp_path / name)
    assert not mark.exists()
    torch.save({"a": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(api.BadInput, match="is a pickle"):
        api.tiny_autoencoders.load(tmp_path / "other.pth")
