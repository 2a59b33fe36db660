"""What another program wrote is fitted to the parameters of a tool."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.diffusion.tools.image_to_image import ImageToImage
from plugins.diffusion.tools.text_to_image import TextToImage
from studio.core.descriptor import ToolDescriptor
from studio.engine.foreign_values import FittedField, fit_fields
from studio.engine.recipe_builder import build_recipe
from studio.library.foreign.fields import list_fields
from studio.library.foreign.lora_values import ForeignLora
from studio.library.foreign.metadata import ForeignMetadata
from studio.library.library import Library

TOOL = ToolDescriptor(
    id=TextToImage.id, title="Text to image", plugin="diffusion", schema=TextToImage.Params.model_json_schema()
)


def fit(library: Library, **values: Any) -> dict[str, FittedField]:
    found = fit_fields(list_fields(ForeignMetadata(source="x", **values)), TOOL, library)
    return {fitted.field.name: fitted for fitted in found}


def test_numbers_and_texts_become_values_that_build_a_recipe(library: Library) -> None:
    found = fit(
        library, prompt="a fox", negative_prompt="blurry", seed=7, width=512, height=768, steps=20, guidance=6.5,
        clip_skip=2,
    )  # fmt: skip
    values = {name: value for fitted in found.values() for name, value in fitted.values.items()}
    assert found["seed"].seed == 7
    recipe = build_recipe(TOOL, {**values, "model": "x/y"}, 7, library)
    assert recipe.params.items() >= {
        "prompt": "a fox", "negative_prompt": "blurry", "width": 512, "height": 768, "steps": 20, "guidance": 6.5,
        "clip_skip": 1,
    }.items()  # fmt: skip


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("DPM++ 2M Karras", {"sampler": "dpmpp_2m_karras"}),
        ("DPM++ 2M", {"sampler": "dpmpp_2m"}),
        ("dpmpp_2m_k", {"sampler": "dpmpp_2m", "schedule": "karras"}),
        ("Euler a", {"sampler": "euler_a"}),
        ("euler_ancestral", {"sampler": "euler_a"}),
        ("k_euler_ancestral", {"sampler": "euler_a"}),
        ("euler_k", {"sampler": "euler", "schedule": "karras"}),
        ("Heun Karras", {"sampler": "heun", "schedule": "karras"}),
        ("dpmpp_2m_sde_gpu", {"sampler": "dpmpp_2m_sde"}),
        ("dpm_2_ancestral", {"sampler": "dpm2_a"}),
        ("kdpm_2_a", {"sampler": "dpm2_a"}),
        ("DPM++ 3M SDE Exponential", {"sampler": "dpmpp_3m_sde", "schedule": "exponential"}),
        ("uni_pc", {"sampler": "unipc"}),
        ("PLMS", {"sampler": "plms"}),
        ("res_multistep", {}),
        ("", {}),
        ("Karras", {}),
    ],
)
def test_samplers_of_other_programs(library: Library, name: str, values: dict[str, str]) -> None:
    found = fit(library, sampler=name)
    if name:
        assert found["sampler"].values == values
        assert found["sampler"].note == ("" if values else f"There is no sampler {name} here.")
    else:
        assert found == {}


@pytest.mark.parametrize(
    ("name", "choice"),
    [("karras", "karras"), ("Karras", "karras"), ("SGM Uniform", "uniform"), ("simple", "uniform"),
     ("Automatic", "model"), ("normal", "model"), ("kl_optimal", None)],
)  # fmt: skip
def test_noise_schedules_of_other_programs(library: Library, name: str, choice: str | None) -> None:
    assert fit(library, scheduler=name)["scheduler"].values == ({"schedule": choice} if choice else {})


@pytest.mark.parametrize("name", ["mine.safetensors", "sd\\mine.ckpt [cc6cb27103]", "MINE", "a/b/mine.gguf"])
def test_models_are_found_by_their_file_names(library: Library, name: str) -> None:
    (library.home.models / "mine.safetensors").write_bytes(b"")
    found = fit(library, model=name, vae="other")
    assert found["model"].values == {"model": "mine.safetensors"}
    assert found["vae"].note == "other is not among your models."
    assert not found["vae"].is_usable


def test_loras_that_the_prompt_does_not_name_are_set(library: Library) -> None:
    (library.home.models / "fur.safetensors").write_bytes(b"")
    loras = [
        ForeignLora(name="sub/fur", weight=0.8),
        ForeignLora(name="gone"),
        ForeignLora(name="fur", weight=0.5, in_prompt=True),
    ]
    found = fit(library, loras=loras)["loras"]
    assert found.values == {"loras": ["fur.safetensors"], "lora_weights": [0.8]}
    assert found.note == "Not among your LoRAs: gone. The prompt itself names LoRAs."


def test_a_tag_of_a_lora_that_is_not_here_leaves_the_prompt(library: Library) -> None:
    (library.home.models / "fur.safetensors").write_bytes(b"")
    loras = [ForeignLora(name="fur", in_prompt=True), ForeignLora(name="gone", in_prompt=True)]
    found = fit(library, prompt="a fox <lora:fur:0.8> <lora:gone:1>", loras=loras)
    assert found["prompt"].values == {"prompt": "a fox <lora:fur:0.8>"}
    assert "gone" in found["loras"].note


def test_values_that_the_tool_refuses_are_named(library: Library) -> None:
    found = fit(library, seed=2**40, steps=100_000, guidance=7.0, strength=0.5, more={"Hires steps": "5"})
    assert "between 0 and 4294967295" in found["seed"].note
    assert found["steps"].note.startswith("Steps")
    assert found["guidance"].values == {"guidance": 7.0}
    assert found["strength"].note == "Text to image has no parameter for Denoising strength."
    assert not found["more.Hires steps"].is_usable


def test_a_full_denoising_strength_needs_no_note(library: Library) -> None:
    assert fit(library, strength=1.0)["strength"].note == ""


def test_the_denoising_strength_is_for_images_that_start_from_one(library: Library) -> None:
    tool = ToolDescriptor(
        id=ImageToImage.id, title="x", plugin="diffusion", schema=ImageToImage.Params.model_json_schema()
    )
    (fitted,) = fit_fields(list_fields(ForeignMetadata(source="x", strength=0.4)), tool, library)
    assert fitted.values == {"strength": 0.4}
