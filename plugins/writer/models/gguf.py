"""Load GGUF files, the format of llama.cpp, through transformers, which dequantises the weights."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from studio import api

if TYPE_CHECKING:
    from gguf.constants import GGUFValueType
    from transformers import PretrainedConfig, PreTrainedModel
    from transformers.models.auto.auto_factory import _BaseAutoModelClass

SUFFIX = ".gguf"
ROPE_FREQUENCIES = "rope_freqs.weight"
"""Tensor with the divisors of the RoPE frequencies of Llama 3.1 and later; transformers ignores it."""
GGML_FLOAT32 = 0
_SCALING, _LONG_FACTORS = "rope.scaling", "rope_factors_long.weight"
_HINT = "Choose the same model in the transformers format."
_LONG_ARRAY = 4096
"""Number of values in an array above which it belongs to the vocabulary and is skipped."""


def find_file(path: Path) -> Path | None:
    """Return `path` if it is a GGUF file, or the only GGUF file in a folder without `config.json`; else None."""
    if path.suffix.lower() == SUFFIX and path.is_file():
        return path
    if not path.is_dir() or (path / "config.json").exists():
        return None
    try:
        files = [child for child in path.iterdir() if child.suffix.lower() == SUFFIX]
    except OSError:
        return None
    return files[0] if len(files) == 1 else None


@contextmanager
def prepare_source(file: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the folder and the keyword arguments with which `from_pretrained` reads a GGUF file.

    The folder is empty, because files beside the GGUF file may belong to another model.
    """
    with TemporaryDirectory() as empty, _skip_vocabulary():
        yield empty, {"gguf_file": str(file.resolve())}


def load_gguf_model(
    auto_model: type[_BaseAutoModelClass], file: Path, options: Mapping[str, Any]
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Return the model and the loading info of transformers.

    Raises BadInput for an architecture that is not supported, and whatever transformers raises.
    """
    from transformers import AutoConfig, GgufConfig

    header = api.model_files.read_gguf_header(file)
    with prepare_source(file) as (folder, source):
        try:
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **source)
            _apply_rope_scaling(config, header)
        except (ValueError, KeyError, TypeError, AttributeError, NotImplementedError) as error:
            name = header.architecture[:40] or "unnamed"
            raise api.BadInput(f"{file.name} has an architecture that is not supported: {name}.", _HINT) from error
        _check_size(auto_model, config, file.name, header)
        unpacking = GgufConfig(dequantize=True)
        model, info = auto_model.from_pretrained(
            folder, config=config, quantization_config=unpacking, **source, **options
        )
    _apply_rope_frequencies(model, file, header)
    end_of_turn = header.keys.get("tokenizer.ggml.eot_token_id")
    if isinstance(end_of_turn, int):  # transformers reads the end-of-text token only
        ids = model.generation_config.eos_token_id
        ids = ids if isinstance(ids, list) else [] if ids is None else [ids]
        model.generation_config.eos_token_id = [*dict.fromkeys([*ids, end_of_turn])]
    return model, info


def _check_size(
    auto_model: type[_BaseAutoModelClass], config: PretrainedConfig, name: str, header: api.model_files.GgufHeader
) -> None:
    """Raise BadInput if the file has far fewer weights than its configuration, which would fill the memory.

    Missing keys take the defaults of the architecture, so a file with few keys could ask for 30 GB.
    """
    import torch

    present = sum(prod(tensor.shape) for tensor in header.tensors.values())
    required = 0
    if has_layers := header.number("block_count") <= len(header.tensors):
        with torch.device("meta"):
            required = sum(value.numel() for value in auto_model.from_config(config).parameters())
    if not has_layers or required > 2 * present:
        raise api.BadInput(
            f"{name} has less than half of the weights of its model.", "Download it again, or choose another model."
        )


def _apply_rope_scaling(config: PretrainedConfig, header: api.model_files.GgufHeader) -> None:
    """Set linear or YaRN RoPE scaling, which transformers reads for gpt-oss only.

    Raises ValueError for other types of scaling.
    """
    scaling = header.text(f"{header.architecture}.{_SCALING}.type") or "none"
    if (scaling == "none" and _LONG_FACTORS not in header.tensors) or header.architecture == "gpt-oss":
        return
    if scaling not in ("linear", "yarn") or _LONG_FACTORS in header.tensors:
        raise ValueError(f"RoPE scaling of type {scaling}")
    parameters: dict[str, Any] = {"rope_type": scaling, "factor": float(header.number(f"{_SCALING}.factor", 1))}
    if scaling == "yarn":
        parameters["original_max_position_embeddings"] = int(header.number(f"{_SCALING}.original_context_length"))
    rope = config.rope_parameters
    rope.get("full_attention", rope).update(parameters)


def _apply_rope_frequencies(model: PreTrainedModel, file: Path, header: api.model_files.GgufHeader) -> None:
    import torch

    tensor = header.tensors.get(ROPE_FREQUENCIES)
    if tensor is None or header.architecture != "llama":
        return
    (count,) = tensor.shape
    if tensor.kind != GGML_FLOAT32:
        raise ValueError(f"{ROPE_FREQUENCIES} is not float32")
    with file.open("rb") as stream:
        stream.seek(tensor.start)
        factors = torch.tensor(struct.unpack(f"<{count}f", stream.read(4 * count)))
    for module in model.modules():
        for name in ("inv_freq", "original_inv_freq"):
            if (frequencies := getattr(module, name, None)) is not None:
                setattr(module, name, frequencies / factors.to(frequencies))


@contextmanager
def _skip_vocabulary() -> Iterator[None]:
    """Replace gguf's reader by one that skips the arrays of the vocabulary.

    The original reader makes two arrays of each token, and transformers runs it three times: for 128,000 tokens it took
    six minutes where this takes one. transformers reads the vocabulary itself with another reader, so that only the
    length of the arrays is needed here. If transformers stops using gguf's reader, this has no effect.
    """
    import gguf
    import numpy as np
    from gguf.constants import GGUFValueType

    class BriefReader(gguf.GGUFReader):
        def _get_field_parts(
            self, orig_offs: int, raw_type: int
        ) -> tuple[int, list[Any], list[int], list[GGUFValueType]]:
            if raw_type != GGUFValueType.ARRAY:
                return super()._get_field_parts(orig_offs, raw_type)
            data = self.data.data
            item_type, count = struct.unpack_from("<IQ", data, orig_offs)
            scalar = self.gguf_scalar_to_np.get(item_type)
            end = orig_offs + 12
            if item_type == GGUFValueType.STRING:
                for _ in range(count):
                    end += 8 + struct.unpack_from("<Q", data, end)[0]
            elif count > _LONG_ARRAY and scalar is not None:
                end += count * np.dtype(scalar).itemsize
            else:
                return super()._get_field_parts(orig_offs, raw_type)
            item = np.zeros(0, np.uint8) if scalar is None else np.zeros(1, scalar)
            return end - orig_offs, [item], [0] * count, [GGUFValueType.ARRAY, GGUFValueType(item_type)]

    module: Any = gguf
    original = module.GGUFReader
    module.GGUFReader = BriefReader
    try:
        yield
    finally:
        module.GGUFReader = original
