"""Quantised folders are loaded where their quantiser works; otherwise the error gives the reason."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from plugins.writer.models import architectures, lora, transformers_loader
from plugins.writer.models.writer import open_writer
from plugins.writer.tools.continue_text import WriterContinue
from plugins.writer.tools.train import WriterTrain
from studio import api, testing
from tests.plugins.writer.conftest import run_estimate, run_text

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
BLOCK = 16


def copy_quantised(
    causal_model: Path,
    folder: Path,
    quantisation: Mapping[str, object],
    tensors: dict[str, torch.Tensor] | None = None,
) -> Path:
    """Copy a model with a quantisation config, and with other weights if `tensors` is given."""
    folder.mkdir(exist_ok=True)
    for file in causal_model.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_bytes())
    if quantisation:
        config["quantization_config"] = quantisation
    (folder / "config.json").write_text(json.dumps(config))
    if tensors is not None:
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def quantise_float8(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return (float8 weights, a scale for each block, dequantised weights)."""
    rows, columns = weight.shape
    blocks = weight.float().reshape(rows // BLOCK, BLOCK, columns // BLOCK, BLOCK)
    scales = blocks.abs().amax((1, 3), keepdim=True) / torch.finfo(torch.float8_e4m3fn).max
    quantised = (blocks / scales).to(torch.float8_e4m3fn)
    return quantised.reshape(rows, columns), scales[:, 0, :, 0], (quantised.float() * scales).reshape(rows, columns)


def test_fp8_model_generates(causal_model: Path, tmp_path: Path) -> None:
    tensors = load_file(causal_model / "model.safetensors")
    quantised, reference = dict(tensors), architectures.load_model(causal_model, torch.float32, "cpu")
    for name, weight in tensors.items():
        if name.endswith("_proj.weight"):
            quantised[name], quantised[f"{name}_scale_inv"], dequantised = quantise_float8(weight)
            reference.get_parameter(name).data.copy_(dequantised)
    quantisation = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [BLOCK, BLOCK]}
    folder = copy_quantised(causal_model, tmp_path / "fp8", quantisation, quantised)
    loaded = open_writer(folder, "cpu", torch.float32)
    ids = torch.arange(10, 60)[None]
    with torch.inference_mode():
        if not torch.cuda.is_available():  # the CPU dequantises them
            assert {value.dtype for value in loaded.model.parameters()} == {torch.float32}
            assert torch.allclose(loaded.model(ids).logits, reference.eval()(ids).logits, atol=5e-3)
    assert run_text(WriterContinue, text="Once", model=str(folder), length=8).text.startswith("Once")


@pytest.mark.parametrize(
    ("quantisation", "package"),
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
def test_missing_quantiser_package_is_named(
    causal_model: Path, tmp_path: Path, quantisation: Mapping[str, object], package: str
) -> None:
    if importlib.util.find_spec(package.lower().replace("-", "_").replace("optimum_quanto", "optimum")):
        pytest.skip(f"{package} is installed")
    folder = copy_quantised(causal_model, tmp_path / "packed", quantisation)
    with pytest.raises(api.BadInput, match=rf"packed is quantised with .*{package}.*Install") as raised:
        open_writer(folder, "cpu", torch.float32)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("quantisation", "words"),
    [
        ({"quant_method": "of-tomorrow"}, "of-tomorrow, which transformers does not support"),
        ({"bits": 4}, "unnamed"),
        ({"quant_method": "spqr"}, "spqr, which does not work here"),
        ({"quant_method": "gptq", "bits": "many"}, "gptq, which does not work here"),
        ({"quant_method": ["gptq"]}, "does not work here"),
    ],
)  # fmt: skip
def test_quantiser_error_gives_the_reason(
    causal_model: Path, tmp_path: Path, quantisation: Mapping[str, object], words: str
) -> None:
    folder = copy_quantised(causal_model, tmp_path / "packed", quantisation)
    with pytest.raises(api.BadInput, match=words):
        open_writer(folder, "cpu", torch.float32)


def test_error_of_the_first_forward_pass_is_explained(causal_model: Path) -> None:
    model = architectures.load_model(causal_model, torch.float32, "cpu")

    def forward(**_: object) -> None:
        raise ImportError("the kernel needs `kernels`")

    model.forward = forward
    with pytest.raises(api.BadInput, match="packed is quantised with fp8, which does not work here: the kernel needs"):
        architectures._check_forward(model, "packed", "fp8", "cpu")


def test_mismatched_weights_raise_bad_input(causal_model: Path, tmp_path: Path) -> None:
    folder = copy_quantised(causal_model, tmp_path / "packed", {"quant_method": "bitnet"})
    with pytest.raises(api.BadInput, match="cannot be loaded"):
        open_writer(folder, "cpu", torch.float32)


def test_quantisedmodel_cannot_be_trained(causal_model: Path, texts: Path, tmp_path: Path) -> None:
    folder = copy_quantised(causal_model, tmp_path / "packed", {"quant_method": "fp8"})
    for kind in ("full", "lora"):
        with pytest.raises(api.BadInput, match="quantised"):
            testing.run(WriterTrain, folder=texts, kind=kind, model=str(folder))


def test_model_is_loaded_in_the_wanted_dtype(causal_model: Path) -> None:
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        loaded = open_writer(causal_model, "cpu", dtype)
        assert {value.dtype for value in loaded.model.parameters()} == {dtype}


def test_lora_is_merged_in_the_wanted_dtype(causal_model: Path, tmp_path: Path) -> None:
    adapted = lora.add_lora(architectures.load_model(causal_model, torch.float32, "cpu"), str(causal_model), 2)
    with torch.no_grad():
        for name, value in adapted.named_parameters():
            if "lora_B" in name:
                value.normal_(generator=torch.Generator().manual_seed(1))
    lora.save_lora(adapted, tmp_path)
    ids = torch.arange(10, 60)[None]
    logits = []
    for dtype in (torch.float32, torch.bfloat16):
        loaded = open_writer(tmp_path, "cpu", dtype, causal_model)
        assert {value.dtype for value in loaded.model.parameters()} == {dtype}
        with torch.inference_mode():
            logits.append(loaded.model(ids).logits.float())
    assert torch.nn.functional.cosine_similarity(logits[0], logits[1], dim=-1).mean() > 0.99


def test_missing_weights_raise_bad_input(causal_model: Path, tmp_path: Path) -> None:
    tensors = load_file(causal_model / "model.safetensors")
    tensors.pop("model.layers.1.mlp.up_proj.weight")
    folder = copy_quantised(causal_model, tmp_path / "few", {}, tensors)
    with pytest.raises(api.BadInput, match=r"few lacks a weight, such as model\.layers\.1\.mlp\.up_proj\.weight"):
        open_writer(folder, "cpu", torch.float32)


def test_out_of_memory_error_passes_unchanged(causal_model: Path) -> None:
    class OutOfMemoryModel:
        @staticmethod
        def from_pretrained(*_: object, **__: object) -> None:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")

    with pytest.raises(RuntimeError, match="allocate"):
        transformers_loader.load_pretrained(OutOfMemoryModel, causal_model, torch.float32, "cpu")


def test_estimate_of_quantisedweights(causal_model: Path, tmp_path: Path) -> None:
    memory = []
    for method in ("gptq", "fp8"):
        folder = copy_quantised(causal_model, tmp_path / method, {"quant_method": method})
        memory.append(run_estimate(WriterContinue, text="Once", model=str(folder), length=1).memory)
    reference = run_estimate(WriterContinue, text="Once", model=str(causal_model), length=1)
    assert memory[0] < (causal_model / "model.safetensors").stat().st_size + 10_000
    assert memory[1] == reference.memory  # this device dequantises them
