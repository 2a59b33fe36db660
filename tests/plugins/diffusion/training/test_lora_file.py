"""LoRA files: read by diffusers and by the rules of kohya's scripts, both with the images of the training's preview."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from plugins.diffusion.tools.text_to_image import TextToImage
from plugins.diffusion.training import lora, lora_file, small_model
from plugins.diffusion.training.adapter import AdapterOptions
from plugins.diffusion.training.small_model import Components
from studio import api, testing
from tests.plugins.diffusion.training.test_lora_options import TINY, photos, run

__all__ = ["photos"]
ROLES = ("lora_down.weight", "lora_up.weight", "alpha", "dora_scale")


def fill(components: Components) -> None:
    """Give all adapters an effect."""
    generator = torch.Generator().manual_seed(3)
    for network in components.networks.values():
        for name, parameter in network.named_parameters():
            if parameter.requires_grad and "magnitude" not in name:
                noise = 0.1 * torch.randn(parameter.shape, generator=generator)
                parameter.data = noise.half().float()


def build(model: Path, **options: Any) -> tuple[Components, AdapterOptions]:
    torch.manual_seed(0)
    settings = AdapterOptions(**{"rank": 4, "alpha": 2.0, **options})
    base = lora.prepare_lora_training(testing.FakeContext(1), str(model), settings, 32)
    assert isinstance(base.components, Components)
    fill(base.components)
    return base.components, settings


def sample(components: Components) -> np.ndarray:
    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(5))
    for network in components.networks.values():
        network.eval()
    return small_model.sample_latents(components, ["a fox"], noise, steps=2).numpy()


def with_weights(pipe: Any, components: Components) -> Components:
    """Return the components with the networks of a pipeline."""
    from dataclasses import replace

    return replace(components, **{name: getattr(pipe, name).float() for name in components.networks})


def load_pipeline(model: Path) -> Any:
    from diffusers import AutoPipelineForText2Image

    return AutoPipelineForText2Image.from_pretrained(model, dtype=torch.float32)


def read(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(folder / lora_file.FILE, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


def kohya_modules(network: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Name the modules of SD 1's networks as the scripts do: the path with underscores behind a prefix."""
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
            yield f"{prefix}_{name.replace('.', '_')}", module


def merge_like_kohya(pipe: Any, tensors: dict[str, torch.Tensor]) -> set[str]:
    """Merge a file into the networks as kohya's scripts do. Returns the names that were used."""
    text = pipe.text_encoder
    text_prefix = (
        "lora_te" if any(name.startswith("text_model.") for name, _ in text.named_modules()) else "lora_te_text_model"
    )
    used = set()
    for name, module in (*kohya_modules(pipe.unet, "lora_unet"), *kohya_modules(text, text_prefix)):
        if f"{name}.lora_down.weight" not in tensors:
            continue
        down, up = (tensors[f"{name}.lora_{part}.weight"].float() for part in ("down", "up"))
        scale = float(tensors[f"{name}.alpha"]) / down.shape[0]
        assert down.ndim == module.weight.ndim
        if down.ndim == 4 and down.shape[2:] != (1, 1):
            change = torch.nn.functional.conv2d(down.permute(1, 0, 2, 3), up).permute(1, 0, 2, 3)
        elif down.ndim == 4:
            change = (up.squeeze() @ down.squeeze())[:, :, None, None]
        else:
            change = up @ down
        module.weight.data += scale * change
        used |= {f"{name}.{role}" for role in ROLES}
    return used & set(tensors)


@pytest.mark.parametrize("layers", ["attention", "blocks", "convolutions"])
@pytest.mark.parametrize("text_encoder", [False, True])
def test_file_gives_the_same_image_by_diffusers_and_by_the_rules_of_kohya(
    sd: Path, tmp_path: Path, layers: str, text_encoder: bool
) -> None:
    components, _ = build(sd, layers=layers, text_encoder=text_encoder)
    expected = sample(components)
    lora_file.write(tmp_path, lora_file.collect_tensors(components), {"ss_network_dim": "4"})
    tensors, _ = read(tmp_path)
    assert (
        any(name.startswith("lora_te_text_model_encoder_layers_0_self_attn_q_proj") for name in tensors) is text_encoder
    )
    pipe = load_pipeline(sd)
    plain = sample(with_weights(pipe, components))
    assert np.abs(plain - expected).max() > 0.01
    pipe.load_lora_weights(tmp_path)
    np.testing.assert_allclose(sample(with_weights(pipe, components)), expected, atol=2e-3)
    merged = load_pipeline(sd)
    assert merge_like_kohya(merged, tensors) == set(tensors)
    np.testing.assert_allclose(sample(with_weights(merged, components)), expected, atol=2e-3)


@pytest.mark.parametrize("kind", ["lora", "loha"])
def test_convolutions_have_a_rank_and_an_alpha_of_their_own(sd: Path, tmp_path: Path, kind: str) -> None:
    components, options = build(sd, type=kind, layers="convolutions", conv_rank=2, conv_alpha=0.5)
    expected = sample(components)
    lora_file.write(tmp_path, lora_file.collect_tensors(components), {})
    tensors, _ = read(tmp_path)
    first = {"lora": "lora_down.weight", "loha": "hada_w1_b"}[kind]
    ranks = {
        name.partition(".")[0]: (len(value), float(tensors[f"{name.partition('.')[0]}.alpha"]))
        for name, value in tensors.items()
        if name.endswith(first)
    }
    kernels = {name for name in ranks if name.endswith(("conv1", "conv2", "samplers_0_conv"))}
    assert kernels
    assert {ranks[name] for name in kernels} == {(2, 0.5)}
    assert {ranks[name] for name in ranks.keys() - kernels} == {(4, 2.0)}
    if kind == "lora":
        merged = load_pipeline(sd)
        assert merge_like_kohya(merged, tensors) == set(tensors)
        np.testing.assert_allclose(sample(with_weights(merged, components)), expected, atol=2e-3)
    again = lora.prepare_lora_training(testing.FakeContext(1), str(sd), AdapterOptions(), 32, str(tmp_path))
    assert again.adapter == options
    assert isinstance(again.components, Components)
    np.testing.assert_allclose(sample(again.components), expected, atol=2e-3)


def test_file_for_xl_has_the_names_of_its_own_unet(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    model = tiny_model("stable-diffusion-xl")
    components, _ = build(model, layers="convolutions", text_encoder=True)
    expected = sample(components)
    lora_file.write(tmp_path, lora_file.collect_tensors(components), {})
    stems = {name.partition(".")[0] for name in read(tmp_path)[0]}
    pattern = r"lora_(unet_(input|middle|output)_block|te[12]_text_model_encoder_layers_\d)"
    assert [stem for stem in stems if not re.match(pattern, stem)] == []
    assert "lora_unet_input_blocks_3_1_transformer_blocks_0_attn1_to_q" in stems
    assert "lora_unet_middle_block_1_transformer_blocks_0_attn2_to_out_0" in stems
    pipe = load_pipeline(model)
    pipe.load_lora_weights(tmp_path)
    np.testing.assert_allclose(sample(with_weights(pipe, components)), expected, atol=2e-3)


@pytest.mark.parametrize("family", ["stable-diffusion", "stable-diffusion-xl"])
@pytest.mark.parametrize("kind", ["lora", "dora", "loha", "lokr"])
def test_every_type_changes_images_here_as_in_the_training(
    tiny_model: Callable[[str], Path], tmp_path: Path, kind: str, family: str
) -> None:
    """The tools of the studio read each type by the rules of LyCORIS."""
    from plugins.diffusion.models import loader
    from plugins.diffusion.modifiers import lora as modifier

    model = tiny_model(family)
    components, _ = build(model, type=kind, layers="convolutions", text_encoder=True)
    expected = sample(components)
    lora_file.write(tmp_path, lora_file.collect_tensors(components), {})
    ctx = testing.FakeContext(1)
    loaded = loader.load(ctx, str(model))
    params = TextToImage.Params(prompt="", model=str(model), loras=[str(tmp_path)])
    pipe = loaded.base
    with modifier.apply(ctx, loaded, pipe, params):
        np.testing.assert_allclose(sample(with_weights(pipe, components)), expected, atol=4e-3)
    assert np.abs(sample(with_weights(pipe, components)) - expected).max() > 0.01
    assert not [event for event in ctx.events if isinstance(event, api.Notice)]


def test_metadata_has_the_keys_of_kohya_and_no_path(photos: Path, tmp_path: Path, sd: Path) -> None:
    values = {**TINY, "folder": photos, "model": str(sd), "trigger": "ohwx", "alpha": 1.0, "title": "My garden"}
    made, _ = run(tmp_path, **values, repeats=3, purpose="style", conv_rank=4)
    tensors, metadata = read(made.folder)
    expected = {
        "ss_network_dim": "2",
        "ss_network_alpha": "1",
        "ss_network_module": "networks.lora",
        "ss_base_model_version": "sd_v1",
        "ss_v2": "False",
        "ss_num_train_images": "24",
        "ss_steps": "4",
        "ss_learning_rate": "0.01",
        "ss_output_name": "My garden",
        "ss_sd_model_name": sd.name,
        "ss_lr_scheduler": "cosine",
        "ss_min_snr_gamma": "5",
        "ss_seed": "7",
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.title": "My garden",
        "modelspec.trigger_phrase": "ohwx",
        "modelspec.prediction_type": "epsilon",
    }
    assert {name: metadata.get(name) for name in expected} == expected
    assert json.loads(metadata["ss_network_args"]) == {"conv_dim": "4", "conv_alpha": "2"}
    tags = json.loads(metadata["ss_tag_frequency"])
    assert tags[photos.name] | {"green": 8, "ohwx": 8, "number 3": 1} == tags[photos.name]
    assert re.fullmatch("[0-9a-f]{64}", metadata["sshs_model_hash"])
    text = json.dumps(metadata)
    assert str(tmp_path) not in text
    assert str(photos.parent) not in text
    assert str(sd.parent) not in text
    assert all(name.endswith(ROLES) for name in tensors)


@pytest.mark.parametrize("kind", ["lora", "dora", "loha", "lokr"])
def test_training_goes_on_from_a_lora(photos: Path, tmp_path: Path, sd: Path, kind: str) -> None:
    components, options = build(sd, type=kind, layers="convolutions", text_encoder=True)
    expected = sample(components)
    (tmp_path / "start").mkdir()
    lora_file.write(tmp_path / "start", lora_file.collect_tensors(components), {})
    ctx = testing.FakeContext(1)
    again = lora.prepare_lora_training(ctx, str(sd), AdapterOptions(), 32, str(tmp_path / "start"))
    assert again.adapter == options
    assert isinstance(again.components, Components)
    np.testing.assert_allclose(sample(again.components), expected, atol=2e-3)
    assert [event.text for event in ctx.events if isinstance(event, api.Notice)] == [
        "Goes on from start, of rank 4 and alpha 2."
    ]


def test_training_goes_on_from_the_layout_of_diffusers(sd: Path, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft.utils import get_peft_model_state_dict

    components, _ = build(sd, alpha=4.0)
    layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(components.unet))
    StableDiffusionPipeline.save_lora_weights(tmp_path, unet_lora_layers=layers)
    again = lora.prepare_lora_training(testing.FakeContext(1), str(sd), AdapterOptions(), 32, str(tmp_path))
    assert isinstance(again.components, Components)
    np.testing.assert_allclose(sample(again.components), sample(components), atol=1e-5)


def test_lora_of_another_model_is_refused(tiny_model: Callable[[str], Path], sd: Path, tmp_path: Path) -> None:
    components, _ = build(tiny_model("stable-diffusion-xl"))
    lora_file.write(tmp_path, lora_file.collect_tensors(components), {})
    with pytest.raises(api.BadInput, match=r"None of the layers|does not fit"):
        lora.prepare_lora_training(testing.FakeContext(1), str(sd), AdapterOptions(), 32, str(tmp_path))
    (tmp_path / lora_file.FILE).write_bytes(b"spoilt")
    with pytest.raises(api.BadInput, match="is damaged"):
        lora.prepare_lora_training(testing.FakeContext(1), str(sd), AdapterOptions(), 32, str(tmp_path))
