"""Quantised folders are opened where their quantiser works, and say why where it does not."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from plugins.writer.models import architectures, lora, transformers_loader
from plugins.writer.models.writer import open_writer
from plugins.writer.tools.continue_text import WriterContinue
from plugins.writer.tools.train import WriterTrain
from studio import api, testing

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
BLOCK = 16


def quantised(writer: Path, folder: Path, told: Any, tensors: dict[str, torch.Tensor] | None = None) -> Path:
    """The same writer, with `told` as how its weights are packed, and other weights."""
    folder.mkdir(exist_ok=True)
    for file in writer.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_bytes())
    (folder / "config.json").write_text(json.dumps({**config, **({"quantization_config": told} if told else {})}))
    if tensors is not None:
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def in_eight_bits(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(float8 weights, a scale for each block, what they stand for)."""
    rows, columns = weight.shape
    blocks = weight.float().reshape(rows // BLOCK, BLOCK, columns // BLOCK, BLOCK)
    scales = blocks.abs().amax((1, 3), keepdim=True) / torch.finfo(torch.float8_e4m3fn).max
    packed = (blocks / scales).to(torch.float8_e4m3fn)
    return packed.reshape(rows, columns), scales[:, 0, :, 0], (packed.float() * scales).reshape(rows, columns)


def test_fp8_model_generates(writer: Path, tmp_path: Path) -> None:
    tensors = load_file(writer / "model.safetensors")
    packed, plain = dict(tensors), architectures.load_model(writer, torch.float32, "cpu")
    for name, weight in tensors.items():
        if name.endswith("_proj.weight"):
            packed[name], packed[f"{name}_scale_inv"], stands_for = in_eight_bits(weight)
            plain.get_parameter(name).data.copy_(stands_for)
    told = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [BLOCK, BLOCK]}
    folder = quantised(writer, tmp_path / "fp8", told, packed)
    found = open_writer(folder, "cpu", torch.float32)
    ids = torch.arange(10, 60)[None]
    with torch.inference_mode():
        if not torch.cuda.is_available():  # where there is none they are unpacked
            assert {value.dtype for value in found.model.parameters()} == {torch.float32}
            assert torch.allclose(found.model(ids).logits, plain.eval()(ids).logits, atol=5e-3)
    (text,) = testing.results(testing.run(WriterContinue, text="Once", model=str(folder), length=8))
    assert isinstance(text, api.Text)
    assert text.text.startswith("Once")


@pytest.mark.parametrize(
    ("told", "package"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 32}, "optimum"),
        ({"quant_method": "awq", "bits": 4, "group_size": 32}, "gptqmodel"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes"),
        ({"load_in_8bit": True}, "bitsandbytes"),
        ({"quant_method": "torchao", "quant_type": "int8_weight_only"}, "torchao"),
        ({"quant_method": "compressed-tensors", "format": "pack-quantized"}, "compressed-tensors"),
        ({"quant_method": "hqq", "quant_config": {}}, "HQQ"),
        ({"quant_method": "quanto", "weights": "int8"}, "optimum-quanto"),
    ],
)  # fmt: skip
def test_missing_quantiser_package_is_named(writer: Path, tmp_path: Path, told: Any, package: str) -> None:
    if importlib.util.find_spec(package.lower().replace("-", "_").replace("optimum_quanto", "optimum")):
        pytest.skip(f"{package} is installed")
    folder = quantised(writer, tmp_path / "packed", told)
    with pytest.raises(api.BadInput, match=rf"packed is quantised with .*{package}.*Install") as raised:
        open_writer(folder, "cpu", torch.float32)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"quant_method": "of-tomorrow"}, "of-tomorrow, which transformers does not support"),
        ({"bits": 4}, "unnamed"),
        ({"quant_method": "spqr"}, "spqr, which does not work here"),
        ({"quant_method": "gptq", "bits": "many"}, "gptq, which does not work here"),
        ({"quant_method": ["gptq"]}, "does not work here"),
    ],
)  # fmt: skip
def test_quantiser_error_gives_the_reason(writer: Path, tmp_path: Path, told: Any, words: str) -> None:
    folder = quantised(writer, tmp_path / "packed", told)
    with pytest.raises(api.BadInput, match=words):
        open_writer(folder, "cpu", torch.float32)


def test_error_of_the_first_forward_pass_is_explained(writer: Path) -> None:
    model = architectures.load_model(writer, torch.float32, "cpu")

    def forward(**_: Any) -> None:
        raise ImportError("the kernel needs `kernels`")

    model.forward = forward
    with pytest.raises(api.BadInput, match="packed is quantised with fp8, which does not work here: the kernel needs"):
        architectures._check_forward(model, "packed", "fp8", "cpu")


def test_mismatched_weights_raise_bad_input(writer: Path, tmp_path: Path) -> None:
    folder = quantised(writer, tmp_path / "packed", {"quant_method": "bitnet"})
    with pytest.raises(api.BadInput, match="cannot be loaded"):
        open_writer(folder, "cpu", torch.float32)


def test_quantised_model_cannot_be_trained(writer: Path, texts: Path, tmp_path: Path) -> None:
    folder = quantised(writer, tmp_path / "packed", {"quant_method": "fp8"})
    for kind in ("full", "lora"):
        with pytest.raises(api.BadInput, match="quantised"):
            testing.run(WriterTrain, folder=texts, kind=kind, model=str(folder))


def test_model_is_loaded_in_the_wanted_dtype(writer: Path) -> None:
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        found = open_writer(writer, "cpu", dtype)
        assert {value.dtype for value in found.model.parameters()} == {dtype}


def test_lora_is_merged_in_the_wanted_dtype(writer: Path, tmp_path: Path) -> None:
    taught = lora.add_lora(architectures.load_model(writer, torch.float32, "cpu"), str(writer), 2)
    with torch.no_grad():
        for name, value in taught.named_parameters():
            if "lora_B" in name:
                value.normal_(generator=torch.Generator().manual_seed(1))
    lora.save_lora(taught, tmp_path)
    ids = torch.arange(10, 60)[None]
    logits = []
    for dtype in (torch.float32, torch.bfloat16):
        found = open_writer(tmp_path, "cpu", dtype, writer)
        assert {value.dtype for value in found.model.parameters()} == {dtype}
        with torch.inference_mode():
            logits.append(found.model(ids).logits.float())
    assert torch.nn.functional.cosine_similarity(*logits, dim=-1).mean() > 0.99


def test_missing_weights_raise_bad_input(writer: Path, tmp_path: Path) -> None:
    tensors = load_file(writer / "model.safetensors")
    tensors.pop("model.layers.1.mlp.up_proj.weight")
    folder = quantised(writer, tmp_path / "few", {}, tensors)
    with pytest.raises(api.BadInput, match=r"few lacks a weight, such as model\.layers\.1\.mlp\.up_proj\.weight"):
        open_writer(folder, "cpu", torch.float32)


def test_out_of_memory_error_passes_unchanged(writer: Path) -> None:
    class Short:
        @staticmethod
        def from_pretrained(*_: Any, **__: Any) -> Any:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")

    with pytest.raises(RuntimeError, match="allocate"):
        transformers_loader.load_pretrained(Short, writer, torch.float32, "cpu")


def test_estimate_of_quantised_weights(writer: Path, tmp_path: Path) -> None:
    memory = []
    for method in ("gptq", "fp8"):
        folder = quantised(writer, tmp_path / method, {"quant_method": method})
        told = testing.estimate(WriterContinue, text="Once", model=str(folder), length=1)
        assert told is not None
        memory.append(told.memory)
    plain = testing.estimate(WriterContinue, text="Once", model=str(writer), length=1)
    assert plain is not None
    assert memory[0] < (writer / "model.safetensors").stat().st_size + 10_000
    assert memory[1] == plain.memory  # On this device such weights are unpacked.
