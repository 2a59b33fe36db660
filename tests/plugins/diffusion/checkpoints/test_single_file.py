"""Single-file checkpoints in their original layouts give the images that their diffusers folders give."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from plugins.diffusion.checkpoints.clip_tokenizer import build_tokenizer
from plugins.diffusion.checkpoints.single_file_configs import LAYOUTS, Component
from plugins.diffusion.models import loader
from plugins.diffusion.tools.text_to_image import TextToImage
from studio import api, testing
from tests.plugins.diffusion.fixtures import ldm_layout, tiny

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline, UNet2DConditionModel

SIZE: dict[str, Any] = {"width": 32, "height": 32}
Shrink = Callable[[str, Path], str]
Checkpoint = tuple[Path, ldm_layout.State]
_NOISE_SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def stable_diffusion(folder: Path, *, channels: int = 4, width: int = 32) -> Any:
    """Save a tiny pipeline with the vocabulary of CLIP, which single files have."""
    from diffusers import PNDMScheduler, StableDiffusionInpaintPipeline, StableDiffusionPipeline

    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    kind = StableDiffusionInpaintPipeline if channels == 9 else StableDiffusionPipeline
    pipe = kind(
        vae=tiny.build_vae(),
        text_encoder=tiny.build_clip_text_encoder(tokenizer, width),
        tokenizer=tokenizer,
        unet=tiny.build_unet(width, channels=channels),
        scheduler=PNDMScheduler(**_NOISE_SCHEDULE, skip_prk_steps=True, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.save_pretrained(folder)
    return pipe


def stable_diffusion_xl(folder: Path, *, refiner: bool = False) -> Any:
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLImg2ImgPipeline, StableDiffusionXLPipeline

    torch.manual_seed(0)
    first, second = build_tokenizer(), build_tokenizer("!")
    options: dict[str, Any] = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8}
    unet = tiny.build_unet(
        16 if refiner else 48,
        projection_class_embeddings_input_dim=8 * (5 if refiner else 6) + 16,
        use_linear_projection=True,
        **options,
    )
    kind = StableDiffusionXLImg2ImgPipeline if refiner else StableDiffusionXLPipeline
    pipe = kind(
        vae=tiny.build_vae(),
        text_encoder=None if refiner else tiny.build_clip_text_encoder(first),
        text_encoder_2=tiny.build_clip_text_encoder(second, 16, projection=16),
        tokenizer=None if refiner else first,
        tokenizer_2=second,
        unet=unet,
        scheduler=EulerDiscreteScheduler(**_NOISE_SCHEDULE, steps_offset=1, timestep_spacing="leading"),
        **({"requires_aesthetics_score": True} if refiner else {}),
        force_zeros_for_empty_prompt=not refiner,
    )
    pipe.save_pretrained(folder)
    return pipe


def stable_diffusion_3(folder: Path) -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

    torch.manual_seed(0)
    first, second = build_tokenizer(), build_tokenizer("!")
    transformer = SD3Transformer2DModel(
        sample_size=16,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_projection_dim=32,
        joint_attention_dim=64,
        pooled_projection_dim=48,
        pos_embed_max_size=24,
        dual_attention_layers=(0,),
        qk_norm="rms_norm",
    )
    pipe = StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=tiny.build_vae(16, shift_factor=0.06, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=tiny.build_clip_text_encoder(first, 32, projection=32),
        tokenizer=first,
        text_encoder_2=tiny.build_clip_text_encoder(second, 16, projection=16),
        tokenizer_2=second,
        text_encoder_3=None,
        tokenizer_3=None,
    )
    torch.nn.init.eye_(pipe.text_encoder.text_projection.weight)  # which files leave out
    pipe.save_pretrained(folder)
    return pipe


def convert_sd1(pipe: DiffusionPipeline) -> ldm_layout.State:
    return {
        **ldm_layout.unet(pipe.unet),
        **ldm_layout.vae(pipe.vae),
        **ldm_layout.clip(pipe.text_encoder, "cond_stage_model.transformer."),
    }


def convert_sd2(pipe: DiffusionPipeline) -> ldm_layout.State:
    return {
        **ldm_layout.unet(pipe.unet),
        **ldm_layout.vae(pipe.vae),
        **ldm_layout.open_clip(pipe.text_encoder, "cond_stage_model.model."),
    }


def convert_xl(pipe: DiffusionPipeline) -> ldm_layout.State:
    refiner = pipe.text_encoder is None
    tokenizer = {} if refiner else ldm_layout.clip(pipe.text_encoder, "conditioner.embedders.0.transformer.")
    second = f"conditioner.embedders.{0 if refiner else 1}.model."
    return {
        **ldm_layout.unet(pipe.unet),
        **ldm_layout.vae(pipe.vae),
        **tokenizer,
        **ldm_layout.open_clip(pipe.text_encoder_2, second),
    }


def convert_sd3(pipe: DiffusionPipeline) -> ldm_layout.State:
    tokenizer = ldm_layout.clip_with_projection(pipe.text_encoder, "text_encoders.clip_l.transformer.")
    tokenizer.pop("text_encoders.clip_l.transformer.text_projection.weight")
    second = ldm_layout.clip_with_projection(pipe.text_encoder_2, "text_encoders.clip_g.transformer.")
    return {**ldm_layout.sd3(pipe.transformer), **ldm_layout.vae(pipe.vae), **tokenizer, **second}


def save_checkpoint(state: ldm_layout.State, path: Path, **about: str) -> Path:
    save_file({name: value.detach().contiguous().clone() for name, value in state.items()}, path)
    if about:
        path.with_suffix(".studio.json").write_text(json.dumps(about), "utf-8")
    return path


@pytest.fixture
def shrink(monkeypatch: pytest.MonkeyPatch) -> Shrink:
    """Return a function that gives a layout the network configurations of a tiny folder."""

    def shrink_layout(name: str, folder: Path) -> str:
        def tiny_component(component: str, part: Component) -> Component:
            return replace(part, config=json.loads((folder / component / part.config_file).read_text("utf-8")))

        layout = LAYOUTS[name]
        parts = {
            component: part if component == "scheduler" else tiny_component(component, part)
            for component, part in layout.components.items()
        }
        monkeypatch.setitem(LAYOUTS, name, replace(layout, components=parts))
        return name

    return shrink_layout


def paint(path: Path) -> tuple[bytes, list[str]]:
    """Return the pixels of an image, and the notices."""
    ctx = testing.FakeContext(seed=3)
    events = testing.run(TextToImage, ctx, model=str(path), prompt="a red fox, 3D!", steps=2, **SIZE)
    (result,) = testing.results(events)
    assert isinstance(result, api.Image)
    return np.asarray(result.picture).tobytes(), [event.text for event in events if isinstance(event, api.Notice)]


def load(path: Path, ctx: testing.FakeContext | None = None) -> Any:
    return loader.load(ctx or testing.FakeContext(), str(path)).base


def have_same_weights(one: DiffusionPipeline, other: DiffusionPipeline) -> bool:
    """Compare the modules and weights of two pipelines."""
    ours, theirs = (
        {name: part.state_dict() for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
        for pipe in (one, other)
    )
    return ours.keys() == theirs.keys() and all(
        state.keys() == theirs[part].keys() and all(value.equal(theirs[part][name]) for name, value in state.items())
        for part, state in ours.items()
    )


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Return a folder, and the state dict of the same model in the layout of a single file."""
    folder = tmp_path_factory.mktemp("models") / "sd1"
    return folder, convert_sd1(stable_diffusion(folder))


@pytest.fixture(scope="module")
def xl(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("models") / "xl"
    return folder, convert_xl(stable_diffusion_xl(folder))


def test_stable_diffusion_gives_the_image_of_its_folder(sd1: Checkpoint, shrink: Shrink, tmp_path: Path) -> None:
    folder, state = sd1
    file = save_checkpoint(state, tmp_path / "model.safetensors", family=shrink("stable-diffusion-1", folder))
    assert paint(file) == paint(folder)


def test_stable_diffusion_xl_gives_the_image_of_its_folder(xl: Checkpoint, shrink: Shrink, tmp_path: Path) -> None:
    folder, state = xl
    file = save_checkpoint(state, tmp_path / "model.safetensors", family=shrink("stable-diffusion-xl", folder))
    assert paint(file) == paint(folder)


def test_weights_of_16_bits_are_loaded_at_the_dtype_of_the_job(sd1: Checkpoint, shrink: Shrink, tmp_path: Path) -> None:
    folder, state = sd1
    half_weights = {name: value.half() for name, value in state.items()}
    pipe = load(
        save_checkpoint(half_weights, tmp_path / "model.safetensors", family=shrink("stable-diffusion-1", folder))
    )
    assert {weight.dtype for weight in pipe.unet.parameters()} == {torch.float32}
    whole = load_file(folder / "unet/diffusion_pytorch_model.safetensors")["conv_in.weight"]
    assert pipe.unet.conv_in.weight.equal(whole.half().float())


@pytest.mark.parametrize(
    ("layout", "make", "convert"),
    [
        ("stable-diffusion-1-inpainting", lambda folder: stable_diffusion(folder, channels=9), convert_sd1),
        ("stable-diffusion-xl-refiner", lambda folder: stable_diffusion_xl(folder, refiner=True), convert_xl),
        ("stable-diffusion-3", stable_diffusion_3, convert_sd3),
    ],
)
def test_every_component_of_a_file_is_loaded(
    layout: str,
    make: Callable[[Path], Any],
    convert: Callable[[Any], ldm_layout.State],
    tmp_path: Path,
    shrink: Shrink,
) -> None:
    pipe = make(tmp_path / "folder")
    (tmp_path / "files").mkdir()
    state = convert(pipe)
    file = save_checkpoint(state, tmp_path / "files/model.safetensors", family=shrink(layout, tmp_path / "folder"))
    loaded = load(file)
    assert type(loaded).__name__ == LAYOUTS[layout].pipeline
    assert have_same_weights(loaded, pipe)
    assert loaded.config.get("requires_aesthetics_score") == pipe.config.get("requires_aesthetics_score")


def test_marker_tensors_set_v_prediction_and_zero_terminal_snr(xl: Checkpoint, shrink: Shrink, tmp_path: Path) -> None:
    folder, state = xl
    markers = {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}
    pipe = load(
        save_checkpoint(state | markers, tmp_path / "v.safetensors", family=shrink("stable-diffusion-xl", folder))
    )
    assert type(pipe.scheduler).__name__ == "EulerDiscreteScheduler"
    assert pipe.scheduler.config.prediction_type == "v_prediction"
    assert pipe.scheduler.config.rescale_betas_zero_snr
    assert pipe.scheduler.config.timestep_spacing == "trailing"


def test_a_scheduler_without_zero_terminal_snr_is_replaced(sd1: Checkpoint, shrink: Shrink, tmp_path: Path) -> None:
    folder, state = sd1
    file = tmp_path / "v.safetensors"
    save_checkpoint(
        state | {"ztsnr": torch.zeros(0)}, file, family=shrink("stable-diffusion-1", folder), prediction="v_prediction"
    )
    scheduler = load(file).scheduler
    assert type(scheduler).__name__ == "DDIMScheduler"
    assert (scheduler.config.prediction_type, scheduler.config.clip_sample) == ("v_prediction", False)


@pytest.mark.parametrize(("predicts_noise", "prediction"), [(True, "epsilon"), (False, "v_prediction")])
def test_the_prediction_type_of_stable_diffusion_2_is_tested(
    predicts_noise: bool, prediction: str, shrink: Shrink, tmp_path: Path
) -> None:
    pipe = stable_diffusion(tmp_path / "folder")
    if predicts_noise:
        make_unet_return_its_input(pipe.unet)
    (tmp_path / "files").mkdir()
    layout = shrink("stable-diffusion-2", tmp_path / "folder")
    ctx = testing.FakeContext()
    loaded = load(save_checkpoint(convert_sd2(pipe), tmp_path / "files/two.safetensors", family=layout), ctx)
    assert have_same_weights(loaded, pipe)
    assert loaded.scheduler.config.prediction_type == prediction
    assert ("512" if predicts_noise else "768") in notice_text(ctx)
    overridden = load(
        save_checkpoint(
            convert_sd2(pipe), tmp_path / "files/overridden.safetensors", family=layout, prediction="v_prediction"
        )
    )
    assert overridden.scheduler.config.prediction_type == "v_prediction"


def make_unet_return_its_input(unet: UNet2DConditionModel) -> None:
    """Fit the last layer by least squares so that the UNet returns its input."""
    noise = torch.randn(4, 4, 16, 16)
    inputs: list[torch.Tensor] = []
    hook = unet.conv_out.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    with torch.no_grad():
        unet(noise, 999, torch.zeros(4, 77, unet.config.cross_attention_dim))
        hook.remove()
        windows = torch.nn.functional.unfold(inputs[0], 3, padding=1).transpose(1, 2).flatten(0, 1)
        solution = torch.linalg.lstsq(windows, noise.flatten(2).transpose(1, 2).flatten(0, 1)).solution
        unet.conv_out.weight.copy_(solution.T.reshape(unet.conv_out.weight.shape))
        unet.conv_out.bias.zero_()


def notice_text(ctx: testing.FakeContext) -> str:
    return " ".join(event.text for event in ctx.events if isinstance(event, api.Notice))


def test_missing_components_come_from_a_folder_beside_the_file(sd1: Checkpoint, shrink: Shrink, tmp_path: Path) -> None:
    folder, state = sd1
    layout = shrink("stable-diffusion-1", folder)
    bare = {name: value + 0.5 for name, value in state.items() if name.startswith((ldm_layout.UNET, "first_stage"))}
    file = save_checkpoint(bare, tmp_path / "bare.safetensors", family=layout)
    with pytest.raises(api.BadInput, match=r"Stable Diffusion 1 and 2 without its text encoders\. Put a diffusers"):
        load(file)
    shutil.copytree(folder, tmp_path / "some folder")
    shutil.rmtree(tmp_path / "some folder/unet")
    shutil.copytree(folder / "unet", tmp_path / "some folder/unet", ignore=shutil.ignore_patterns("*.safetensors"))
    ctx = testing.FakeContext()
    pipe = load(file, ctx)
    assert "Components that bare.safetensors lacks come from some folder." in notice_text(ctx)
    assert ctx.notes["components"] == "some folder"
    own = load(folder)
    assert pipe.unet.conv_in.weight.equal(own.unet.conv_in.weight + 0.5)
    assert pipe.vae.quant_conv.weight.equal(own.vae.quant_conv.weight + 0.5)
    assert pipe.text_encoder.final_layer_norm.weight.equal(own.text_encoder.final_layer_norm.weight)


def test_the_sidecar_may_name_the_components_folder(sd1: Checkpoint, shrink: Shrink, tmp_path: Path) -> None:
    folder, state = sd1
    shrink("stable-diffusion-1", folder)
    about = {"family": "stable-diffusion-1", "components": str(folder)}
    ctx = testing.FakeContext()
    file = save_checkpoint(state, tmp_path / "whole.safetensors", **about)
    load(file, ctx)
    assert ctx.notes["components"] == folder.name
    file = save_checkpoint(state, tmp_path / "whole.safetensors", **about | {"components": str(file)})
    with pytest.raises(api.BadInput, match="is no diffusers folder"):
        load(file)


@pytest.mark.parametrize(
    ("family", "convert"),
    [("z-image", ldm_layout.z_image), ("flux", lambda transformer: transformer.state_dict())],
)
def test_a_transformer_alone_works_with_the_folder_beside_it(
    family: str, convert: Callable[[Any], ldm_layout.State], tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_model(family), tmp_path / "folder"))
    about = {"family": "flux"} if family == "flux" else {}
    file = save_checkpoint(convert(load(folder).transformer), tmp_path / "bare.safetensors", **about)
    (folder / "transformer/diffusion_pytorch_model.safetensors").unlink()
    from_file, notices = paint(file)
    assert from_file == paint(tiny_model(family))[0]
    assert "Components that bare.safetensors lacks come from folder." in notices


def test_a_transformer_may_be_larger_than_that_of_the_folder(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    from diffusers import SD3Transformer2DModel

    folder = shutil.copytree(tiny_model("stable-diffusion-3"), tmp_path / "folder")
    config = json.loads((folder / "transformer/config.json").read_text("utf-8"))
    larger = {"num_layers": 3, "qk_norm": "rms_norm", "dual_attention_layers": [0, 1], "pos_embed_max_size": 20}
    transformer = SD3Transformer2DModel.from_config(config | larger)
    loaded = load(save_checkpoint(ldm_layout.sd3(transformer), tmp_path / "large.safetensors")).transformer
    assert loaded.config.num_layers == 3
    theirs = transformer.state_dict()
    assert all(value.equal(theirs[name]) for name, value in loaded.state_dict().items())


def test_a_model_stays_loaded_until_its_file_or_sidecar_changes(
    sd1: Checkpoint, shrink: Shrink, tmp_path: Path
) -> None:
    folder, state = sd1
    file = save_checkpoint(state, tmp_path / "model.safetensors", family=shrink("stable-diffusion-1", folder))
    ctx = testing.FakeContext()
    first = load(file, ctx)
    assert load(file, ctx) is first
    save_checkpoint(state, file, family="stable-diffusion-1", prediction="v_prediction")
    os.utime(file.with_suffix(".studio.json"), ns=(1, 1))
    second = load(file, ctx)
    assert second.scheduler.config.prediction_type == "v_prediction"
    os.utime(file, ns=(1, 1))
    assert load(file, ctx) is not second


def test_missing_weights_are_refused(sd1: Checkpoint, shrink: Shrink, tmp_path: Path) -> None:
    folder, state = sd1
    shrink("stable-diffusion-1", folder)
    some = {name: value for name, value in state.items() if "mlp.fc1" not in name}
    file = save_checkpoint(some, tmp_path / "model.safetensors", family="stable-diffusion-1")
    with pytest.raises(api.BadInput, match=r"model\.safetensors lacks weights that the text_encoder of Stable"):
        load(file)
    wide = {name: value.repeat(2) if value.ndim == 1 else value for name, value in state.items()}
    with pytest.raises(api.BadInput, match="lacks weights that a model of Stable Diffusion 1 and 2 has"):
        load(save_checkpoint(wide, file))


@pytest.mark.parametrize(
    ("state", "about", "sentence"),
    [
        (
            {"something": (4, 4)},
            None,
            r"of an unknown kind\. If you know what it is, name its family in m\.studio\.json",
        ),
        (
            {"control_model.zero_convs.0.0.weight": (4, 4)},
            None,
            "is a ControlNet, which guides another model, and makes no images",
        ),
        ({"emb_params": (2, 8)}, None, "is a textual inversion"),
        ({"lora_unet_x.lora_down.weight": (2, 2)}, None, "is a LoRA"),
        ({"first_stage_model.encoder.conv_in.weight": (4, 4)}, None, "is an autoencoder, which is only a component"),
        ({"something": (4, 4)}, "{", r"m\.studio\.json cannot be read"),
        ({"something": (4, 4)}, '{"family": 1}', "cannot be read"),
        ({"something": (4, 4)}, '{"colour": "red"}', "cannot be read"),
        ({"something": (4, 4)}, '{"family": "dall-e"}', "unknown family, dall-e. Known are: stable-diffusion-1, "),
        ({"something": (4, 4)}, '{"prediction": "x"}', "unknown prediction, x. Known are: epsilon, v_prediction"),
        ({"something": (4, 4)}, '{"family": "flux"}', r"FLUX\.1 without its text encoders and autoencoder"),
        (
            {"a.weight": (4, 4), "a.scale_weight": (1,)},
            '{"family": "flux"}',
            "is quantised in a way that is not supported",
        ),
    ],
)
def test_a_file_that_cannot_be_loaded_is_refused(
    state: dict[str, tuple[int, ...]], about: str | None, sentence: str, tmp_path: Path
) -> None:
    file = save_checkpoint({name: torch.zeros(shape) for name, shape in state.items()}, tmp_path / "m.safetensors")
    if about is not None:
        (tmp_path / "m.studio.json").write_text(about, "utf-8")
    with pytest.raises(api.BadInput, match=sentence):
        load(file)


def test_damaged_files_are_refused(sd1: Checkpoint, tmp_path: Path) -> None:
    file = save_checkpoint(sd1[1], tmp_path / "m.safetensors")
    whole = file.read_bytes()
    for content, sentence in (
        (whole[:-10], "ends too early"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (b"PK\x03\x04 and more", "is a pickle under another name"),
    ):
        file.write_bytes(content)
        with pytest.raises(api.BadInput, match=sentence):
            load(file)
    file.write_bytes(whole)
    with pytest.raises(api.BadInput, match="Rename it"):
        load(file.rename(tmp_path / "m.sft"))
