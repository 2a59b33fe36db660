"""IP-Adapters: pictures beside the words, for the families that read them."""

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
from tests.plugins.diffusion.fixtures.tiny_controls import of_unet
from tests.plugins.diffusion.modifiers.test_controlnet import SIZE
from tests.plugins.diffusion.pipeline.test_pause import Pausing

PROJECTED, HIDDEN = 24, 16
MODELS = testing.FakeModels()
"""Kept from test to test, as the studio keeps them from job to job."""


def encoder(folder: Path, kind: str = "CLIPVision") -> None:
    import transformers

    config = {"hidden_size": HIDDEN, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    config |= {"image_size": 32, "patch_size": 8, **({"projection_dim": PROJECTED} if kind == "CLIPVision" else {})}
    torch.manual_seed(0)
    name = "CLIPVisionModelWithProjection" if kind == "CLIPVision" else f"{kind}Model"
    getattr(transformers, name)(getattr(transformers, f"{kind}Config")(**config)).save_pretrained(
        folder / "image_encoder"
    )


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape) * 0.5


def of_unet_layers(folder: Path) -> dict[str, torch.Tensor]:
    """What the adapter adds to each attention to the words, by the numbers that their authors gave them."""
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    found = {}
    for number, name in enumerate(unet.attn_processors):
        if name.endswith("attn2.processor"):
            width, words = unet.get_submodule(name.removesuffix(".processor")).to_k.weight.shape
            for side in "kv":
                found[f"ip_adapter.{number}.to_{side}_ip.weight"] = random(width, words)
    return found


def plain(folder: Path, adapter: Path) -> None:
    layers = of_unet_layers(folder)
    words = next(iter(layers.values())).shape[1]
    project = {"proj.weight": random(4 * words, PROJECTED), "proj.bias": random(4 * words)}
    project |= {"norm.weight": random(words), "norm.bias": random(words)}
    save_file(
        {**layers, **{f"image_proj.{name}": value for name, value in project.items()}}, adapter / "ip.safetensors"
    )
    encoder(adapter)


def plus(folder: Path, adapter: Path) -> None:
    """Reads the encoder's patches rather than its summary."""
    layers = of_unet_layers(folder)
    words = next(iter(layers.values())).shape[1]
    project = {"latents": random(1, 4, 8), "proj_in.weight": random(8, HIDDEN), "proj_in.bias": random(8)}
    project |= {"proj_out.weight": random(words, 8), "proj_out.bias": random(words)}
    for name in ("weight", "bias"):
        project[f"norm_out.{name}"] = random(words)
    for layer in range(8):
        for name in ("norm1", "norm2"):
            project |= {f"layers.{layer}.0.{name}.{part}": random(8) for part in ("weight", "bias")}
        project[f"layers.{layer}.0.to_q.weight"] = random(64, 8)
        project[f"layers.{layer}.0.to_kv.weight"] = random(128, 8)
        project[f"layers.{layer}.0.to_out.weight"] = random(8, 64)
        project |= {f"layers.{layer}.1.0.{part}": random(8) for part in ("weight", "bias")}
        project[f"layers.{layer}.1.1.weight"] = random(32, 8)
        project[f"layers.{layer}.1.3.weight"] = random(8, 32)
    save_file(
        {**layers, **{f"image_proj.{name}": value for name, value in project.items()}}, adapter / "ip.safetensors"
    )
    encoder(adapter)


def of_flux(_: Path, adapter: Path) -> None:
    project = {"proj.weight": random(4 * 32, PROJECTED), "proj.bias": random(4 * 32)}
    project |= {"norm.weight": random(32), "norm.bias": random(32)}
    layers = {}
    for side in "kv":
        stem = f"double_blocks.0.processor.ip_adapter_double_stream_{side}_proj"
        layers |= {f"{stem}.weight": random(32, 32), f"{stem}.bias": random(32)}
    named = {f"ip_adapter_proj_model.{name}": value for name, value in project.items()}
    save_file({**layers, **named}, adapter / "ip.safetensors")
    encoder(adapter)


def of_stable_diffusion_3(_: Path, adapter: Path) -> None:
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
    encoder(adapter, "SiglipVision")


BUILDERS: Mapping[str, tuple[str, Callable[[Path, Path], None]]] = {
    "plain": ("stable-diffusion", plain),
    "plus": ("stable-diffusion", plus),
    "xl": ("stable-diffusion-xl", plain),
    "sd3": ("stable-diffusion-3", of_stable_diffusion_3),
    "flux": ("flux", of_flux),
    "kontext": ("flux-kontext", of_flux),
    "chroma": ("chroma", of_flux),
    "lcm": ("lcm", plain),
}


@pytest.fixture(scope="session")
def adapter(
    tiny_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[str, Path]]:
    """A tiny model and a folder with an IP-Adapter for it."""
    made: dict[str, Path] = {}

    def make(name: str) -> tuple[str, Path]:
        family, build = BUILDERS[name]
        model = tiny_model(family)
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # diffusers announces what it will rename
                torch.manual_seed(0)
                build(model, made[name])
        return str(model), made[name]

    return make


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    paths = []
    for number, colours in enumerate((((200, 30, 60), (20, 20, 90)), ((10, 220, 120), (250, 250, 200)))):
        pixels = np.full((40, 48, 3), colours[0], np.uint8)
        pixels[10:30, 12:36] = colours[1]
        paths.append(tmp_path / f"photo{number}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


def made(tool: type[api.Tool], ctx: testing.FakeContext | None = None, **values: Any) -> np.ndarray:
    ctx = ctx or testing.FakeContext(seed=3, models=MODELS)
    ctx.events.clear()
    (event,) = testing.results(testing.run(tool, ctx, **{"prompt": "a fox", "steps": 2, **values}))
    assert isinstance(event, api.Image)
    return np.asarray(event.picture)


@pytest.mark.parametrize("name", list(BUILDERS))
def test_a_picture_counts_by_its_weight_and_the_model_is_left_as_it_was(
    name: str, adapter: Callable[[str], tuple[str, Path]], photos: list[Path]
) -> None:
    model, folder = adapter(name)
    ctx = testing.FakeContext(seed=3)
    values = {"model": model, **SIZE}
    shown = {"adapter": str(folder), "reference_images": photos[:1]}
    before = made(TextToImage, ctx, **values)
    base = loader.load(ctx, model).base
    parts = {part: getattr(base, part, None) for part in ("image_encoder", "feature_extractor")}
    denoiser = getattr(base, "unet", None) or base.transformer
    state, processors = dict(denoiser.state_dict()), dict(denoiser.attn_processors)
    full = made(TextToImage, ctx, **values, **shown, adapter_weight=1.0)
    assert (full != before).any()
    assert (made(TextToImage, ctx, **values, **shown, adapter_weight=0.3) != full).any()
    other = {**shown, "reference_images": photos[1:]}
    assert (made(TextToImage, ctx, **values, **other, adapter_weight=1.0) != full).any()
    assert (made(TextToImage, ctx, **values, **shown, adapter_weight=0.0) == before).all()
    assert (made(TextToImage, ctx, **values) == before).all()
    assert {part: getattr(base, part, None) for part in parts} == parts
    assert denoiser.state_dict().keys() == state.keys()
    assert denoiser.attn_processors == processors
    assert len(ctx.models.loaded) == 2


@pytest.mark.parametrize("name", list(BUILDERS))
def test_a_paused_picture_goes_on_with_the_same_pixels(
    name: str, adapter: Callable[[str], tuple[str, Path]], photos: list[Path], tmp_path: Path
) -> None:
    model, folder = adapter(name)
    values = {"model": model, "adapter": str(folder), "reference_images": photos[:1], "steps": 3, **SIZE}
    whole = made(TextToImage, **values)
    with pytest.raises(api.Paused):
        made(TextToImage, Pausing(seed=3, folder=tmp_path / "kept", models=MODELS), **values)
    assert (
        made(TextToImage, testing.FakeContext(seed=3, folder=tmp_path / "kept", models=MODELS), **values) == whole
    ).all()


@pytest.mark.parametrize("name", ["plain", "plus", "flux"])
def test_several_pictures_are_taken_up_together(
    name: str, adapter: Callable[[str], tuple[str, Path]], photos: list[Path]
) -> None:
    model, folder = adapter(name)
    values = {"model": model, "adapter": str(folder), "adapter_weight": 1.0, **SIZE}
    both = made(TextToImage, **values, reference_images=photos)
    for photo in photos:
        assert (made(TextToImage, **values, reference_images=[photo]) != both).any()


def test_a_family_that_takes_up_one_picture_says_so_and_goes_on(
    adapter: Callable[[str], tuple[str, Path]], photos: list[Path]
) -> None:
    model, folder = adapter("sd3")
    ctx = testing.FakeContext(seed=3)
    before = made(TextToImage, ctx, model=model, **SIZE)
    with pytest.raises(api.BadInput, match="only one reference image"):
        made(TextToImage, ctx, model=model, adapter=str(folder), reference_images=photos, **SIZE)
    assert (made(TextToImage, ctx, model=model, **SIZE) == before).all()


def test_it_goes_with_a_controlnet_and_with_a_picture_to_paint_over(
    sd: Path, adapter: Callable[[str], tuple[str, Path]], photos: list[Path], tmp_path: Path
) -> None:
    _, folder = adapter("plain")
    Image.new("L", (48, 40), 255).save(tmp_path / "mask.png")
    shown = {"adapter": str(folder / "ip.safetensors"), "reference_images": photos[1:], "adapter_weight": 1.0}
    control = {"controls": [str(of_unet(sd))], "control_images": photos[:1]}
    own = {"image": photos[0], "model": str(sd)}
    for tool, values in (
        (TextToImage, {"model": str(sd)}),
        (ImageToImage, own),
        (Inpaint, {**own, "mask": tmp_path / "mask.png"}),
    ):
        pictures = [made(tool, **values, **more).tobytes() for more in ({}, shown, control, {**shown, **control})]
        assert len(set(pictures)) == 4


def test_it_can_be_cancelled(adapter: Callable[[str], tuple[str, Path]], photos: list[Path]) -> None:
    model, folder = adapter("plain")
    testing.check_tool(TextToImage, {"model": model, "steps": 2, "adapter": str(folder), "reference_images": photos})


def test_the_encoder_is_found_where_collections_keep_it(
    sd: Path, adapter: Callable[[str], tuple[str, Path]], photos: list[Path], tmp_path: Path
) -> None:
    _, folder = adapter("plain")
    file = tmp_path / "sdxl_models/ip.safetensors"
    file.parent.mkdir()
    file.write_bytes((folder / "ip.safetensors").read_bytes())
    values = {"model": str(sd), "adapter": str(file), "reference_images": photos}
    with pytest.raises(api.BadInput, match=r"image encoder of ip\.safetensors is missing"):
        made(TextToImage, **values)
    encoder(tmp_path / "models")
    near = {**values, "adapter": str(folder)}
    assert (made(TextToImage, **values) == made(TextToImage, **near)).all()


def test_what_does_not_fit_is_a_sentence_and_the_next_job_runs(
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
    before = made(TextToImage, ctx, model=str(sd))
    for other in (xl, flux):
        with pytest.raises(api.BadInput, match="made for another model"):
            made(TextToImage, ctx, model=str(sd), adapter=str(other), reference_images=photos)
    assert (made(TextToImage, ctx, model=str(sd)) == before).all()
    with pytest.raises(api.BadInput, match="PixArt-Σ does not support reference images"):
        made(TextToImage, model=str(tiny_model("pixart-sigma")), adapter=str(folder), reference_images=photos, **SIZE)
    with pytest.raises(api.BadInput, match="need an IP-Adapter"):
        made(TextToImage, model=str(sd), reference_images=photos)
    with pytest.raises(api.BadInput, match="IP-Adapter has no reference image"):
        made(TextToImage, model=str(sd), adapter=str(folder))
    with pytest.raises(api.BadInput, match="and no IP-Adapter"):
        made(TextToImage, model=str(sd), adapter=str(sd / "unet"), reference_images=photos)
    (tmp_path / "old").mkdir()
    (tmp_path / "old/ip-adapter_sd15.bin").write_bytes(b"PK")
    with pytest.raises(api.BadInput, match="is a pickle"):
        made(TextToImage, model=str(sd), adapter=str(tmp_path / "old"), reference_images=photos)
    faces = {"image_proj.proj.0.weight": torch.zeros(2, 2), "image_proj.norm.weight": torch.zeros(2)}
    save_file(faces, tmp_path / "faces.safetensors")
    with pytest.raises(api.BadInput, match="face recognition"):
        made(TextToImage, model=str(sd), adapter=str(tmp_path / "faces.safetensors"), reference_images=photos)
