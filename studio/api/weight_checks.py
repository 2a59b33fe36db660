"""Checks of models for numbers that make an arbitrary result: absent, not finite, or whole without a scale."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from studio.core.errors import BadInput
from studio.core.model_files import gguf_header, safetensors_header
from studio.core.untrusted_files import read_file, read_or_else

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGMLQuantizationType
    from numpy.typing import NDArray
    from torch import Tensor, nn

_SAMPLE = 1 << 16
"""Numbers of each tensor that are looked at."""
_CHUNKS, _CHUNK = 16, 4096
"""Number of places of each tensor in a GGUF file that are looked at, and numbers at each."""
_MAX_POINTER = 1024
_MAX_CONFIG = 1 << 22
_POINTER_START = b"version https://git-lfs"
_WHOLE_NUMBERS = ("I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64")
_HINT = "Download it again, or choose another model."


class Vocabulary(Protocol):
    """The part of a tokenizer of transformers that tells its words."""

    all_special_tokens: Sequence[str]

    def get_vocab(self) -> Mapping[str, int]: ...

    def get_added_vocab(self) -> Mapping[str, int]: ...


def refuse_pointers(folder: Path) -> None:
    """Raise BadInput where a file in a folder, or in a folder inside it, is a Git LFS pointer, and name it."""
    for file in sorted((*folder.glob("*"), *folder.glob("*/*"))):
        try:
            if not file.is_file() or file.stat().st_size > _MAX_POINTER:
                continue
            with file.open("rb") as stream:
                start = stream.read(len(_POINTER_START))
        except OSError:
            continue
        if start == _POINTER_START:
            raise BadInput(
                f"{file.relative_to(folder)} of {folder.name} is a Git LFS pointer, not the file itself.",
                "Run `git lfs pull`, or download the file again.",
            )


def refuse_whole_numbers(folder: Path, name: str) -> None:
    """Raise BadInput where matrices in a folder are whole numbers and its `config.json` names no quantisation."""
    if read_or_else(False, _names_quantisation, folder / "config.json"):
        return
    for file in sorted(folder.glob("*.safetensors")):
        refuse_whole_numbers_in_file(file, name)


def _names_quantisation(config: Path) -> bool:
    return bool(json.loads(read_file(config, _MAX_CONFIG)).get("quantization_config"))


def refuse_whole_numbers_in_file(file: Path, name: str) -> None:
    """Raise BadInput where matrices in a safetensors file are whole numbers."""
    for tensor, (dtype, shape) in safetensors_header.read_weight_types(file).items():
        if dtype in _WHOLE_NUMBERS and len(shape) > 1 and not tensor.endswith("position_ids"):
            raise BadInput(
                f"{name} has whole numbers ({dtype}) as weights, such as {tensor}, and nothing says how to read them.",
                "Choose the same model with 16 or 32 bits.",
            )


def check_weights(network: nn.Module, name: str) -> None:
    """Check that a loaded network has all its weights, and that a sample of each is finite.

    `name` names the model, or a part of one, in the sentence. Raises BadInput.
    """
    check_tensors(((tensor, value) for tensor, value in network.named_parameters()), name)
    buffers = network.named_buffers()
    check_tensors(
        ((tensor, value) for tensor, value in buffers if tensor.endswith(("running_mean", "running_var"))), name
    )


def check_tensors(tensors: Iterable[tuple[str, Tensor]], name: str) -> None:
    """Check tensors by name as `check_weights` does. Raises BadInput."""
    for tensor, value in tensors:
        if value.is_meta:
            raise BadInput(f"{name} lacks weights, such as {tensor}.", _HINT)
        if value.is_floating_point() and value.numel() and not _is_sample_finite(value):
            raise _not_finite_error(name, tensor)


def check_gguf_weights(file: Path, name: str) -> None:
    """Unpack a sample of each tensor in a GGUF file and check that it is finite. Raises BadInput.

    A denoiser keeps its weights packed, so that `check_weights` cannot see them.
    """
    import gguf
    import numpy as np

    header = gguf_header.read_gguf_header(file)
    with file.open("rb") as stream, np.errstate(all="ignore"):
        for tensor, place in header.tensors.items():
            kind = gguf.GGMLQuantizationType(place.kind)
            block_values, block_bytes = gguf.GGML_QUANT_SIZES[kind]
            blocks, chunk = math.prod(place.shape) // block_values, max(1, _CHUNK // block_values)
            for first in range(0, blocks, max(chunk, -(-blocks // _CHUNKS))):
                stream.seek(place.start + first * block_bytes)
                packed = np.frombuffer(stream.read(min(chunk, blocks - first) * block_bytes), np.uint8)
                try:
                    values = gguf.dequantize(_as_stored(packed, kind), kind)
                except (NotImplementedError, ValueError):  # a type that is packed in another way, or of whole numbers
                    break
                if not np.isfinite(values).all():
                    raise _not_finite_error(name, tensor)


def check_loaded(name: str, missing: Iterable[str]) -> None:
    """Raise BadInput where a library filled in weights that a file lacks, as it does at random."""
    absent = sorted(missing)
    if absent:
        count = "a weight" if len(absent) == 1 else f"{len(absent)} weights"
        raise BadInput(f"{name} lacks {count}, such as {absent[0]}.", _HINT)


def check_vocabulary(tokenizer: Vocabulary, name: str) -> None:
    """Raise BadInput for a tokenizer that knows no words, as libraries build it where its files are missing."""
    special = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
    if not tokenizer.get_vocab().keys() - special:
        raise BadInput(f"{name} has no vocabulary: files of its tokenizer are missing.", "Download it again.")


def _as_stored(packed: NDArray[np.uint8], kind: GGMLQuantizationType) -> NDArray[Any]:
    """Give bytes the type in which gguf expects them."""
    return packed.view({"F32": "<f4", "F16": "<f2"}.get(kind.name, packed.dtype))


def _not_finite_error(name: str, tensor: str) -> BadInput:
    return BadInput(f"{name} is damaged: {tensor} holds numbers that are not finite (NaN or infinity).", _HINT)


def _is_sample_finite(value: Tensor) -> bool:
    flat = value.detach().reshape(-1) if value.is_contiguous() else value.detach().flatten()
    sample = flat[:: max(1, flat.numel() // _SAMPLE)]
    return bool(sample.float().isfinite().all())
