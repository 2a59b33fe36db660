"""Loading of autoencoders of every kind and layout, and errors for damaged, unsafe and other files."""

import json
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from plugins.vae_interpolation.models import checkpoints
from plugins.vae_interpolation.models.codec import SPATIAL_STARTER, Codec, GlobalCodec, load_codec
from studio import api, testing

WEIGHTS = "diffusion_pytorch_model.safetensors"
Tensors = dict[str, torch.Tensor]


def images(side: int = 32) -> torch.Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(6)) * 2.0 - 1.0


def same(one: Codec, other: Codec) -> bool:
    latent = one.encode(images())
    return torch.allclose(latent, other.encode(images()), atol=1e-5) and torch.allclose(
        one.decode(latent), other.decode(latent), atol=1e-5
    )


def load(path: Path) -> Codec:
    return load_codec(testing.FakeContext(), str(path))


def read_error(path: Path) -> str:
    with pytest.raises(api.BadInput) as caught:
        load(path)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert path.name.split(".")[0] in sentence
    return sentence


def to_original_layout(tensors: Tensors, levels: int = 3) -> Tensors:
    """Rename tensors as in the original latent diffusion code."""
    renamed: Tensors = {}
    for name, value in tensors.items():
        new = re.sub(r"encoder\.down_blocks\.(\d)\.resnets", r"encoder.down.\1.block", name)
        new = re.sub(r"encoder\.down_blocks\.(\d)\.downsamplers\.0", r"encoder.down.\1.downsample", new)
        new = re.sub(r"up_blocks\.(\d)\.resnets", lambda m: f"up.{levels - 1 - int(m[1])}.block", new)
        new = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{levels - 1 - int(m[1])}.upsample", new)
        new = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", new)
        new = new.replace("mid_block.attentions.0", "mid.attn_1").replace("attn_1.group_norm", "attn_1.norm")
        for theirs, ours in (("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("proj_out", "to_out.0")):
            new = new.replace(f"attn_1.{ours}.", f"attn_1.{theirs}.")
        new = new.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
        renamed[new] = value[..., None, None] if "attn_1" in new and value.ndim == 2 else value
    return {name: value.contiguous() for name, value in renamed.items()}


def test_a_kl_folder(kl_folder: Path) -> None:
    codec = load(kl_folder)
    assert (codec.factor, codec.size, codec.is_spatial, codec.can_dream) == (4, 64, True, False)
    latent = codec.encode(images())
    assert latent.shape == (1, 3, 8, 8)
    assert codec.decode(latent).shape == (1, 3, 32, 32)
    assert codec.title == "tiny-kl"


def test_a_trained_model_is_called_by_its_title(kl_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(kl_folder, tmp_path / "vae.train-7-ab")
    (folder / "studio.json").write_text('{"title": "Foxes"}')
    assert load(folder).title == "Foxes"


def test_latents_are_means_and_so_the_same_each_time(kl_folder: Path) -> None:
    codec = load(kl_folder)
    assert torch.equal(codec.encode(images()), codec.encode(images()))


def test_a_tiny_folder(tiny_folder: Path) -> None:
    codec = load(tiny_folder)
    assert (codec.factor, codec.is_spatial) == (4, True)
    assert codec.decode(codec.encode(images())).shape == (1, 3, 32, 32)


def test_a_global_folder(global_folder: Path) -> None:
    codec = load(global_folder)
    assert isinstance(codec, GlobalCodec)
    assert (codec.size, codec.latent_size, codec.is_spatial, codec.can_dream) == (32, 8, False, True)
    assert codec.encode(images()).shape == (1, 8)
    assert codec.decode(codec.dream(torch.zeros(2, 8))).shape == (2, 3, 32, 32)


def test_the_starter() -> None:
    assert load(Path(SPATIAL_STARTER)).factor == 8


def test_the_vae_inside_a_pipeline(kl_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(kl_folder, tmp_path / "pipe" / "vae")
    (tmp_path / "pipe" / "model_index.json").write_text("{}", encoding="utf-8")
    codec = load(tmp_path / "pipe")
    assert same(codec, load(kl_folder))
    assert codec.title == "pipe"


def test_a_model_is_loaded_once_until_it_changes(kl_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(kl_folder, folder)
    ctx = testing.FakeContext()
    first = load_codec(ctx, str(folder))
    assert load_codec(ctx, str(folder)) is first
    save_file({name: value * 0.5 for name, value in load_file(folder / WEIGHTS).items()}, folder / WEIGHTS)
    assert load_codec(ctx, str(folder)) is not first


def test_a_single_file_in_the_layout_of_diffusers(kl_folder: Path, kl_weights: Tensors, tmp_path: Path) -> None:
    save_file(kl_weights, tmp_path / "vae.safetensors")
    assert same(load(tmp_path / "vae.safetensors"), load(kl_folder))


@pytest.mark.parametrize("prefix", ["", "first_stage_model."])
def test_a_single_file_in_the_original_layout(
    prefix: str, kl_folder: Path, kl_weights: Tensors, tmp_path: Path
) -> None:
    tensors = {prefix + name: value for name, value in to_original_layout(kl_weights).items()}
    if prefix:
        tensors["model.diffusion_model.input_blocks.0.0.weight"] = torch.zeros(2, 2)
    save_file(tensors, tmp_path / "original.safetensors")
    assert same(load(tmp_path / "original.safetensors"), load(kl_folder))


def test_a_single_file_takes_the_config_beside_it(kl_folder: Path) -> None:
    assert same(load(kl_folder / WEIGHTS), load(kl_folder))


def test_a_single_tiny_file(tiny_folder: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_folder / WEIGHTS, tmp_path / "tiny.safetensors")
    assert same(load(tmp_path / "tiny.safetensors"), load(tiny_folder))


def taesd_pair(folder: Path, tiny_folder: Path) -> tuple[Path, Path]:
    tensors = load_file(tiny_folder / WEIGHTS)
    encoder = {name.removeprefix("encoder.layers."): v for name, v in tensors.items() if name.startswith("encoder")}
    decoder: Tensors = {}
    for name, value in tensors.items():
        if name.startswith("decoder"):
            number, rest = name.removeprefix("decoder.layers.").split(".", 1)
            decoder[f"{int(number) + 1}.{rest}"] = value
    save_file(encoder, folder / "taesd_encoder.safetensors")
    save_file(decoder, folder / "taesd_decoder.safetensors")
    return folder / "taesd_encoder.safetensors", folder / "taesd_decoder.safetensors"


@pytest.mark.parametrize("half", [0, 1])
def test_a_taesd_pair_by_either_half(half: int, tiny_folder: Path, tmp_path: Path) -> None:
    assert same(load(taesd_pair(tmp_path, tiny_folder)[half]), load(tiny_folder))


def test_a_taesd_pair_of_pickles(tiny_folder: Path, tmp_path: Path) -> None:
    for path in taesd_pair(tmp_path, tiny_folder):
        torch.save(load_file(path), path.with_suffix(".pth"))
        path.unlink()
    assert same(load(tmp_path / "taesd_decoder.pth"), load(tiny_folder))
    assert load(tmp_path / "taesd_encoder.pth").factor == 4


def test_half_a_taesd_pair_says_what_is_missing(tiny_folder: Path, tmp_path: Path) -> None:
    encoder, decoder = taesd_pair(tmp_path, tiny_folder)
    decoder.unlink()
    assert "only the encoder" in read_error(encoder)


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".bin", ".pth", ".pkl"])
def test_a_pickle_is_not_opened(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"evil{suffix}"
    path.write_bytes(b"\x80\x04cos\nsystem\n")
    sentence = read_error(path)
    assert "is a pickle" in sentence
    assert "safetensors.torch.save_file" in sentence


def test_a_pickle_under_another_name_is_not_opened(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(3)}, tmp_path / "renamed.safetensors")
    assert "pickle under another name" in read_error(tmp_path / "renamed.safetensors")


def test_a_folder_with_a_pickle_in_it(kl_folder: Path, kl_weights: Tensors, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    folder.mkdir()
    shutil.copy(kl_folder / "config.json", folder)
    torch.save(kl_weights, folder / "diffusion_pytorch_model.bin")
    assert "as a pickle (diffusion_pytorch_model.bin)" in read_error(folder)


def test_a_pickle_beside_safetensors_is_left_alone(kl_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "both"
    shutil.copytree(kl_folder, folder)
    (folder / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n")
    assert same(load(folder), load(kl_folder))


def test_an_lfs_pointer(tmp_path: Path) -> None:
    path = tmp_path / "pointer.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 334643268\n", encoding="utf-8")
    assert "Git LFS pointer" in read_error(path)


@pytest.mark.parametrize("keep", [0, 5, 300, -1])
def test_a_truncated_file(keep: int, kl_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "short.safetensors"
    path.write_bytes((kl_folder / WEIGHTS).read_bytes()[:keep])
    assert "incomplete" in read_error(path)


def test_a_truncated_file_in_a_folder(kl_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "short"
    shutil.copytree(kl_folder, folder)
    (folder / WEIGHTS).write_bytes((kl_folder / WEIGHTS).read_bytes()[:-100])
    with pytest.raises(api.BadInput, match="incomplete"):
        load(folder)


@pytest.mark.parametrize(
    "header", [b"[]", b'{"a": 3}', b'{"a": {"shape": [1], "data_offsets": [0]}}', b"{}", b"\xff\xfe"]
)
def test_a_garbled_header(header: bytes, tmp_path: Path) -> None:
    path = tmp_path / "garbled.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 64)
    read_error(path)


def test_a_file_that_is_not_a_model(tmp_path: Path) -> None:
    path = tmp_path / "notes.safetensors"
    path.write_text("these are only some notes of mine, longer than a header", encoding="utf-8")
    read_error(path)


def test_another_family(changed_config: Callable[..., Path]) -> None:
    sentence = read_error(changed_config(_class_name="UNet2DConditionModel"))
    assert "is a UNet2DConditionModel, and an autoencoder is needed" in sentence


def test_another_family_in_a_single_file(tmp_path: Path) -> None:
    save_file({"lora_unet_mid.lora_up.weight": torch.zeros(2, 2)}, tmp_path / "lora.safetensors")
    assert "is not an autoencoder" in read_error(tmp_path / "lora.safetensors")


def test_weights_that_do_not_fit_the_config(changed_config: Callable[..., Path]) -> None:
    assert "does not fit" in read_error(changed_config(latent_channels=9))


@pytest.mark.parametrize("text", ["", "[1]", "{", "null", "{" + " " * (checkpoints.MAX_CONFIG + 1) + "}"])
def test_a_damaged_config(text: str, kl_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(kl_folder, folder)
    (folder / "config.json").write_text(text, encoding="utf-8")
    assert "damaged" in read_error(folder)


def test_a_folder_that_is_not_a_model(tmp_path: Path) -> None:
    folder = tmp_path / "holiday"
    folder.mkdir()
    assert "no config.json" in read_error(folder)


def test_a_folder_without_weights(kl_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hollow"
    folder.mkdir()
    shutil.copy(kl_folder / "config.json", folder)
    assert "contains no weights" in read_error(folder)


def test_an_unknown_name() -> None:
    with pytest.raises(api.BadInput, match="no starter model"):
        load_codec(testing.FakeContext(), "nothing-of-that-name")


class Connected(testing.FakeContext):
    """Treats every choice as a hub id."""

    def model(self, choice: str) -> Path | str:
        return choice


def test_a_hub_id_without_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(api.BadInput, match="not on this computer") as caught:
        load_codec(Connected(), "somebody/some-vae")
    assert "somebody/some-vae" in str(caught.value)


@pytest.mark.parametrize("inside", ["", "vae/"])
def test_a_hub_id_that_was_downloaded_before(
    inside: str, kl_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model in the hub's cache is loaded without the network, also as a part of a pipeline."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    commit, home = "0" * 40, tmp_path / "hub" / "models--somebody--some-vae"
    snapshot = home / "snapshots" / commit / inside
    shutil.copytree(kl_folder, snapshot)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit, encoding="utf-8")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    codec = load_codec(Connected(), "somebody/some-vae")
    assert same(codec, load(kl_folder))


def test_the_config_is_inferred_from_shapes(kl_folder: Path, kl_weights: Tensors) -> None:
    config: dict[str, Any] = json.loads((kl_folder / "config.json").read_text("utf-8"))
    for tensors in (kl_weights, to_original_layout(kl_weights)):
        read = checkpoints.infer_kl_config({name: tuple(value.shape) for name, value in tensors.items()})
        assert read is not None
        names = set(read) - {"sample_size", "_class_name"}
        assert {name: read[name] for name in names} == {name: config[name] for name in names}
