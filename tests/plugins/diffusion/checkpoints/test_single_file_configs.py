"""The built-in configurations build the published models, whose files are identified by their headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from plugins.diffusion.checkpoints.clip_tokenizer import build_tokenizer
from plugins.diffusion.checkpoints.families import FAMILIES
from plugins.diffusion.checkpoints.probe import identify
from plugins.diffusion.checkpoints.single_file_configs import LAYOUTS, Component, write_configs
from tests.plugins.diffusion.fixtures import ldm_layout


def build_component(component: Component, **overrides: object) -> Any:
    """Build a component on the meta device, with shapes and no numbers."""
    import diffusers
    import transformers

    component_class = getattr(
        {"diffusers": diffusers, "transformers": transformers}[component.library], component.class_name
    )
    with torch.device("meta"):
        if component.library == "transformers":
            return component_class(component_class.config_class(**component.config))
        return component_class.from_config({**component.config, **overrides})


def count_parameters(module: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def shapes_of(state: ldm_layout.State) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}


@pytest.mark.parametrize(
    ("layout", "size"),
    [
        ("stable-diffusion-1", 859_520_964),
        ("stable-diffusion-1-inpainting", 859_535_364),
        ("instruct-pix2pix", 859_532_484),
        ("stable-diffusion-2", 865_910_724),
        ("stable-diffusion-2-inpainting", 865_925_124),
        ("stable-diffusion-xl", 2_567_463_684),
        ("stable-diffusion-xl-inpainting", 2_567_478_084),
        ("stable-diffusion-xl-refiner", 2_259_526_660),
    ],
)
def test_the_unets_have_the_published_sizes_and_are_identified(layout: str, size: int) -> None:
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    part = LAYOUTS[layout].components["unet"]
    unet = build_component(part)
    assert count_parameters(unet) == size
    original = ldm_layout.unet(unet)
    assert identify(shapes_of(original)).layout == layout
    converted = convert_ldm_unet_checkpoint(dict(original), dict(part.config))
    assert shapes_of(converted) == shapes_of(unet.state_dict())


@pytest.mark.parametrize(
    ("layout", "part", "size"),
    [
        ("stable-diffusion-1", "vae", 83_653_863),
        ("stable-diffusion-1", "text_encoder", 123_060_480),
        ("stable-diffusion-2", "text_encoder", 340_387_840),
        ("stable-diffusion-xl", "text_encoder_2", 694_659_840),
        ("stable-diffusion-3", "text_encoder", 123_650_304),
        ("stable-diffusion-3", "vae", 83_819_683),
    ],
)
def test_the_other_components_have_the_published_sizes(layout: str, part: str, size: int) -> None:
    assert count_parameters(build_component(LAYOUTS[layout].components[part])) == size


@pytest.mark.parametrize("layout", ["stable-diffusion-1", "stable-diffusion-xl", "stable-diffusion-3"])
def test_the_tensor_names_of_autoencoders_are_converted(layout: str) -> None:
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    part = LAYOUTS[layout].components["vae"]
    vae = build_component(part)
    assert shapes_of(convert_ldm_vae_checkpoint(ldm_layout.vae(vae), dict(part.config))) == shapes_of(vae.state_dict())


@pytest.mark.parametrize(
    ("depth", "more"),
    [
        (24, {"pos_embed_max_size": 192}),  # 3 medium
        (38, {"pos_embed_max_size": 192, "qk_norm": "rms_norm"}),  # 3.5 large
        (24, {"pos_embed_max_size": 384, "qk_norm": "rms_norm", "dual_attention_layers": list(range(13))}),
    ],
)
def test_the_sizes_of_stable_diffusion_3_are_read_from_the_header(depth: int, more: dict[str, Any]) -> None:
    layout = LAYOUTS["stable-diffusion-3"]
    config = {
        "num_layers": depth,
        "attention_head_dim": 64,
        "num_attention_heads": depth,
        "caption_projection_dim": 64 * depth,
        "joint_attention_dim": 4096,
        "pooled_projection_dim": 2048,
        "in_channels": 16,
        "out_channels": 16,
        "patch_size": 2,
        "dual_attention_layers": [],
        "qk_norm": None,
        **more,
    }
    header = shapes_of(ldm_layout.sd3(build_component(layout.components["transformer"], **config)))
    assert identify(header).layout == "stable-diffusion-3"
    assert layout.read_denoiser_config(header) == config


@pytest.mark.parametrize(
    ("channels", "guidance", "layout", "what"),
    [
        (64, True, "flux", "FLUX.1 dev"),
        (64, False, "flux", "FLUX.1 schnell"),
        (384, True, "flux-fill", "FLUX.1 Fill"),
    ],
)
def test_flux_is_read_from_the_header(channels: int, guidance: bool, layout: str, what: str) -> None:
    from diffusers import FluxTransformer2DModel
    from diffusers.loaders.single_file_utils import convert_flux_transformer_checkpoint_to_diffusers

    with torch.device("meta"):
        model = FluxTransformer2DModel(
            in_channels=channels, out_channels=64, num_layers=2, num_single_layers=3, guidance_embeds=guidance
        )
    original = ldm_layout.flux(model)
    found = identify(shapes_of(original))
    assert (found.layout, found.description) == (layout, f"a model of {what}")
    told = LAYOUTS[layout].read_denoiser_config(shapes_of(original))
    assert told == {"in_channels": channels, "num_layers": 2, "num_single_layers": 3, "guidance_embeds": guidance}
    assert LAYOUTS[layout].read_scheduler_config(shapes_of(original))["use_dynamic_shifting"] is guidance
    converted = convert_flux_transformer_checkpoint_to_diffusers(dict(original))
    assert shapes_of(converted) == shapes_of(model.state_dict())


@pytest.mark.parametrize("layout", [name for name, layout in LAYOUTS.items() if layout.pipeline])
def test_the_written_configs_have_only_known_settings(layout: str, tmp_path: Path) -> None:
    """Check that no setting is ignored, and that the pipeline finds all its components."""
    import diffusers

    folder = write_configs(LAYOUTS[layout], {}, tmp_path)
    kind = getattr(diffusers, LAYOUTS[layout].pipeline)
    needed = set(kind._get_signature_keys(kind)[0]) - set(kind._optional_components)
    given = LAYOUTS[layout].components.keys() | LAYOUTS[layout].pad_tokens.keys()
    assert needed - given <= {"text_encoder_3", "tokenizer_3"}
    for name, part in LAYOUTS[layout].components.items():
        if part.library == "diffusers":
            component = getattr(diffusers, part.class_name)
            config = component.load_config(str(folder), subfolder=name)
            _, unknown, _ = component.extract_init_dict(config)
            assert not unknown


def test_every_layout_has_a_known_family() -> None:
    assert {family for layout in LAYOUTS.values() for family in layout.families} <= FAMILIES.keys()


def test_the_tokenizer_gives_the_token_ids_of_clip() -> None:
    words = build_tokenizer()
    assert len(words) == 49_408
    assert words("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert words("Hello,  WORLD").input_ids == [49406, 3306, 267, 1002, 49407]
    assert words("naïve").input_ids == words("NAÏVE").input_ids
    filled = build_tokenizer("!")("a cat", padding="max_length", truncation=True).input_ids
    assert filled == [49406, 320, 2368, 49407, *[0] * 73]
