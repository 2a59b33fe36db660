"""ControlNets follow control images, for every family that supports them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from plugins.diffusion.checkpoints.families import FAMILIES, Task
from plugins.diffusion.models import loader
from plugins.diffusion.modifiers import control_maps, controlnet
from plugins.diffusion.tools.image_to_image import ImageToImage
from plugins.diffusion.tools.inpaint import Inpaint
from plugins.diffusion.tools.text_to_image import TextToImage
from plugins.diffusion.tools.tiled_upscale import TiledUpscale
from plugins.diffusion.tools.variations import Variations
from studio import api, testing
from tests.plugins.diffusion.fixtures.tiny_controls import (
    NETS,
    randomize_zeros,
    save_net,
    save_unet_controlnet,
    save_union_controlnet,
    to_original_layout,
)
from tests.plugins.diffusion.pipeline.test_pause import Pausing

SIZE: dict[str, Any] = {"width": 32, "height": 32}
TASKS = {TextToImage: Task.TEXT_TO_IMAGE, ImageToImage: Task.IMAGE_TO_IMAGE, Inpaint: Task.INPAINT}
MODELS = testing.FakeModels()
"""Loaded models, kept from test to test as the studio keeps them from job to job."""
ONE_AT_A_TIME = ("qwenimage", "z-image")
CASES = [
    (family, tool) for family in NETS for tool, task in TASKS.items() if FAMILIES[family].controlnet_pipelines(task)
]


@pytest.fixture(scope="session")
def net(tiny_model: Callable[[str], Path]) -> Callable[[str], Path]:
    """Return a function that builds a ControlNet for a family's tiny model, and returns its folder."""
    folders: dict[str, Path] = {}

    def build_net(family: str) -> Path:
        if family not in folders:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # diffusers announces renamings
                folders[family] = NETS[family](tiny_model(family))
        return folders[family]

    return build_net


@pytest.fixture
def drawing(tmp_path: Path) -> Path:
    pixels = np.full((32, 32, 3), 40, np.uint8)
    pixels[8:24, 8:24] = (220, 160, 60)
    Image.fromarray(pixels).save(tmp_path / "drawing.png")
    return tmp_path / "drawing.png"


@pytest.fixture
def inputs(tmp_path: Path) -> dict[type[api.Tool], dict[str, Any]]:
    Image.radial_gradient("L").resize((32, 32)).convert("RGB").save(tmp_path / "picture.png")
    mask = Image.new("L", (32, 32), 0)
    mask.paste(255, (8, 8, 24, 24))
    mask.save(tmp_path / "mask.png")
    picture = {"image": tmp_path / "picture.png"}
    return {
        TextToImage: SIZE,
        ImageToImage: picture | SIZE,
        Inpaint: picture | {"mask": tmp_path / "mask.png", "area": "whole"},
    }


def paint(tool: type[api.Tool], ctx: testing.FakeContext | None = None, **values: Any) -> np.ndarray:
    values = {"prompt": "a fox", "steps": 2, **values}
    (event,) = testing.results(testing.run(tool, ctx or testing.FakeContext(seed=3, models=MODELS), **values))
    assert isinstance(event, api.Image)
    return np.asarray(event.picture)


@pytest.mark.parametrize(("family", "tool"), CASES, ids=lambda value: getattr(value, "id", value))
def test_every_family_follows_a_control_image_and_the_model_is_unchanged(
    family: str,
    tool: type[api.Tool],
    tiny_model: Callable[[str], Path],
    net: Callable[[str], Path],
    inputs: dict[type[api.Tool], dict[str, Any]],
    drawing: Path,
) -> None:
    ctx = testing.FakeContext(seed=3)
    values: dict[str, Any] = {"model": str(tiny_model(family)), **inputs[tool]}
    guided: dict[str, Any] = {"controls": [str(net(family))], "control_images": [drawing]}
    base = loader.load(ctx, values["model"]).base
    if hasattr(base, "default_sample_size"):
        base.default_sample_size = 16  # some say nowhere that they are as small as they are
    results = []
    for more in ({}, guided, {**guided, "control_weights": [0.4]}, {**guided, "control_weights": [0.0]}, {}):
        ctx.events.clear()
        results.append(paint(tool, ctx, **values, **more))
    plain, full, less, none, after = results
    assert (full != plain).any()
    assert (full != less).any()
    assert (none == plain).all()
    assert (after == plain).all()
    assert len(ctx.models.loaded) == 2


@pytest.mark.parametrize("family", list(NETS))
def test_a_paused_image_with_a_controlnet_resumes_with_the_same_pixels(
    family: str, tiny_model: Callable[[str], Path], net: Callable[[str], Path], drawing: Path, tmp_path: Path
) -> None:
    values: dict[str, Any] = {
        "model": str(tiny_model(family)),
        "steps": 4,
        "controls": [str(net(family))],
        "control_images": [drawing],
    }
    whole = paint(TextToImage, **values, **SIZE)
    with pytest.raises(api.Paused):
        paint(TextToImage, Pausing(seed=3, folder=tmp_path / "kept", models=MODELS), **values, **SIZE)
    assert (
        paint(TextToImage, testing.FakeContext(seed=3, folder=tmp_path / "kept", models=MODELS), **values, **SIZE)
        == whole
    ).all()


def test_the_controlnet_is_skipped_while_the_denoiser_is_replayed(
    sd: Path, net: Callable[[str], Path], drawing: Path, tmp_path: Path
) -> None:
    values: dict[str, Any] = {
        "model": str(sd),
        "steps": 8,
        "controls": [str(net("stable-diffusion"))],
        "control_images": [drawing],
    }
    pausing = Pausing(seed=3, folder=tmp_path / "kept")
    pausing.after = 6
    with pytest.raises(api.Paused):
        paint(TextToImage, pausing, **values)
    ctx = testing.FakeContext(seed=3, folder=tmp_path / "kept", models=pausing.models)
    (control,) = (kept for key, kept in ctx.models.loaded.items() if key.startswith("controlnet:"))
    calls: list[int] = []
    control.conv_in.register_forward_hook(lambda *_: calls.append(1))
    paint(TextToImage, ctx, **values)
    assert len(calls) == 4  # the first, the last before the pause, and the two that are new


@pytest.mark.parametrize("tool", list(TASKS))
def test_an_untrained_controlnet_changes_nothing(
    tool: type[api.Tool], sd: Path, inputs: dict[type[api.Tool], dict[str, Any]], drawing: Path
) -> None:
    new = save_unet_controlnet(sd, learnt=False)
    values: dict[str, Any] = {"model": str(sd), **inputs[tool]}
    assert (paint(tool, controls=[str(new)], control_images=[drawing], **values) == paint(tool, **values)).all()


@pytest.mark.parametrize("family", [family for family in NETS if family not in ONE_AT_A_TIME])
def test_two_controlnets_are_combined(
    family: str, tiny_model: Callable[[str], Path], net: Callable[[str], Path], drawing: Path, tmp_path: Path
) -> None:
    Image.radial_gradient("L").resize((32, 32)).save(tmp_path / "other.png")
    values: dict[str, Any] = {"model": str(tiny_model(family)), **SIZE}
    one = paint(TextToImage, **values, controls=[str(net(family))], control_images=[drawing])
    pair: dict[str, Any] = {"controls": [str(net(family))] * 2, "control_images": [drawing, tmp_path / "other.png"]}
    assert (paint(TextToImage, **values, **pair) != one).any()
    assert (paint(TextToImage, **values, **pair, control_weights=[1, 0]) == one).all()


@pytest.mark.parametrize("family", ONE_AT_A_TIME)
def test_a_family_with_one_controlnet_refuses_two(
    family: str, tiny_model: Callable[[str], Path], net: Callable[[str], Path], drawing: Path
) -> None:
    values: dict[str, Any] = {"controls": [str(net(family))] * 2, "control_images": [drawing] * 2, **SIZE}
    with pytest.raises(api.BadInput, match="takes only one ControlNet"):
        paint(TextToImage, model=str(tiny_model(family)), **values)


def test_a_single_file_is_loaded_in_either_layout(sd: Path, drawing: Path, tmp_path: Path) -> None:
    from diffusers import AutoencoderKL, ControlNetModel, StableDiffusionPipeline, UNet2DConditionModel

    usual = StableDiffusionPipeline.from_pretrained(sd)
    usual.register_modules(
        vae=AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(4, 4, 4, 4),
            norm_num_groups=2,
        )
    )
    usual.save_pretrained(tmp_path / "usual")
    folder = save_net(
        randomize_zeros(ControlNetModel.from_unet(UNet2DConditionModel.from_pretrained(sd / "unet"))),
        tmp_path / "usual",
        "control",
    )
    file = folder / "diffusion_pytorch_model.safetensors"
    first = tmp_path / "first.safetensors"
    save_file(to_original_layout(load_file(file)), first)
    values: dict[str, Any] = {"model": str(tmp_path / "usual"), "control_images": [drawing]}
    of_folder = paint(TextToImage, **values, controls=[str(folder)])
    assert (of_folder != paint(TextToImage, model=values["model"])).any()
    for other in (file, first):
        assert (paint(TextToImage, **values, controls=[str(other)]) == of_folder).all()


def test_the_input_image_replaces_a_missing_control_image(
    sd: Path, net: Callable[[str], Path], inputs: dict[type[api.Tool], dict[str, Any]]
) -> None:
    values: dict[str, Any] = {"model": str(sd), "controls": [str(net("stable-diffusion"))], **inputs[ImageToImage]}
    given = paint(ImageToImage, **values, control_images=[inputs[ImageToImage]["image"]])
    assert (paint(ImageToImage, **values) == given).all()
    with pytest.raises(api.BadInput, match="no control image for"):
        paint(TextToImage, model=str(sd), controls=values["controls"])


def test_an_inpainted_region_uses_its_region_of_the_control_image(
    sd: Path, net: Callable[[str], Path], tmp_path: Path
) -> None:
    Image.radial_gradient("L").resize((96, 64)).convert("RGB").save(tmp_path / "picture.png")
    mask = Image.new("L", (96, 64), 0)
    mask.paste(255, (60, 30, 80, 50))
    mask.save(tmp_path / "mask.png")
    same = np.zeros((64, 96, 3), np.uint8)
    same[20:60, 50:90] = 200
    elsewhere = same.copy()
    elsewhere[:, :40] = 130
    for name, pixels in (("same", same), ("elsewhere", elsewhere)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    values: dict[str, Any] = {
        "model": str(sd),
        "image": tmp_path / "picture.png",
        "mask": tmp_path / "mask.png",
        "margin": 4,
    }
    values |= {"controls": [str(net("stable-diffusion"))], "control_guide": "as_it_is", "feather": 2}
    one, other = (paint(Inpaint, **values, control_images=[tmp_path / f"{name}.png"]) for name in ("same", "elsewhere"))
    assert (one == other).all()


def test_upscaling_and_variations_use_controlnets(
    sd: Path, net: Callable[[str], Path], inputs: dict[type[api.Tool], dict[str, Any]], drawing: Path
) -> None:
    control: dict[str, Any] = {"model": str(sd), "controls": [str(net("stable-diffusion"))]}
    larger: dict[str, Any] = {"image": inputs[ImageToImage]["image"], "scale": 2, "overlap": 8, "steps": 3}
    assert (paint(TiledUpscale, **control, **larger) != paint(TiledUpscale, model=str(sd), **larger)).any()
    painted = paint(TextToImage, **control, control_images=[drawing])
    same, near = (
        paint(
            Variations,
            testing.FakeContext(seed=8, models=MODELS),
            **control,
            control_images=[drawing],
            origin=3,
            variation=share,
        )
        for share in (0.0, 0.5)
    )
    assert (same == painted).all()
    assert (near != painted).any()


def test_the_preprocessor_follows_the_name_and_skips_control_maps(sd: Path, drawing: Path, tmp_path: Path) -> None:
    canny = str(save_unet_controlnet(sd, name="canny"))
    drawn = tmp_path / "drawn.png"
    Image.fromarray(control_maps.draw_canny_edges(np.asarray(Image.open(drawing)))).save(drawn)
    ctx, again = (testing.FakeContext(seed=3, models=MODELS) for _ in range(2))
    first = paint(TextToImage, ctx, model=str(sd), controls=[canny], control_images=[drawing])
    assert (paint(TextToImage, again, model=str(sd), controls=[canny], control_images=[drawn]) == first).all()
    assert (ctx.notes["guides"], again.notes["guides"]) == (["canny"], ["as_it_is"])
    asked = paint(TextToImage, model=str(sd), controls=[canny], control_images=[drawing], control_guide="as_it_is")
    assert (asked != first).any()


def test_control_start_and_end_limit_the_steps(sd: Path, net: Callable[[str], Path], drawing: Path) -> None:
    values: dict[str, Any] = {"model": str(sd), "steps": 4}
    guided: dict[str, Any] = {"controls": [str(net("stable-diffusion"))], "control_images": [drawing]}
    pictures = [paint(TextToImage, **values, **guided, control_end=end) for end in (0.5, 1.0)]
    assert (pictures[0] != pictures[1]).any()
    assert (paint(TextToImage, **values, **guided, control_end=0.1) == paint(TextToImage, **values)).all()
    with pytest.raises(api.BadInput, match="Control end is not after Control start"):
        paint(TextToImage, **values, **guided, control_start=0.5, control_end=0.5)


@pytest.mark.parametrize("family", ["stable-diffusion-xl", "flux"])
def test_a_union_controlnet_takes_a_control_mode(family: str, tiny_model: Callable[[str], Path], drawing: Path) -> None:
    folder = tiny_model(family)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net_folder = save_union_controlnet(folder)
    values: dict[str, Any] = {"model": str(folder), "controls": [str(net_folder)], "control_images": [drawing], **SIZE}
    first, second = (paint(TextToImage, **values, control_modes=[mode]) for mode in (0, 5))
    assert (first != second).any()
    for modes in ([], [6], [-1]):
        with pytest.raises(api.BadInput, match=r"has 6 control modes.*0 to 5"):
            paint(TextToImage, **values, control_modes=modes)
    pair: dict[str, Any] = {"controls": [str(net_folder)] * 2, "control_images": [drawing] * 2, "control_modes": [0, 5]}
    assert (paint(TextToImage, **{**values, **pair}) != first).any()


def test_a_job_with_a_controlnet_can_be_cancelled_within_a_step(
    sd: Path, net: Callable[[str], Path], drawing: Path
) -> None:
    values: dict[str, Any] = {
        "model": str(sd),
        "controls": [str(net("stable-diffusion"))],
        "control_images": [drawing],
        "steps": 3,
    }
    testing.check_tool(TextToImage, values)


def test_a_control_image_of_another_aspect_ratio_is_cropped_with_a_notice(
    sd: Path, net: Callable[[str], Path], tmp_path: Path
) -> None:
    values: dict[str, Any] = {"model": str(sd), "controls": [str(net("stable-diffusion"))]}
    for size, notices in (((64, 64), 0), ((66, 64), 0), ((96, 32), 1)):
        Image.new("RGB", size, "#804020").save(tmp_path / "flat.png")
        ctx = testing.FakeContext(models=MODELS)
        paint(TextToImage, ctx, control_images=[tmp_path / "flat.png"], **values)
        assert len([event for event in ctx.events if isinstance(event, api.Notice)]) == notices


def test_a_region_is_cropped_from_the_fitted_image() -> None:
    columns = np.repeat(np.arange(120, dtype=np.uint8)[None, :, None], 40, axis=0).repeat(3, axis=2)
    picture = Image.fromarray(columns)
    whole = np.asarray(controlnet.crop_region(picture, (40, 40), controlnet.WHOLE_IMAGE))
    assert abs(whole[20, :, 0].astype(int) - np.arange(40, 80)).max() <= 1
    half = np.asarray(controlnet.crop_region(picture, (20, 40), (0.5, 0.0, 1.0, 1.0)))
    assert abs(half[20, :, 0].astype(int) - np.arange(60, 80)).max() <= 1


def test_running_out_of_memory_in_the_controlnet_takes_a_fallback(
    sd: Path, net: Callable[[str], Path], drawing: Path
) -> None:
    values: dict[str, Any] = {
        "model": str(sd),
        "controls": [str(net("stable-diffusion"))],
        "control_images": [drawing],
        "steps": 3,
    }
    ctx = testing.FakeContext(seed=3)
    paint(TextToImage, ctx, **values)
    (control,) = (kept for key, kept in ctx.models.loaded.items() if key.startswith("controlnet:"))
    left = [0, 0, 1]

    def refuse(*_: object) -> None:
        if left and left.pop(0):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    handle = control.mid_block.register_forward_pre_hook(refuse)
    ctx.events.clear()
    after = paint(TextToImage, ctx, **values)
    handle.remove()
    assert ctx.notes["memory"] == ["vae tiling"]
    assert after.shape == (32, 32, 3)
    assert loader.load(ctx, str(sd)).fallbacks == ["vae tiling"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"control_images": 2}, "2 control images for 1 ControlNets"),
        ({"control_images": 1, "control_weights": [1, 1]}, "2 ControlNet weights for 1 ControlNets"),
        ({"control_images": 1, "control_modes": [0, 1]}, "2 control modes for 1 ControlNets"),
        ({"control_images": 1, "controls": []}, "1 control images for 0 ControlNets"),
    ],
)
def test_lists_longer_than_the_controlnets_are_refused(
    sd: Path, net: Callable[[str], Path], drawing: Path, values: dict[str, Any], sentence: str
) -> None:
    chosen = {
        "controls": [str(net("stable-diffusion"))],
        **values,
        "control_images": [drawing] * values["control_images"],
    }
    with pytest.raises(api.BadInput, match=sentence):
        paint(TextToImage, model=str(sd), **chosen)


def test_a_controlnet_that_does_not_fit_is_refused_before_it_is_loaded(
    sd: Path, tiny_model: Callable[[str], Path], net: Callable[[str], Path], drawing: Path, tmp_path: Path
) -> None:
    xl = tiny_model("stable-diffusion-xl")
    own, other = str(net("stable-diffusion")), str(net("stable-diffusion-xl"))
    file = Path(other) / "diffusion_pytorch_model.safetensors"
    for model, wrong in ((sd, other), (sd, str(file)), (sd, str(net("flux"))), (xl, own)):
        ctx = testing.FakeContext()
        with pytest.raises(api.BadInput, match="made for another model"):
            paint(TextToImage, ctx, model=str(model), controls=[wrong], control_images=[drawing])
        assert len(ctx.models.loaded) == 1
    with pytest.raises(api.BadInput, match="PixArt-Σ does not support ControlNets"):
        paint(TextToImage, model=str(tiny_model("pixart-sigma")), controls=[own], control_images=[drawing], **SIZE)
    with pytest.raises(api.BadInput, match="does not support ControlNets with an image"):
        paint(ImageToImage, model=str(tiny_model("stable-diffusion-3")), controls=[own], image=drawing, **SIZE)
    with pytest.raises(api.BadInput, match="and no ControlNet"):
        paint(TextToImage, model=str(sd), controls=[str(sd / "unet/diffusion_pytorch_model.safetensors")])
    with pytest.raises(api.BadInput, match=r"no ControlNet: it has no config\.json"):
        paint(TextToImage, model=str(sd), controls=[str(sd)])


def test_damaged_controlnets_are_refused_and_the_next_job_runs(
    sd: Path, net: Callable[[str], Path], drawing: Path, tmp_path: Path
) -> None:
    good = net("stable-diffusion")
    weights = load_file(good / "diffusion_pytorch_model.safetensors")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_bytes((good / "config.json").read_bytes())
    ctx = testing.FakeContext(seed=3)
    values: dict[str, Any] = {"model": str(sd), "control_images": [drawing]}
    for damage, sentence in (
        (lambda: None, "has no weights"),
        (lambda: (broken / "diffusion_pytorch_model.bin").write_bytes(b"PK"), "is a pickle"),
        (lambda: (broken / "diffusion_pytorch_model.safetensors").write_bytes(b"version https://git-lfs"), "LFS"),
        (lambda: save_file({"a": torch.zeros(1)}, broken / "diffusion_pytorch_model.safetensors"), "incomplete"),
        (lambda: (broken / "config.json").write_text("{"), "config.json of broken is damaged"),
    ):
        damage()
        with pytest.raises(api.BadInput, match=sentence):
            paint(TextToImage, ctx, controls=[str(broken)], **values)
    del weights["conv_in.weight"]
    save_file(weights, tmp_path / "cut.safetensors")
    with pytest.raises(api.BadInput, match="incomplete"):
        paint(TextToImage, ctx, controls=[str(tmp_path / "cut.safetensors")], **values)
    ctx.events.clear()
    assert paint(TextToImage, ctx, controls=[str(good)], **values).shape == (32, 32, 3)
