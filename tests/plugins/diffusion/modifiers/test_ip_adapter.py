"""IP-Adapters use reference images beside the prompt, for the families that support them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from plugins.diffusion.models import loader
from plugins.diffusion.tools.image_to_image import ImageToImage
from plugins.diffusion.tools.inpaint import Inpaint
from plugins.diffusion.tools.text_to_image import TextToImage
from studio import api, testing
from tests.plugins.diffusion.fixtures.tiny_controls import save_unet_controlnet
from tests.plugins.diffusion.modifiers.test_controlnet import SIZE
from tests.plugins.diffusion.pipeline.test_pause import Pausing

PROJECTION_WIDTH, HIDDEN = 24, 16
MODELS = testing.FakeModels()
"""Loaded models, kept from test to test as the studio keeps them from job to job."""


def save_encoder(folder: Path, kind: str = "CLIPVision") -> None:
    import transformers

    config = {"hidden_size": HIDDEN, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    config |= {
        "image_size": 32,
        "patch_size": 8,
        **({"projection_dim": PROJECTION_WIDTH} if kind == "CLIPVision" else {}),
    }
    torch.manual_seed(0)
    name = "CLIPVisionModelWithProjection" if kind == "CLIPVision" else f"{kind}Model"
    getattr(transformers, name)(getattr(transformers, f"{kind}Config")(**config)).save_pretrained(
        folder / "image_encoder"
    )


def random_tensor(*shape: int) -> torch.Tensor:
    return torch.randn(shape) * 0.5


def unet_adapter_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Make the weights of an adapter for each cross-attention, by its number in the original layout."""
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    weights = {}
    for number, name in enumerate(unet.attn_processors):
        if name.endswith("attn2.processor"):
            width, words = unet.get_submodule(name.removesuffix(".processor")).to_k.weight.shape
            for side in "kv":
                weights[f"ip_adapter.{number}.to_{side}_ip.weight"] = random_tensor(width, words)
    return weights


def save_plain_adapter(folder: Path, adapter: Path) -> None:
    layers = unet_adapter_weights(folder)
    words = next(iter(layers.values())).shape[1]
    project = {"proj.weight": random_tensor(4 * words, PROJECTION_WIDTH), "proj.bias": random_tensor(4 * words)}
    project |= {"norm.weight": random_tensor(words), "norm.bias": random_tensor(words)}
    save_file(
        {**layers, **{f"image_proj.{name}": value for name, value in project.items()}}, adapter / "ip.safetensors"
    )
    save_encoder(adapter)


def save_plus_adapter(folder: Path, adapter: Path) -> None:
    """Save an adapter that reads the encoder's patches instead of its pooled output."""
    layers = unet_adapter_weights(folder)
    words = next(iter(layers.values())).shape[1]
    project = {
        "latents": random_tensor(1, 4, 8),
        "proj_in.weight": random_tensor(8, HIDDEN),
        "proj_in.bias": random_tensor(8),
    }
    project |= {"proj_out.weight": random_tensor(words, 8), "proj_out.bias": random_tensor(words)}
    for name in ("weight", "bias"):
        project[f"norm_out.{name}"] = random_tensor(words)
    for layer in range(8):
        for name in ("norm1", "norm2"):
            project |= {f"layers.{layer}.0.{name}.{part}": random_tensor(8) for part in ("weight", "bias")}
        project[f"layers.{layer}.0.to_q.weight"] = random_tensor(64, 8)
        project[f"layers.{layer}.0.to_kv.weight"] = random_tensor(128, 8)
        project[f"layers.{layer}.0.to_out.weight"] = random_tensor(8, 64)
        project |= {f"layers.{layer}.1.0.{part}": random_tensor(8) for part in ("weight", "bias")}
        project[f"layers.{layer}.1.1.weight"] = random_tensor(32, 8)
        project[f"layers.{layer}.1.3.weight"] = random_tensor(8, 32)
    save_file(
        {**layers, **{f"image_proj.{name}": value for name, value in project.items()}}, adapter / "ip.safetensors"
    )
    save_encoder(adapter)


def save_flux_adapter(_: Path, adapter: Path) -> None:
    project = {"proj.weight": random_tensor(4 * 32, PROJECTION_WIDTH), "proj.bias": random_tensor(4 * 32)}
    project |= {"norm.weight": random_tensor(32), "norm.bias": random_tensor(32)}
    layers: dict[str, torch.Tensor] = {}
    for side in "kv":
        stem = f"double_blocks.0.processor.ip_adapter_double_stream_{side}_proj"
        layers |= {f"{stem}.weight": random_tensor(32, 32), f"{stem}.bias": random_tensor(32)}
    named = {f"ip_adapter_proj_model.{name}": value for name, value in project.items()}
    save_file({**layers, **named}, adapter / "ip.safetensors")
    save_encoder(adapter)


def save_sd3_adapter(_: Path, adapter: Path) -> None:
    from diffusers.models.attention_processor import SD3IPAdapterJointAttnProcessor2_0
    from diffusers.models.embeddings import IPAdapterTimeImageProjection

    project = IPAdapterTimeImageProjection(
        embed_dim=HIDDEN, output_dim=32, hidden_dim=16, depth=4, heads=1, num_queries=4, timestep_in_dim=16
    )
    layers = SD3IPAdapterJointAttnProcessor2_0(32, 32, 8, timesteps_emb_dim=16)
    state = {f"image_proj.{name}": value for name, value in project.state_dict().items()}
    for layer in range(2):
        state |= {f"ip_adapter.{layer}.{name}": value.clone() for name, value in layers.state_dict().items()}
    save_file(state, adapter / "ip.safetensors")
    save_encoder(adapter, "SiglipVision")


BUILDERS: Mapping[str, tuple[str, Callable[[Path, Path], None]]] = {
    "plain": ("stable-diffusion", save_plain_adapter),
    "plus": ("stable-diffusion", save_plus_adapter),
    "xl": ("stable-diffusion-xl", save_plain_adapter),
    "sd3": ("stable-diffusion-3", save_sd3_adapter),
    "flux": ("flux", save_flux_adapter),
    "kontext": ("flux-kontext", save_flux_adapter),
    "chroma": ("chroma", save_flux_adapter),
    "lcm": ("lcm", save_plain_adapter),
}


@pytest.fixture(scope="session")
def adapter(
    tiny_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[str, Path]]:
    """Return a function that builds an IP-Adapter, and returns its tiny model and its folder."""
    folders: dict[str, Path] = {}

    def build_adapter(name: str) -> tuple[str, Path]:
        family, build = BUILDERS[name]
        model = tiny_model(family)
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp(name)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # diffusers announces renamings
                torch.manual_seed(0)
                build(model, folders[name])
        return str(model), folders[name]

    return build_adapter


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    paths = []
    for number, colours in enumerate((((200, 30, 60), (20, 20, 90)), ((10, 220, 120), (250, 250, 200)))):
        pixels = np.full((40, 48, 3), colours[0], np.uint8)
        pixels[10:30, 12:36] = colours[1]
        paths.append(tmp_path / f"photo{number}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


def paint(tool: type[api.Tool], ctx: testing.FakeContext | None = None, **values: Any) -> np.ndarray:
    ctx = ctx or testing.FakeContext(seed=3, models=MODELS)
    ctx.events.clear()
    (event,) = testing.results(testing.run(tool, ctx, **{"prompt": "a fox", "steps": 2, **values}))
    assert isinstance(event, api.Image)
    return np.asarray(event.picture)


@pytest.mark.parametrize("name", list(BUILDERS))
def test_a_reference_image_counts_by_its_weight_and_the_model_is_unchanged(
    name: str, adapter: Callable[[str], tuple[str, Path]], photos: list[Path]
) -> None:
    model, folder = adapter(name)
    ctx = testing.FakeContext(seed=3)
    values: dict[str, Any] = {"model": model, **SIZE}
    shown: dict[str, Any] = {"adapter": str(folder), "reference_images": photos[:1]}
    before = paint(TextToImage, ctx, **values)
    base = loader.load(ctx, model).base
    parts = {part: getattr(base, part, None) for part in ("image_encoder", "feature_extractor")}
    denoiser = getattr(base, "unet", None) or base.transformer
    state, processors = dict(denoiser.state_dict()), dict(denoiser.attn_processors)
    full = paint(TextToImage, ctx, **values, **shown, adapter_weight=1.0)
    assert (full != before).any()
    assert (paint(TextToImage, ctx, **values, **shown, adapter_weight=0.3) != full).any()
    other = {**shown, "reference_images": photos[1:]}
    assert (paint(TextToImage, ctx, **values, **other, adapter_weight=1.0) != full).any()
    assert (paint(TextToImage, ctx, **values, **shown, adapter_weight=0.0) == before).all()
    assert (paint(TextToImage, ctx, **values) == before).all()
    assert {part: getattr(base, part, None) for part in parts} == parts
    assert denoiser.state_dict().keys() == state.keys()
    assert denoiser.attn_processors == processors
    assert len(ctx.models.loaded) == 2


@pytest.mark.parametrize("name", list(BUILDERS))
def test_a_paused_image_with_an_ip_adapter_resumes_with_the_same_pixels(
    name: str, adapter: Callable[[str], tuple[str, Path]], photos: list[Path], tmp_path: Path
) -> None:
    model, folder = adapter(name)
    values: dict[str, Any] = {
        "model": model,
        "adapter": str(folder),
        "reference_images": photos[:1],
        "steps": 3,
        **SIZE,
    }
    whole = paint(TextToImage, **values)
    with pytest.raises(api.Paused):
        paint(TextToImage, Pausing(seed=3, folder=tmp_path / "kept", models=MODELS), **values)
    assert (
        paint(TextToImage, testing.FakeContext(seed=3, folder=tmp_path / "kept", models=MODELS), **values) == whole
    ).all()


@pytest.mark.parametrize("name", ["plain", "plus", "flux"])
def test_several_reference_images_are_combined(
    name: str, adapter: Callable[[str], tuple[str, Path]], photos: list[Path]
) -> None:
    model, folder = adapter(name)
    values: dict[str, Any] = {"model": model, "adapter": str(folder), "adapter_weight": 1.0, **SIZE}
    both = paint(TextToImage, **values, reference_images=photos)
    for photo in photos:
        assert (paint(TextToImage, **values, reference_images=[photo]) != both).any()


def test_a_family_with_one_reference_image_refuses_two(
    adapter: Callable[[str], tuple[str, Path]], photos: list[Path]
) -> None:
    model, folder = adapter("sd3")
    ctx = testing.FakeContext(seed=3)
    before = paint(TextToImage, ctx, model=model, **SIZE)
    with pytest.raises(api.BadInput, match="only one reference image"):
        paint(TextToImage, ctx, model=model, adapter=str(folder), reference_images=photos, **SIZE)
    assert (paint(TextToImage, ctx, model=model, **SIZE) == before).all()


def test_an_ip_adapter_works_with_controlnets_and_input_images(
    sd: Path, adapter: Callable[[str], tuple[str, Path]], photos: list[Path], tmp_path: Path
) -> None:
    _, folder = adapter("plain")
    Image.new("L", (48, 40), 255).save(tmp_path / "mask.png")
    shown: dict[str, Any] = {
        "adapter": str(folder / "ip.safetensors"),
        "reference_images": photos[1:],
        "adapter_weight": 1.0,
    }
    control: dict[str, Any] = {"controls": [str(save_unet_controlnet(sd))], "control_images": photos[:1]}
    own: dict[str, Any] = {"image": photos[0], "model": str(sd)}
    for tool, values in (
        (TextToImage, {"model": str(sd)}),
        (ImageToImage, own),
        (Inpaint, {**own, "mask": tmp_path / "mask.png"}),
    ):
        pictures = [paint(tool, **values, **more).tobytes() for more in ({}, shown, control, {**shown, **control})]
        assert len(set(pictures)) == 4


def test_a_job_with_an_ip_adapter_can_be_cancelled(
    adapter: Callable[[str], tuple[str, Path]], photos: list[Path]
) -> None:
    model, folder = adapter("plain")
    testing.check_tool(TextToImage, {"model": model, "steps": 2, "adapter": str(folder), "reference_images": photos})


def test_the_image_encoder_is_found_in_collections(
    sd: Path, adapter: Callable[[str], tuple[str, Path]], photos: list[Path], tmp_path: Path
) -> None:
    _, folder = adapter("plain")
    file = tmp_path / "sdxl_models/ip.safetensors"
    file.parent.mkdir()
    file.write_bytes((folder / "ip.safetensors").read_bytes())
    values: dict[str, Any] = {"model": str(sd), "adapter": str(file), "reference_images": photos}
    with pytest.raises(api.BadInput, match=r"image encoder of ip\.safetensors is missing"):
        paint(TextToImage, **values)
    save_encoder(tmp_path / "models")
    near = {**values, "adapter": str(folder)}
    assert (paint(TextToImage, **values) == paint(TextToImage, **near)).all()


def test_an_adapter_that_does_not_fit_is_refused_and_the_next_job_runs(
    sd: Path,
    tiny_model: Callable[[str], Path],
    adapter: Callable[[str], tuple[str, Path]],
    photos: list[Path],
    tmp_path: Path,
) -> None:
    _, folder = adapter("plain")
    _, xl = adapter("xl")
    _, flux = adapter("flux")
    ctx = testing.FakeContext(seed=3)
    before = paint(TextToImage, ctx, model=str(sd))
    for other in (xl, flux):
        with pytest.raises(api.BadInput, match="made for another model"):
            paint(TextToImage, ctx, model=str(sd), adapter=str(other), reference_images=photos)
    assert (paint(TextToImage, ctx, model=str(sd)) == before).all()
    with pytest.raises(api.BadInput, match="PixArt-Σ does not support reference images"):
        paint(TextToImage, model=str(tiny_model("pixart-sigma")), adapter=str(folder), reference_images=photos, **SIZE)
    with pytest.raises(api.BadInput, match="need an IP-Adapter"):
        paint(TextToImage, model=str(sd), reference_images=photos)
    with pytest.raises(api.BadInput, match="IP-Adapter has no reference image"):
        paint(TextToImage, model=str(sd), adapter=str(folder))
    with pytest.raises(api.BadInput, match="and no IP-Adapter"):
        paint(TextToImage, model=str(sd), adapter=str(sd / "unet"), reference_images=photos)
    (tmp_path / "old").mkdir()
    (tmp_path / "old/ip-adapter_sd15.bin").write_bytes(b"PK")
    with pytest.raises(api.BadInput, match="is a pickle"):
        paint(TextToImage, model=str(sd), adapter=str(tmp_path / "old"), reference_images=photos)
    faces = {"image_proj.proj.0.weight": torch.zeros(2, 2), "image_proj.norm.weight": torch.zeros(2)}
    save_file(faces, tmp_path / "faces.safetensors")
    with pytest.raises(api.BadInput, match="face recognition"):
        paint(TextToImage, model=str(sd), adapter=str(tmp_path / "faces.safetensors"), reference_images=photos)
