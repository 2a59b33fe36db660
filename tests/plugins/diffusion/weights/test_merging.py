"""LoRAs merged into a model make the images that they make when they are applied while it runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from plugins.diffusion.models import loader
from plugins.diffusion.modifiers import lora as modifier
from plugins.diffusion.tools.merge_loras import MergeLoras
from studio import api, testing
from tests.plugins.diffusion.checkpoints.test_single_file import (
    Checkpoint,
    Shrink,
    convert_sd1,
    convert_xl,
    save_checkpoint,
    sd1,
    shrink,
    xl,
)
from tests.plugins.diffusion.fixtures import ldm_layout
from tests.plugins.diffusion.weights.lora_samples import (
    BLOCK,
    CONVOLUTION,
    KEYS,
    QUERIES,
    lora,
    make,
    mixed_lora,
    noise,
    notices,
    paint,
    save,
)

__all__ = ["sd1", "shrink", "xl"]


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(1)


def assert_same_images(one: np.ndarray, other: np.ndarray, plain: np.ndarray) -> None:
    """Check that two images are equal within rounding, and differ from that of the model alone."""
    assert np.abs(one - other).max() <= 2
    assert np.abs(one - plain).max() > 10


def test_merging_equals_applying_for_every_kind_of_layer(sd: Path, tmp_path: Path) -> None:
    mixed = save(mixed_lora(), tmp_path / "mixed.safetensors")
    second = save(lora(KEYS, 16, 32), tmp_path / "b.safetensors")
    ctx = testing.FakeContext(1)
    made = make(MergeLoras, ctx, model=str(sd), loras=[str(mixed), str(second)], lora_weights=[0.8, -0.5], title="Both")
    assert_same_images(paint(made.folder), paint(sd, mixed, second, weights=(0.8, -0.5)), paint(sd))
    assert (made.title, made.kind, made.is_derived) == ("Both", "diffusion", True)
    assert made.notes["relative_error"] < 1e-6
    assert notices(ctx) == ""
    assert "mixed (0.8), b (-0.5) merged into it" in (made.folder / "README.md").read_text("utf-8").replace("\\", "")
    errors = json.loads((made.folder / "layer_errors.json").read_text("utf-8"))
    assert len(errors) == 8  # with a weight and a bias of the convolution


def merged_pipeline(made: api.Trained) -> Any:
    from diffusers import DiffusionPipeline

    return DiffusionPipeline.from_pretrained(made.folder, dtype=torch.float32)


def assert_merged_alike(file: Path, made: api.Trained, expected: ldm_layout.State) -> set[str]:
    """Check that a merged file has the tensors of the one before and these weights. Returns the names that changed."""
    (merged,) = made.folder.glob("*.safetensors")
    before, after = load_file(file), load_file(merged)
    assert [*before] == [*after]
    for name, value in after.items():
        torch.testing.assert_close(value, expected[name].detach(), atol=1e-5, rtol=1e-4)
    return {name for name, value in after.items() if not value.equal(before[name])}


def test_a_single_file_stays_one_and_keeps_its_layout(sd1: Checkpoint, shrink: Shrink, tmp_path: Path) -> None:
    folder, state = sd1
    file = save_checkpoint(state, tmp_path / "ink.safetensors", family=shrink("stable-diffusion-1", folder))
    values: dict[str, Any] = {"loras": [str(save(mixed_lora(), tmp_path / "mixed.safetensors"))], "title": "Ink: mixed"}
    expected = convert_sd1(merged_pipeline(make(MergeLoras, testing.FakeContext(1), model=str(folder), **values)))
    made = make(MergeLoras, testing.FakeContext(1), model=str(file), **values)
    changed = assert_merged_alike(file, made, expected)
    assert len(changed) == 8
    assert f"{ldm_layout.UNET}input_blocks.3.1.transformer_blocks.0.attn2.to_k.weight" in changed
    assert (made.folder / "Ink- mixed.safetensors").is_file()
    assert loader.load(testing.FakeContext(), str(made.folder)).title == "Ink- mixed.safetensors"


def test_text_encoders_whose_queries_keys_and_values_are_one_matrix(
    xl: Checkpoint, shrink: Shrink, tmp_path: Path
) -> None:
    """OpenCLIP stores three layers as one, so a third of the rows changes."""
    folder, state = xl
    file = save_checkpoint(state, tmp_path / "xl.safetensors", family=shrink("stable-diffusion-xl", folder))
    layer = "lora_te2_text_model_encoder_layers_1_self_attn_k_proj"
    tensors = {**lora(layer, 16, 16), **lora("lora_unet_output_blocks_0_1_transformer_blocks_0_attn2_to_k", 16, 48)}
    values: dict[str, Any] = {"loras": [str(save(tensors, tmp_path / "a.safetensors"))]}
    expected = convert_xl(merged_pipeline(make(MergeLoras, testing.FakeContext(1), model=str(folder), **values)))
    made = make(MergeLoras, testing.FakeContext(1), model=str(file), **values)
    assert len(assert_merged_alike(file, made, expected)) == 2
    name = "conditioner.embedders.1.model.transformer.resblocks.1.attn.in_proj_weight"
    rows = (expected[name] != state[name]).any(dim=1)
    assert rows.nonzero().flatten().tolist() == list(range(16, 32))


def peft(stem: str, out: int, into: int) -> dict[str, torch.Tensor]:
    return {f"{stem}.lora_A.weight": noise(4, into, size=1.0), f"{stem}.lora_B.weight": noise(out, 4, size=1.0)}


def denoiser(model: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = load_file(model / "transformer/diffusion_pytorch_model.safetensors")
    return tensors


@pytest.mark.parametrize("family", ["stable-diffusion-3", "flux", "z-image", "qwenimage", "sana"])
def test_transformers_by_the_names_of_diffusers(family: str, tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    model = tiny_model(family)
    before = denoiser(model)
    names = [name for name in before if name.endswith(("to_q.weight", "to_out.0.weight"))]
    tensors: dict[str, torch.Tensor] = {}
    for name in names:
        tensors |= peft(f"transformer.{name.removesuffix('.weight')}", *before[name].shape)
    chosen = save(tensors, tmp_path / "a.safetensors")
    after = denoiser(make(MergeLoras, testing.FakeContext(1), model=str(model), loras=[str(chosen)]).folder)
    assert {name for name, value in after.items() if not value.equal(before[name])} == set(names)
    for name in names:
        stem = f"transformer.{name.removesuffix('.weight')}"
        change = tensors[f"{stem}.lora_B.weight"] @ tensors[f"{stem}.lora_A.weight"]
        torch.testing.assert_close(after[name] - before[name], change, atol=1e-4, rtol=1e-3)


def test_flux_by_the_names_of_kohya_which_diffusers_converts(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    model = tiny_model("flux")
    width = denoiser(model)["transformer_blocks.0.attn.to_q.weight"].shape[0]
    chosen = save(lora("lora_unet_double_blocks_0_img_attn_qkv", 3 * width, width), tmp_path / "a.safetensors")
    made = make(MergeLoras, testing.FakeContext(1), model=str(model), loras=[str(chosen)])
    before, after = denoiser(model), denoiser(made.folder)
    changed = {name for name, value in after.items() if not value.equal(before[name])}
    assert changed == {f"transformer_blocks.0.attn.to_{part}.weight" for part in "qkv"}
    tensors = load_file(chosen)
    stem = "lora_unet_double_blocks_0_img_attn_qkv"
    change = 2 / 3 * tensors[f"{stem}.lora_up.weight"] @ tensors[f"{stem}.lora_down.weight"]
    for part, rows in zip("qkv", change.chunk(3), strict=True):
        name = f"transformer_blocks.0.attn.to_{part}.weight"
        torch.testing.assert_close(after[name] - before[name], rows, atol=1e-5, rtol=1e-3)


def test_the_original_layout_of_a_transformer_takes_both_names(
    tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_model("z-image"), tmp_path / "folder"))
    from diffusers import ZImageTransformer2DModel

    transformer = ZImageTransformer2DModel.from_pretrained(folder / "transformer")
    file = save_checkpoint(ldm_layout.z_image(transformer), tmp_path / "bare.safetensors")
    width = transformer.state_dict()["layers.0.attention.to_q.weight"].shape
    theirs = save(peft("diffusion_model.layers.0.attention.to_k", *width), tmp_path / "a.safetensors")
    own = save(peft("diffusion_model.layers.0.attention.qkv", 3 * width[0], width[1]), tmp_path / "b.safetensors")
    ctx = testing.FakeContext(1)
    made = make(MergeLoras, ctx, model=str(file), loras=[str(theirs), str(own)])
    assert "takes what it lacks from folder: put that folder into the models folder" in notices(ctx)
    (merged,) = made.folder.glob("*.safetensors")
    difference = load_file(merged)["layers.0.attention.qkv.weight"] - load_file(file)["layers.0.attention.qkv.weight"]
    pair, fused = load_file(theirs), load_file(own)
    stem = "diffusion_model.layers.0.attention"
    expected = fused[f"{stem}.qkv.lora_B.weight"] @ fused[f"{stem}.qkv.lora_A.weight"]
    shutil.move(folder, ctx.downloads / "parts")
    again = make(MergeLoras, ctx, model=str(file), loras=[str(theirs)])
    (sidecar,) = again.folder.glob("*.studio.json")
    assert json.loads(sidecar.read_text("utf-8")) == {"components": "parts"}
    expected[width[0] : 2 * width[0]] += pair[f"{stem}.to_k.lora_B.weight"] @ pair[f"{stem}.to_k.lora_A.weight"]
    torch.testing.assert_close(difference, expected, atol=1e-4, rtol=1e-3)


def test_a_dora_by_columns_and_shards(sd: Path, tmp_path: Path) -> None:
    from diffusers import UNet2DConditionModel

    model = Path(shutil.copytree(sd, tmp_path / "model"))
    (model / "unet/diffusion_pytorch_model.safetensors").unlink()
    UNet2DConditionModel.from_pretrained(sd / "unet").save_pretrained(model / "unet", max_shard_size="100KB")
    tensors = {**lora(QUERIES, 16, 16), f"{QUERIES}.dora_scale": torch.rand(1, 16) + 0.5}
    chosen = save({**tensors, **lora(CONVOLUTION, 16, 8, 2, 3, 3)}, tmp_path / "a.safetensors")
    made = make(MergeLoras, testing.FakeContext(1), model=str(model), loras=[str(chosen)], lora_weights=[0.6])
    assert len([*(made.folder / "unet").glob("*.safetensors")]) > 1
    loaded = loader.load(testing.FakeContext(), str(sd))
    params = SimpleNamespace(prompt="", loras=[str(chosen)], lora_weights=[0.6])
    values = torch.randn(2, 5, 16)
    name = QUERIES.removeprefix("lora_unet_").replace("_", ".").replace("down.blocks", "down_blocks")
    name = name.replace("transformer.blocks", "transformer_blocks").replace("to.q", "to_q")
    with modifier.apply(testing.FakeContext(), loaded, loaded.base, params):
        expected = loaded.base.unet.get_submodule(name)(values)
    torch.testing.assert_close(merged_pipeline(made).unet.get_submodule(name)(values), expected, atol=1e-4, rtol=1e-4)


def test_only_files_of_the_model_are_copied_with_its_licence(sd: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(sd, tmp_path / "model"))
    (model / "LICENSE.txt").write_text("Be kind.", "utf-8")
    (model / "notes.txt").write_text("private", "utf-8")
    save_file({"a": noise(2)}, model / "unet/diffusion_pytorch_model.fp16.safetensors")
    (model / "studio.json").write_text('{"title": "x", "licence": "kind-1.0", "defaults": {"steps": 3}}', "utf-8")
    chosen = save(lora(KEYS, 16, 32), tmp_path / "a.safetensors")
    made = make(MergeLoras, testing.FakeContext(1), model=str(model), loras=[str(chosen)])
    names = {file.relative_to(made.folder).as_posix() for file in made.folder.rglob("*") if file.is_file()}
    assert {"LICENSE.txt", "model_index.json", "unet/diffusion_pytorch_model.safetensors", "vae/config.json"} <= names
    assert not {"notes.txt", "unet/diffusion_pytorch_model.fp16.safetensors"} & names
    assert json.loads((made.folder / "studio.json").read_text("utf-8")) == {
        "licence": "kind-1.0",
        "defaults": {"steps": 3},
    }


def test_16_bits_round_small_changes_away_and_it_is_said(sd: Path, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    StableDiffusionPipeline.from_pretrained(sd, dtype=torch.bfloat16).save_pretrained(tmp_path / "half")
    tensors = {name: value * 0.01 if "up" in name else value for name, value in lora(KEYS, 16, 32).items()}
    ctx = testing.FakeContext(1)
    made = make(MergeLoras, ctx, model=str(tmp_path / "half"), loras=[str(save(tensors, tmp_path / "a.safetensors"))])
    assert made.notes["relative_error"] > 0.05
    assert "The precision of half rounds" in notices(ctx)


def test_a_large_weight_is_refused_where_16_bits_overflow(sd: Path, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    StableDiffusionPipeline.from_pretrained(sd, dtype=torch.float16).save_pretrained(tmp_path / "half")
    chosen = str(save(lora(KEYS, 16, 32), tmp_path / "a.safetensors"))
    with pytest.raises(api.BadInput, match="is too large for the numbers of half"):
        make(MergeLoras, testing.FakeContext(1), model=str(tmp_path / "half"), loras=[chosen], lora_weights=[1e7])


def test_a_full_disk_is_said_before_anything_is_written(
    sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    chosen = str(save(lora(KEYS, 16, 32), tmp_path / "a.safetensors"))
    ctx = testing.FakeContext(1, tmp_path / "job")
    with pytest.raises(api.BadInput, match=r"needs .* on the disk, and 1\.0 KB are left"):
        make(MergeLoras, ctx, model=str(sd), loras=[chosen])
    assert not (tmp_path / "job/scratch/model").exists()


def test_cancelling_stops_within_a_tensor(sd: Path, tmp_path: Path) -> None:
    chosen = str(save(lora(KEYS, 16, 32), tmp_path / "a.safetensors"))
    ctx = testing.FakeContext(1, tmp_path / "job", cancel_after=5)
    with pytest.raises(api.Cancelled):
        testing.run(MergeLoras, ctx, model=str(sd), loras=[chosen])
    assert ctx.cancellations == 1


REFUSED: dict[str, tuple[dict[str, torch.Tensor], str]] = {
    "another family": (lora("lora_unet_double_blocks_0_img_attn_qkv", 48, 16), "a LoRA for FLUX, and its only layer"),
    "another size": (lora(KEYS, 640, 2048), "Stable Diffusion XL and does not fit .* is 640 × 2048, and .* 16 × 32"),
    "an OFT": ({f"{KEYS}.oft_blocks": torch.zeros(2, 8, 8)}, "an OFT"),
    "no LoRA": ({f"{ldm_layout.UNET}input_blocks.0.0.weight": torch.zeros(4, 4)}, "and no LoRA"),
    "a bias too many": ({**lora(KEYS, 16, 32), f"{KEYS}.diff_b": noise(16)}, "changes a bias"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_loras_that_do_not_fit_are_named(sd: Path, tmp_path: Path, case: str) -> None:
    tensors, sentence = REFUSED[case]
    chosen = str(save(tensors, tmp_path / "a.safetensors"))
    with pytest.raises(api.BadInput, match=sentence):
        make(MergeLoras, testing.FakeContext(1), model=str(sd), loras=[chosen])


def test_quantised_models_are_refused(sd: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(sd, tmp_path / "small"))
    file = model / "unet/diffusion_pytorch_model.safetensors"
    save_file({name: value.to(torch.float8_e4m3fn) for name, value in load_file(file).items()}, file)
    chosen = str(save(lora(KEYS, 16, 32), tmp_path / "a.safetensors"))
    with pytest.raises(api.BadInput, match="small is quantised, and the small changes of a LoRA would be lost"):
        make(MergeLoras, testing.FakeContext(1), model=str(model), loras=[chosen])
    config = json.loads((sd / "unet/config.json").read_text("utf-8"))
    shutil.copy(sd / "unet/diffusion_pytorch_model.safetensors", file)
    (model / "unet/config.json").write_text(json.dumps({**config, "quantization_config": {"a": 1}}), "utf-8")
    with pytest.raises(api.BadInput, match="small is quantised"):
        make(MergeLoras, testing.FakeContext(1), model=str(model), loras=[chosen])


def test_layers_without_a_place_are_told(sd: Path, tmp_path: Path) -> None:
    tensors = {**lora(KEYS, 16, 32), **lora(f"lora_unet_{BLOCK}_attn9_to_k", 16, 32)}
    tensors["bundle_emb.fox.string_to_param.*"] = noise(2, 32)
    ctx = testing.FakeContext(1)
    make(MergeLoras, ctx, model=str(sd), loras=[str(save(tensors, tmp_path / "a.safetensors"))])
    assert notices(ctx).startswith("1 of the 2 layers of a.safetensors found no place in stable-diffusion")
    assert "The textual inversions in a stay in it and are not merged." in notices(ctx)


def test_a_weight_of_zero_merges_nothing(sd: Path, tmp_path: Path) -> None:
    chosen = str(save(lora(KEYS, 16, 32), tmp_path / "a.safetensors"))
    with pytest.raises(api.BadInput, match="All LoRAs have a weight of 0"):
        make(MergeLoras, testing.FakeContext(1), model=str(sd), loras=[chosen], lora_weights=[0.0])


def test_the_estimate_counts_the_disk(sd: Path) -> None:
    estimate: Any = testing.estimate(MergeLoras, model=str(sd), loras=["a"])
    assert estimate.disk == sum(file.stat().st_size for file in sd.rglob("*") if file.is_file())
