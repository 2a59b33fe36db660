"""LoRAs of lower rank, and several LoRAs in one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from plugins.diffusion.tools.combine_loras import CombineLoras
from plugins.diffusion.tools.resize_lora import ResizeLora
from plugins.diffusion.weights.decomposition import Truncation, decompose
from studio import api, testing
from tests.plugins.diffusion.weights.lora_samples import (
    CONVOLUTION,
    KEYS,
    NORM,
    QUERIES,
    TEXT,
    Tensors,
    lora,
    make,
    mixed_lora,
    noise,
    notices,
    read,
    save,
)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(1)


def change(tensors: Tensors, stem: str) -> torch.Tensor:
    """Compute the change of a plain layer as a matrix, by the rules of kohya's scripts."""
    down, up = (tensors[f"{stem}.lora_{part}.weight"].float() for part in ("down", "up"))
    return up.flatten(1) @ down.flatten(1) * float(tensors[f"{stem}.alpha"]) / len(down)


def assert_near(one: torch.Tensor, other: torch.Tensor, error: float = 1e-3) -> None:
    assert (one - other).norm() <= error * other.norm()


def test_the_error_of_a_resize_is_that_of_the_discarded_singular_values(tmp_path: Path) -> None:
    tensors = {**lora(KEYS, 16, 32, 8), **lora(CONVOLUTION, 16, 8, 8, 3, 3), **lora(TEXT, 32, 32, 8)}
    path = save(
        tensors, tmp_path / "a.safetensors", ss_network_dim="8", ss_tag_frequency="{}", **{"modelspec.title": "a"}
    )
    ctx = testing.FakeContext(1)
    made = make(ResizeLora, ctx, lora=str(path), rank=3, precision="float32", title="Small")
    after, metadata = read(made)
    lost = total = 0.0
    for stem in (KEYS, CONVOLUTION, TEXT):
        squares = torch.linalg.svdvals(change(tensors, stem)).square()
        lost, total = lost + float(squares[3:].sum()), total + float(squares.sum())
        error = (change(after, stem) - change(tensors, stem)).norm()
        assert float(error) == pytest.approx(float(squares[3:].sum().sqrt()), rel=1e-3)
        assert after[f"{stem}.lora_down.weight"].ndim == tensors[f"{stem}.lora_down.weight"].ndim
        assert len(after[f"{stem}.lora_down.weight"]) == float(after[f"{stem}.alpha"]) == 3
    assert made.notes["relative_error"] == pytest.approx((lost / total) ** 0.5, rel=1e-3)
    assert "The new rank is 3" in notices(ctx)
    expected = {"ss_network_dim": "3", "ss_network_alpha": "3", "ss_tag_frequency": "{}", "modelspec.title": "Small"}
    assert {name: metadata.get(name) for name in expected} == expected
    assert metadata["ss_training_comment"] == "resized from rank 8 to 3"


def test_a_kept_norm_gives_each_layer_its_own_rank(tmp_path: Path) -> None:
    tensors = {**lora(KEYS, 16, 32, 8), **lora(QUERIES, 16, 16, 2)}
    path = save({**tensors, "another.weight": noise(2)}, tmp_path / "a.safetensors")
    ctx = testing.FakeContext(1)
    made = make(ResizeLora, ctx, lora=str(path), rank=8, kept=0.9)
    assert "a has tensors with unknown names, which are left out, such as another" in notices(ctx)
    after, metadata = read(made)
    for stem in (KEYS, QUERIES):
        squares = torch.linalg.svdvals(change(tensors, stem)).square()
        rank = int((squares.cumsum(0) < 0.81 * squares.sum() * (1 - 1e-6)).sum()) + 1
        assert len(after[f"{stem}.lora_down.weight"]) == rank
    assert (metadata["ss_network_dim"], metadata["ss_network_alpha"]) == ("Dynamic", "Dynamic")


def test_every_kind_becomes_a_plain_lora_and_a_dora_keeps_its_lengths(tmp_path: Path) -> None:
    tensors = mixed_lora()
    path = save(tensors, tmp_path / "a.safetensors")
    after, metadata = read(make(ResizeLora, testing.FakeContext(1), lora=str(path), rank=16, kept=1.0))
    assert not [name for name in after if "hada" in name or "lokr" in name]
    stem = QUERIES.replace("to_q", "to_v")
    w1, w2 = (tensors[f"{stem}.hada_{part}_a"] @ tensors[f"{stem}.hada_{part}_b"] for part in ("w1", "w2"))
    assert_near(change(after, stem), w1 * w2)
    stem = KEYS.replace("to_k", "to_v")
    assert_near(change(after, stem), torch.kron(tensors[f"{stem}.lokr_w1"], tensors[f"{stem}.lokr_w2"]))
    assert after[f"{QUERIES}.dora_scale"].equal(tensors[f"{QUERIES}.dora_scale"])
    assert f"{NORM}.diff" in after
    assert f"{CONVOLUTION}.diff_b" in after
    assert metadata["ss_network_module"] == "lycoris.kohya"


def test_textual_inversions_in_a_file_stay_in_it(tmp_path: Path) -> None:
    word = {"bundle_emb.fox.string_to_param.*": noise(2, 32)}
    first = save({**lora(KEYS, 16, 32, 4), **word}, tmp_path / "a.safetensors")
    second = save(lora(TEXT, 32, 32, 4), tmp_path / "b.safetensors")
    resized = make(ResizeLora, testing.FakeContext(1), lora=str(first), rank=2)
    combined = make(CombineLoras, testing.FakeContext(1), loras=[str(first), str(second)])
    for made in (resized, combined):
        tensors, _ = read(made)
        for name, value in word.items():
            assert tensors[name].equal(value)


def test_loha_and_lokr_of_a_convolution_get_its_kernel_back(tmp_path: Path) -> None:
    tensors = {f"{CONVOLUTION}.hada_{part}_a": noise(16, 2) for part in ("w1", "w2")}
    tensors |= {f"{CONVOLUTION}.hada_{part}_b": noise(2, 72) for part in ("w1", "w2")}
    path = save(tensors, tmp_path / "a.safetensors")
    after, _ = read(make(ResizeLora, testing.FakeContext(1), lora=str(path), rank=4))
    assert after[f"{CONVOLUTION}.lora_down.weight"].shape == (4, 8, 3, 3)
    assert after[f"{CONVOLUTION}.lora_up.weight"].shape == (16, 4, 1, 1)


def test_the_names_of_diffusers_stay(tmp_path: Path) -> None:
    name = "transformer.transformer_blocks.0.attn.to_q"
    tensors = {f"{name}.lora_A.weight": noise(8, 32), f"{name}.lora_B.weight": noise(32, 8)}
    path = save(
        tensors, tmp_path / "a.safetensors", lora_adapter_metadata='{"transformer.lora_alpha": 8, "transformer.r": 8}'
    )
    after, metadata = read(make(ResizeLora, testing.FakeContext(1), lora=str(path), rank=2))
    assert sorted(after) == [f"{name}.lora_A.weight", f"{name}.lora_B.weight"]
    assert after[f"{name}.lora_A.weight"].shape == (2, 32)
    assert "lora_adapter_metadata" not in metadata


def test_a_rank_that_is_not_lower_and_files_that_are_no_loras_are_refused(tmp_path: Path) -> None:
    path = save(lora(KEYS, 16, 32, 4), tmp_path / "ink.safetensors")
    with pytest.raises(api.BadInput, match="ink has rank 4, and 4 is not lower"):
        make(ResizeLora, testing.FakeContext(1), lora=str(path), rank=4)
    other = save({"model.diffusion_model.input_blocks.0.0.weight": noise(2, 2)}, tmp_path / "b.safetensors")
    with pytest.raises(api.BadInput, match="and no LoRA"):
        make(ResizeLora, testing.FakeContext(1), lora=str(other), rank=2)
    half = save({f"{KEYS}.lora_down.weight": noise(2, 32)}, tmp_path / "half.safetensors")
    with pytest.raises(api.BadInput, match=r"its layer .* cannot be read: it lacks a part"):
        make(ResizeLora, testing.FakeContext(1), lora=str(half), rank=1)
    (tmp_path / "c.safetensors").write_bytes(b"spoilt")
    with pytest.raises(api.BadInput, match=r"c\.safetensors"):
        make(ResizeLora, testing.FakeContext(1), lora=str(tmp_path / "c.safetensors"), rank=1)


def test_concatenating_is_exact(tmp_path: Path) -> None:
    first = {**lora(KEYS, 16, 32, 4), **lora(CONVOLUTION, 16, 8, 3, 3, 3), f"{NORM}.diff": noise(8)}
    second = {**lora(KEYS, 16, 32, 2), **lora(TEXT, 32, 32, 2), f"{NORM}.diff": noise(8)}
    paths = [save(first, tmp_path / "a.safetensors", ss_v2="False", **{"modelspec.license": "MIT"})]
    paths += [save(second, tmp_path / "b.safetensors", ss_v2="False", **{"modelspec.license": "CC0-1.0"})]
    values: dict[str, Any] = {"loras": [str(path) for path in paths], "lora_weights": [0.5, -2.0]}
    made = make(CombineLoras, testing.FakeContext(1), **values, precision="float32")
    after, metadata = read(made)
    assert_near(change(after, KEYS), 0.5 * change(first, KEYS) - 2 * change(second, KEYS), 1e-5)
    assert_near(change(after, CONVOLUTION), 0.5 * change(first, CONVOLUTION), 1e-5)
    assert_near(change(after, TEXT), -2 * change(second, TEXT), 1e-5)
    assert_near(after[f"{NORM}.diff"], 0.5 * first[f"{NORM}.diff"] - 2 * second[f"{NORM}.diff"], 1e-5)
    assert len(after[f"{KEYS}.lora_down.weight"]) == 6
    assert made.notes["relative_error"] < 1e-5
    assert made.notes["rank"] == "2 to 6"
    assert metadata["modelspec.license"] == "MIT, CC0-1.0"
    assert metadata["modelspec.merged_from"] == "a, b"
    assert metadata["ss_v2"] == "False"


def test_reducing_gives_the_nearest_sum(tmp_path: Path) -> None:
    files = [lora(KEYS, 16, 32, 4), lora(KEYS, 16, 32, 4)]
    paths = [str(save(tensors, tmp_path / f"{number}.safetensors")) for number, tensors in enumerate(files)]
    made = make(CombineLoras, testing.FakeContext(1), loras=paths, method="svd", rank=3, precision="float32")
    total = sum((change(tensors, KEYS) for tensors in files), torch.zeros(16, 32))
    squares = torch.linalg.svdvals(total).square()
    error = float((squares[3:].sum() / squares.sum()).sqrt())
    assert made.notes["relative_error"] == pytest.approx(error, rel=1e-3)
    assert_near(change(read(made)[0], KEYS), total, error * 1.001)


def test_names_of_two_programs_become_those_of_kohya(tmp_path: Path) -> None:
    dotted = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
    theirs = {f"{dotted}.lora_A.weight": noise(2, 32), f"{dotted}.lora_B.weight": noise(16, 2)}
    first = lora(KEYS, 16, 32)
    paths = [str(save(first, tmp_path / "a.safetensors")), str(save(theirs, tmp_path / "b.safetensors"))]
    after, _ = read(make(CombineLoras, testing.FakeContext(1), loras=paths, precision="float32"))
    assert {name.partition(".")[0] for name in after} == {KEYS}
    expected = change(first, KEYS) + theirs[f"{dotted}.lora_B.weight"] @ theirs[f"{dotted}.lora_A.weight"]
    assert_near(change(after, KEYS), expected, 1e-5)


REFUSED: dict[str, tuple[Tensors, str]] = {
    "a DoRA": (
        {**lora(KEYS, 16, 32), f"{KEYS}.dora_scale": noise(16, 1)},
        "is a DoRA, whose effect depends on its model",
    ),
    "another family": (lora("lora_unet_double_blocks_0_img_attn_qkv", 48, 16), "a LoRA for FLUX, and they do not fit"),
    "another size": (lora(KEYS, 640, 32), "they do not fit each other: .* has another shape"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_loras_that_do_not_fit_each_other_are_named(tmp_path: Path, case: str) -> None:
    tensors, sentence = REFUSED[case]
    first = {**lora(KEYS, 16, 32), **lora(KEYS.replace("attentions_0", "attentions_1"), 16, 768)}
    paths = [str(save(first, tmp_path / "a.safetensors")), str(save(tensors, tmp_path / "b.safetensors"))]
    with pytest.raises(api.BadInput, match=sentence):
        make(CombineLoras, testing.FakeContext(1), loras=paths)


def test_a_large_matrix_is_decomposed_nearly_as_well_by_sampling() -> None:
    matrix = torch.randn(600, 40) @ torch.randn(40, 700) + 0.1 * torch.randn(600, 700)
    factors = decompose(matrix, Truncation(8))
    best = float(torch.linalg.svdvals(matrix)[8:].square().sum())
    assert factors.rank == 8
    assert best <= factors.measure_loss(matrix) * 1.0001 <= 1.01 * best
