"""A model that cannot be used is refused with one sentence, and the next job runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from plugins.diffusion.checkpoints import diffusers_folder
from plugins.diffusion.checkpoints.families import FAMILIES
from plugins.diffusion.checkpoints.probe import identify
from plugins.diffusion.models import loader
from plugins.diffusion.tools.text_to_image import TextToImage
from studio import api, testing

UNET = "unet/diffusion_pytorch_model.safetensors"
P = "model.diffusion_model."


@pytest.fixture
def copy(sd: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sd, tmp_path / "copy"))


def edit_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values), "utf-8")


def truncate_weights(folder: Path) -> None:
    (folder / UNET).write_bytes((folder / UNET).read_bytes()[:-100])


def write_lfs_pointer(folder: Path) -> None:
    (folder / UNET).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "utf-8")


def rename_to_pickle(folder: Path) -> None:
    (folder / UNET).rename(folder / "unet/diffusion_pytorch_model.bin")


def remove_unet(folder: Path) -> None:
    shutil.rmtree(folder / "unet")


def remove_weights(folder: Path) -> None:
    (folder / UNET).unlink()


def set_custom_pipeline(folder: Path) -> None:
    edit_json(folder / "model_index.json", _class_name=["pipeline", "Mine"])


def set_custom_component(folder: Path) -> None:
    edit_json(folder / "model_index.json", unet=["my_unet", "Mine"])


def damage_index(folder: Path) -> None:
    (folder / "model_index.json").write_text("{", "utf-8")


def remove_index(folder: Path) -> None:
    (folder / "model_index.json").unlink()


def set_unsupported_pipeline(folder: Path) -> None:
    edit_json(folder / "model_index.json", _class_name="StableAudioPipeline")


def set_modular_pipeline(folder: Path) -> None:
    edit_json(folder / "model_index.json", _class_name="SomeModularPipeline")


def change_unet_config(folder: Path) -> None:
    edit_json(folder / "unet/config.json", block_out_channels=[16, 32])


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (truncate_weights, "ends too early"),
        (write_lfs_pointer, "Git LFS pointer"),
        (rename_to_pickle, "is a pickle and is not opened"),
        (remove_unet, "the folder unet is missing"),
        (remove_weights, "no weights for its unet"),
        (set_custom_pipeline, "Python code of its own"),
        (set_custom_component, "Python code of its own"),
        (damage_index, "is damaged"),
        (remove_index, "has no model_index.json"),
        (set_unsupported_pipeline, "StableAudioPipeline, which makes no images"),
        (set_modular_pipeline, "is a modular pipeline"),
        (change_unet_config, "does not fit its configuration"),
    ],
)
def test_a_model_that_cannot_be_used_is_refused(
    copy: Path, sd: Path, break_it: Callable[[Path], None], sentence: str
) -> None:
    break_it(copy)
    ctx = testing.FakeContext()
    with pytest.raises(api.BadInput, match=sentence):
        testing.run(TextToImage, ctx, model=str(copy), steps=1)
    assert testing.results(testing.run(TextToImage, ctx, model=str(sd), steps=1))


def test_a_model_deleted_between_two_runs_is_refused(copy: Path) -> None:
    ctx = testing.FakeContext()
    testing.run(TextToImage, ctx, model=str(copy), steps=1)
    shutil.rmtree(copy)
    with pytest.raises(api.BadInput):
        testing.run(TextToImage, ctx, model=str(copy), steps=1)


def test_a_model_may_have_its_own_defaults(copy: Path) -> None:
    (copy / "studio.json").write_text(json.dumps({"defaults": {"steps": 2, "guidance": 1}}), "utf-8")
    loaded = loader.load(testing.FakeContext(), str(copy))
    assert (loaded.family.steps, loaded.family.guidance) == (2, 1.0)
    events = testing.run(TextToImage, testing.FakeContext(), model=str(copy))
    assert [event.text for event in events if isinstance(event, api.Progress)][-1] == "Step 2 of 2"


@pytest.mark.parametrize("defaults", [{"steps": 0, "guidance": -1}, {"steps": "many", "guidance": [1]}, "much", None])
def test_invalid_defaults_are_ignored(copy: Path, defaults: object) -> None:
    (copy / "studio.json").write_text(json.dumps({"defaults": defaults}), "utf-8")
    assert diffusers_folder.with_own_defaults(copy, FAMILIES["stable-diffusion"]) == FAMILIES["stable-diffusion"]


def test_a_component_may_come_from_a_starter(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from studio.core import paths

    before = testing.results(testing.run(TextToImage, model=str(copy), steps=1))
    monkeypatch.setattr(paths, "resources_folder", lambda: tmp_path)
    (tmp_path / "starters").mkdir()
    shutil.move(copy / "vae", tmp_path / "starters/lent")
    (copy / "studio.json").write_text(json.dumps({"components": {"vae": "lent"}}), "utf-8")
    after = testing.results(testing.run(TextToImage, model=str(copy), steps=1))
    images = [event.picture for event in (*before, *after) if isinstance(event, api.Image)]
    assert len(images) == 2
    assert (np.asarray(images[0]) == np.asarray(images[1])).all()


@pytest.mark.parametrize(
    ("shapes", "description"),
    [
        ({f"{P}input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight": (320, 768)}, "of Stable Diffusion 1"),
        (
            {
                f"{P}input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight": (320, 1024),
                f"{P}input_blocks.0.0.weight": (320, 9, 3, 3),
            },
            "of Stable Diffusion 2, made for inpainting",
        ),
        ({f"{P}input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": (640, 2048)}, "of Stable Diffusion XL"),
        ({f"{P}input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": (768, 1280)}, "the refiner"),
        ({f"{P}joint_blocks.0.context_block.adaLN_modulation.1.bias": (1,)}, "of Stable Diffusion 3"),
        ({"double_blocks.0.img_attn.norm.key_norm.scale": (1,), "img_in.weight": (3072, 64)}, "FLUX.1 schnell"),
        (
            {
                "double_blocks.0.img_attn.norm.key_norm.scale": (1,),
                "img_in.weight": (3072, 64),
                "guidance_in.in_layer.bias": (1,),
            },
            "FLUX.1 dev",
        ),
        ({"single_stream_modulation.lin.weight": (1,), "img_in.weight": (6144, 128)}, "FLUX.2"),
        ({"double_blocks.0.img_attn.norm.key_norm.scale": (1,), "img_in.weight": (3072, 128)}, "for control images"),
        ({f"{P}distilled_guidance_layer.in_proj.bias": (1,)}, "of Chroma"),
        ({"double_layers.0.attn.w2q.weight": (1,), "cond_seq_linear.weight": (1,)}, "of AuraFlow"),
        ({"layers.0.adaLN_modulation.0.weight": (1,), "cap_embedder.0.weight": (1,)}, "of Z-Image"),
        ({"cap_embedder.0.weight": (1,)}, "of Lumina 2"),
        ({"blocks.0.cross_attn.q_linear.weight": (1,), "attention_y_norm.weight": (1,)}, "of Sana"),
        ({"txt_in.text_norm.weight": (1,)}, "of Qwen-Image 2.1"),
        ({"txt_norm.weight": (1,), "transformer_blocks.0.img_mod.1.weight": (1,)}, "of Qwen-Image"),
        ({"txtfusion.projector.weight": (1,)}, "of Krea 2"),
        (
            {f"{P}input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": (640, 2048), "edm_mean": (1, 4, 1, 1)},
            "with noise of another kind",
        ),
        ({"text_model.encoder.layers.0.mlp.fc1.weight": (4, 4)}, "a text encoder"),
        ({"lora_unet_mid_block.lora_down.weight": (4, 4)}, "a LoRA"),
        ({"controlnet_cond_embedding.conv_in.weight": (4, 4)}, "a ControlNet"),
        ({"image_proj.proj.weight": (4, 4)}, "an IP-Adapter"),
        ({"emb_params": (4, 768)}, "a textual inversion"),
        ({"first_stage_model.encoder.conv_in.weight": (4, 4)}, "an autoencoder"),
        ({"something": (4, 4)}, "of an unknown kind"),
    ],
)
def test_a_file_is_identified_by_its_header(shapes: dict[str, tuple[int, ...]], description: str) -> None:
    assert description in identify(shapes).description


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    save_file({"lora_unet_mid.lora_down.weight": torch.zeros(2, 2)}, tmp_path / "ink.safetensors")
    with pytest.raises(api.BadInput, match=r"ink\.safetensors is a LoRA"):
        testing.run(TextToImage, model=str(tmp_path / "ink.safetensors"))
    (tmp_path / "old.ckpt").write_bytes(b"PK")
    with pytest.raises(api.BadInput, match="is a pickle"):
        testing.run(TextToImage, model=str(tmp_path / "old.ckpt"))
