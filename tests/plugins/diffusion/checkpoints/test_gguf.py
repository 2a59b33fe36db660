"""Quantised denoisers in GGUF files give the images that their dequantised weights give."""

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
from tests.fixtures import gguf as gguf_fixtures
from tests.plugins.diffusion.checkpoints.test_single_file import stable_diffusion_3
from tests.plugins.diffusion.fixtures import ldm_layout

Q8, Q4 = gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_0
WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
FAMILIES = {"z-image": ("lumina2", ldm_layout.z_image), "stable-diffusion-3": ("sd3", ldm_layout.sd3)}


def is_quantized(name: str, value: torch.Tensor) -> bool:
    """Choose the matrices whose rows are whole blocks of numbers."""
    return value.ndim == 2 and value.shape[1] % 32 == 0 and name.endswith("weight") and "embedder" not in name


def write_gguf(
    state: ldm_layout.State, path: Path, architecture: str, kind: gguf.GGMLQuantizationType = Q8, **keys: object
) -> Path:
    def quantize(name: str, value: torch.Tensor) -> Any:
        weights = value.detach().float().numpy()
        return gguf_fixtures.quantize(weights, kind) if is_quantized(name, value) else weights

    tensors = {name.removeprefix(ldm_layout.UNET): quantize(name, value) for name, value in state.items()}
    return gguf_fixtures.write_gguf(path, architecture, keys, tensors)


def round_weights(folder: Path, kind: gguf.GGMLQuantizationType) -> None:
    """Replace the weights of a folder by their quantised and dequantised values."""
    state = load_file(folder / WEIGHTS)
    for name, value in state.items():
        if is_quantized(name, value):
            numbers, _ = gguf_fixtures.quantize(value.float().numpy(), kind)
            state[name] = torch.from_numpy(gguf.dequantize(numbers, kind)).to(value.dtype)
    save_file(state, folder / WEIGHTS)


def paint(path: Path) -> tuple[np.ndarray, list[str]]:
    ctx = testing.FakeContext(seed=3)
    events = testing.run(TextToImage, ctx, model=str(path), prompt="a red fox", steps=2, width=32, height=32)
    (result,) = testing.results(events)
    assert isinstance(result, api.Image)
    return np.asarray(result.picture), [event.text for event in events if isinstance(event, api.Notice)]


@pytest.fixture(params=FAMILIES)
def folder_and_writer(
    request: pytest.FixtureRequest, tiny_model: Callable[[str], Path], tmp_path: Path
) -> tuple[Path, Any]:
    """Return a folder of a family, and a function that writes its transformer to a GGUF file beside it."""
    folder = tmp_path / "folder"
    if request.param == "stable-diffusion-3":
        stable_diffusion_3(folder)  # with the norms by which a file tells how wide its heads are
    else:
        shutil.copytree(tiny_model(request.param), folder)
    architecture, convert = FAMILIES[request.param]

    def write_beside(kind: gguf.GGMLQuantizationType = Q8, **keys: object) -> Path:
        pipe = loader.load(testing.FakeContext(), str(folder)).base
        return write_gguf(convert(pipe.transformer), tmp_path / "packed.gguf", architecture, kind, **keys)

    return folder, write_beside


@pytest.mark.parametrize("kind", [Q8, Q4])
def test_a_gguf_file_gives_the_image_of_its_dequantised_weights(
    folder_and_writer: tuple[Path, Any], kind: gguf.GGMLQuantizationType
) -> None:
    folder, write_gguf = folder_and_writer
    packed = write_gguf(kind)
    plain, _ = paint(folder)
    round_weights(folder, kind)
    expected, _ = paint(folder)
    (folder / WEIGHTS).unlink()
    image, notices = paint(packed)
    assert model_kind.kind_of(packed) == model_kind.DIFFUSION
    assert np.abs(image.astype(int) - expected.astype(int)).max() <= 1
    assert (image != plain).any()
    assert "Components that packed.gguf lacks come from folder." in notices


def test_weights_stay_quantised_and_are_counted_in_bytes(folder_and_writer: tuple[Path, Any]) -> None:
    folder, write_gguf = folder_and_writer
    file = write_gguf(Q4)
    model = loader.load(testing.FakeContext(), str(file)).base.transformer
    assert sum(value.dtype == torch.uint8 for value in model.parameters()) > 4
    whole, result = (metadata.metadata_of(testing.FakeContext(), str(path)) for path in (folder, file))
    assert whole is not None
    assert result is not None
    assert result.quantized_bytes == file.stat().st_size
    assert result.weight_count == whole.weight_count - whole.denoiser_weight_count
    assert metadata.count_weights(file) == 0


def test_quantised_bytes_count_towards_the_memory_needed(
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
        ({"general.type": "adapter"}, r"packed\.gguf is not a model but an addition to one \(adapter\)"),
        ({"split.count": 3}, "is one of 3 parts of a model"),
    ],
)
def test_a_gguf_file_that_is_no_complete_model_is_refused(
    tiny_model: Callable[[str], Path], tmp_path: Path, keys: dict[str, Any], sentence: str
) -> None:
    shutil.copytree(tiny_model("z-image"), tmp_path / "folder")
    state = {"layers.0.adaLN_modulation.0.weight": torch.zeros(4, 32), "cap_embedder.0.weight": torch.zeros(4)}
    file = write_gguf(state, tmp_path / "packed.gguf", "lumina2", **keys)
    with pytest.raises(api.BadInput, match=sentence):
        loader.load(testing.FakeContext(), str(file))


def test_unsupported_quantisation_is_refused(tmp_path: Path) -> None:
    whole = write_gguf({"layers.0.adaLN_modulation.0.weight": torch.zeros(4, 32)}, tmp_path / "a.gguf", "lumina2")
    with pytest.raises(api.BadInput, match="of an unknown kind"):
        loader.load(testing.FakeContext(), str(whole))
    ternary = np.zeros((4, 66), np.uint8), gguf.GGMLQuantizationType.TQ2_0
    tensors = {"layers.0.adaLN_modulation.0.weight": ternary, "cap_embedder.0.weight": np.zeros(4)}
    file = gguf_fixtures.write_gguf(tmp_path / "b.gguf", "lumina2", {}, tensors)
    with pytest.raises(api.BadInput, match=r"b\.gguf is quantised in a way that is not supported\. Use .* Q8_0"):
        loader.load(testing.FakeContext(), str(file))
    unet = {
        f"{ldm_layout.UNET}input_blocks.{n}.1.transformer_blocks.0.attn2.to_k.weight": np.zeros((4, 768))
        for n in (1, 2)
    }
    file = gguf_fixtures.write_gguf(tmp_path / "c.gguf", "sd1", {}, unet)
    with pytest.raises(api.BadInput, match="U-Nets in GGUF files are not supported"):
        loader.load(testing.FakeContext(), str(file))


def test_a_folder_without_the_denoiser_config_is_refused(folder_and_writer: tuple[Path, Any]) -> None:
    folder, write_gguf = folder_and_writer
    file = write_gguf()
    shutil.rmtree(folder / "transformer")
    with pytest.raises(api.BadInput, match=r"folder has no transformer/config\.json"):
        loader.load(testing.FakeContext(), str(file))


def test_a_truncated_file_is_refused(folder_and_writer: tuple[Path, Any]) -> None:
    file = folder_and_writer[1]()
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(api.BadInput, match="ends too early"):
        loader.load(testing.FakeContext(), str(file))


def test_a_packed_weight_that_is_not_finite_is_refused(folder_and_writer: tuple[Path, Any]) -> None:
    path = folder_and_writer[1]()
    packed = next(tensor for tensor in api.model_files.read_gguf_header(path).tensors.values() if tensor.kind == Q8)
    with path.open("r+b") as file:
        file.seek(packed.start)
        file.write(np.float16(np.nan).tobytes())
    with pytest.raises(api.BadInput, match=r"^packed.gguf is damaged: \S+ holds numbers that are not finite"):
        paint(path)
