"""GGUF files, llama.cpp's format: transformers unpacks them into plain weights, vocabulary and all."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from studio import api

SUFFIX = ".gguf"
FREQUENCIES = "rope_freqs.weight"
"""By how much Llama 3.1 and its like slow the rotation of each pair of numbers; transformers passes it over."""
PLAIN = 0
"""ggml's number of float32."""
_SCALING, _LONG_FACTORS = "rope.scaling", "rope_factors_long.weight"
_INSTEAD = "Choose the same model in transformers' format."
_LONG = 4096
"""Numbers of an array: what is longer is of the vocabulary."""


def of(where: Path) -> Path | None:
    """The GGUF file that `where` is, or that lies in it without a configuration and alone; else None."""
    if where.suffix.lower() == SUFFIX and where.is_file():
        return where
    if not where.is_dir() or (where / "config.json").exists():
        return None
    try:
        inside = [path for path in where.iterdir() if path.suffix.lower() == SUFFIX]
    except OSError:
        return None
    return inside[0] if len(inside) == 1 else None


@contextmanager
def source(file: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields how transformers is asked for what is in a file: the folder, and what else is given. The folder is empty:
    what lies beside a file need not belong to it."""
    with TemporaryDirectory() as empty, _without_words():
        yield empty, {"gguf_file": str(file.resolve())}


def loaded(kind: Any, file: Path, how: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """(the model, transformers' report). Raises BadInput for an architecture that is not read, and what transformers
    raises."""
    from transformers import AutoConfig, GgufConfig

    found = api.model_files.gguf_header(file)
    with source(file) as (folder, more):
        try:
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **more)
            _stretch(config, found)
        except (ValueError, KeyError, TypeError, AttributeError, NotImplementedError) as error:
            name = found.architecture[:40] or "without a name"
            raise api.BadInput(f"{file.name} is of an architecture that is not read here: {name}.", _INSTEAD) from error
        _must_fit(kind, config, file.name, found)
        packed = GgufConfig(dequantize=True)
        model, info = kind.from_pretrained(folder, config=config, quantization_config=packed, **more, **how)
    _slow_down(model, file, found)
    talk = found.keys.get("tokenizer.ggml.eot_token_id")
    if isinstance(talk, int):  # transformers knows the end of a text alone
        usual = model.generation_config.eos_token_id
        ends = usual if isinstance(usual, list) else [] if usual is None else [usual]
        model.generation_config.eos_token_id = [*dict.fromkeys([*ends, talk])]
    return model, info


def _must_fit(kind: Any, config: Any, name: str, found: api.model_files.GgufHeader) -> None:
    """What a file does not say is as in a usual model of its architecture: so few keys could ask for 30 GB."""
    import torch

    there = sum(prod(tensor.shape) for tensor in found.tensors.values())
    wanted = 0
    if fits := found.number("block_count") <= len(found.tensors):
        with torch.device("meta"):
            wanted = sum(value.numel() for value in kind.from_config(config).parameters())
    if not fits or wanted > 2 * there:
        raise api.BadInput(f"{name} holds less than half of its model.", "Download it again, or choose another.")


def _stretch(config: Any, found: api.model_files.GgufHeader) -> None:
    """Positions that are stretched beyond those that were learnt, which transformers reads of gpt-oss alone."""
    scaling = found.text(f"{found.architecture}.{_SCALING}.type") or "none"
    if (scaling == "none" and _LONG_FACTORS not in found.tensors) or found.architecture == "gpt-oss":
        return
    if scaling not in ("linear", "yarn") or _LONG_FACTORS in found.tensors:
        raise ValueError(f"positions are scaled by {scaling}")
    told: dict[str, Any] = {"rope_type": scaling, "factor": float(found.number(f"{_SCALING}.factor", 1))}
    if scaling == "yarn":
        told["original_max_position_embeddings"] = int(found.number(f"{_SCALING}.original_context_length"))
    rope = config.rope_parameters
    rope.get("full_attention", rope).update(told)


def _slow_down(model: Any, file: Path, found: api.model_files.GgufHeader) -> None:
    import torch

    tensor = found.tensors.get(FREQUENCIES)
    if tensor is None or found.architecture != "llama":
        return
    (count,) = tensor.shape
    if tensor.kind != PLAIN:
        raise ValueError(f"{FREQUENCIES} is packed")
    with file.open("rb") as opened:
        opened.seek(tensor.start)
        factors = torch.tensor(struct.unpack(f"<{count}f", opened.read(4 * count)))
    for module in model.modules():
        for name in ("inv_freq", "original_inv_freq"):
            if (usual := getattr(module, name, None)) is not None:
                setattr(module, name, usual / factors.to(usual))


@contextmanager
def _without_words() -> Iterator[None]:
    """gguf's reader makes two arrays of each word of a vocabulary, and transformers asks it three times: for 128,000
    words that took six minutes where this takes one. The vocabulary itself is read by transformers' other reader, so
    nothing but their number is needed of it here. Should transformers no longer ask for gguf's, this changes nothing.
    """
    import gguf
    import numpy as np
    from gguf.constants import GGUFValueType

    class Brief(gguf.GGUFReader):
        def _get_field_parts(self, start: int, kind: int) -> tuple[int, list[Any], list[int], list[GGUFValueType]]:
            if kind != GGUFValueType.ARRAY:
                return super()._get_field_parts(start, kind)
            inner, count = struct.unpack_from("<IQ", self.data, start)
            number = self.gguf_scalar_to_np.get(inner)
            at = start + 12
            if inner == GGUFValueType.STRING:
                for _ in range(count):
                    at += 8 + struct.unpack_from("<Q", self.data, at)[0]
            elif count > _LONG and number is not None:
                at += count * np.dtype(number).itemsize
            else:
                return super()._get_field_parts(start, kind)
            one = np.zeros(0, np.uint8) if number is None else np.zeros(1, number)
            return at - start, [one], [0] * count, [GGUFValueType.ARRAY, GGUFValueType(inner)]

    usual = gguf.GGUFReader
    gguf.GGUFReader = Brief
    try:
        yield
    finally:
        gguf.GGUFReader = usual
