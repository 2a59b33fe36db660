"""Denoisers in GGUF files, packed as those of the hub are, paint what the same numbers paint unpacked."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from plugins.diffusion.checkpoints import metadata
from plugins.diffusion.models import loader, placement
from plugins.diffusion.tools.text_to_image import TextToImage
from studio import api, testing
from studio.library.models import model_kind
from tests.fixtures import gguf as gguf_files
from tests.plugins.diffusion.checkpoints.test_single_file import stable_diffusion_3
from tests.plugins.diffusion.fixtures import ldm_layout

Q8, Q4 = gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_0
WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
FAMILIES = {"z-image": ("lumina2", ldm_layout.z_image), "stable-diffusion-3": ("sd3", ldm_layout.sd3)}


def is_packed(name: str, value: torch.Tensor) -> bool:
    """Matrices are, of layers whose numbers come in whole blocks."""
    return value.ndim == 2 and value.shape[1] % 32 == 0 and name.endswith("weight") and "embedder" not in name


def written(state: ldm_layout.State, path: Path, architecture: str, kind: Any = Q8, **keys: Any) -> Path:
    def held(name: str, value: torch.Tensor) -> Any:
        numbers = value.detach().float().numpy()
        return gguf_files.packed(numbers, kind) if is_packed(name, value) else numbers

    tensors = {name.removeprefix(ldm_layout.UNET): held(name, value) for name, value in state.items()}
    return gguf_files.made(path, architecture, keys, tensors)


def rounded(folder: Path, kind: Any) -> None:
    """The folder's weights become what is left of them once they were packed."""
    state = load_file(folder / WEIGHTS)
    for name, value in state.items():
        if is_packed(name, value):
            numbers, _ = gguf_files.packed(value.float().numpy(), kind)
            state[name] = torch.from_numpy(gguf.dequantize(numbers, kind)).to(value.dtype)
    save_file(state, folder / WEIGHTS)


def picture(path: Path) -> tuple[np.ndarray, list[str]]:
    ctx = testing.FakeContext(seed=3)
    events = testing.run(TextToImage, ctx, model=str(path), prompt="a red fox", steps=2, width=32, height=32)
    (made,) = testing.results(events)
    assert isinstance(made, api.Image)
    return np.asarray(made.picture), [event.text for event in events if isinstance(event, api.Notice)]


@pytest.fixture(params=FAMILIES)
def beside(request: pytest.FixtureRequest, tiny_model: Callable[[str], Path], tmp_path: Path) -> tuple[Path, Any]:
    """A folder of a family, and what writes its transformer beside it."""
    folder = tmp_path / "folder"
    if request.param == "stable-diffusion-3":
        stable_diffusion_3(folder)  # with the norms by which a file tells how wide its heads are
    else:
        shutil.copytree(tiny_model(request.param), folder)
    architecture, converted = FAMILIES[request.param]

    def file(kind: Any = Q8, **keys: Any) -> Path:
        pipe = loader.load(testing.FakeContext(), str(folder)).base
        return written(converted(pipe.transformer), tmp_path / "packed.gguf", architecture, kind, **keys)

    return folder, file


@pytest.mark.parametrize("kind", [Q8, Q4])
def test_it_paints_what_the_same_numbers_paint(beside: tuple[Path, Any], kind: Any) -> None:
    folder, written = beside
    packed = written(kind)
    plain, _ = picture(folder)
    rounded(folder, kind)
    expected, _ = picture(folder)
    (folder / WEIGHTS).unlink()
    made, said = picture(packed)
    assert model_kind.kind_of(packed) == model_kind.DIFFUSION
    assert np.abs(made.astype(int) - expected.astype(int)).max() <= 1
    assert (made != plain).any()
    assert "Components that packed.gguf lacks come from folder." in said


def test_weights_stay_packed_and_are_counted_so(beside: tuple[Path, Any]) -> None:
    folder, written = beside
    file = written(Q4)
    model = loader.load(testing.FakeContext(), str(file)).base.transformer
    assert sum(value.dtype == torch.uint8 for value in model.parameters()) > 4
    whole, found = (metadata.metadata_of(testing.FakeContext(), str(path)) for path in (folder, file))
    assert whole is not None
    assert found is not None
    assert found.quantized_bytes == file.stat().st_size
    assert found.weight_count == whole.weight_count - whole.denoiser_weight_count
    assert metadata.count_weights(file) == 0


def test_room_is_made_for_what_is_packed(
    tiny_model: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "large.gguf"
    file.write_bytes(b"GGUF" + bytes(1_000_000))
    rest = tiny_model("z-image") / "vae"
    needed = metadata.count_weights(rest) * 6
    ctx: Any = testing.FakeContext()
    for free, expected in ((1_000_000 + 2 * needed, ctx.dtype), (1_000_000 + needed // 2 + 100, torch.bfloat16)):
        monkeypatch.setattr(placement, "free_memory", lambda _, free=free: (free, 0))
        token = placement._is_last_try.set(True)
        try:
            assert placement.context_that_fits(ctx, file, rest).dtype == expected
        finally:
            placement._is_last_try.reset(token)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"general.type": "adapter"}, r"packed\.gguf is no model but goes with one \(adapter\)"),
        ({"split.count": 3}, "is one of 3 parts of a model"),
    ],
)
def test_what_is_no_whole_model_is_a_sentence(
    tiny_model: Callable[[str], Path], tmp_path: Path, keys: dict[str, Any], sentence: str
) -> None:
    shutil.copytree(tiny_model("z-image"), tmp_path / "folder")
    state = {"layers.0.adaLN_modulation.0.weight": torch.zeros(4, 32), "cap_embedder.0.weight": torch.zeros(4)}
    file = written(state, tmp_path / "packed.gguf", "lumina2", **keys)
    with pytest.raises(api.BadInput, match=sentence):
        loader.load(testing.FakeContext(), str(file))


def test_what_cannot_be_unpacked_is_a_sentence(tmp_path: Path) -> None:
    whole = written({"layers.0.adaLN_modulation.0.weight": torch.zeros(4, 32)}, tmp_path / "a.gguf", "lumina2")
    with pytest.raises(api.BadInput, match="of an unknown kind"):
        loader.load(testing.FakeContext(), str(whole))
    ternary = np.zeros((4, 66), np.uint8), gguf.GGMLQuantizationType.TQ2_0
    tensors = {"layers.0.adaLN_modulation.0.weight": ternary, "cap_embedder.0.weight": np.zeros(4)}
    file = gguf_files.made(tmp_path / "b.gguf", "lumina2", {}, tensors)
    with pytest.raises(api.BadInput, match=r"b\.gguf is quantised in a way that is not supported\. Use .* Q8_0"):
        loader.load(testing.FakeContext(), str(file))
    unet = {
        f"{ldm_layout.UNET}input_blocks.{n}.1.transformer_blocks.0.attn2.to_k.weight": np.zeros((4, 768))
        for n in (1, 2)
    }
    file = gguf_files.made(tmp_path / "c.gguf", "sd1", {}, unet)
    with pytest.raises(api.BadInput, match="U-Nets in GGUF files are not supported"):
        loader.load(testing.FakeContext(), str(file))


def test_a_folder_without_the_plan_of_the_model_is_a_sentence(beside: tuple[Path, Any]) -> None:
    folder, written = beside
    file = written()
    shutil.rmtree(folder / "transformer")
    with pytest.raises(api.BadInput, match=r"folder has no transformer/config\.json"):
        loader.load(testing.FakeContext(), str(file))


def test_a_damaged_file_is_a_sentence(beside: tuple[Path, Any]) -> None:
    file = beside[1]()
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(api.BadInput, match="ends too early"):
        loader.load(testing.FakeContext(), str(file))
