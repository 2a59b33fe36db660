"""LoRAs merged into a copy of a model, tensor by tensor, so that no more than a layer is in memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from studio import api

from ..checkpoints import diffusers_folder, hub_files, single_file
from .error_report import ErrorReport, measure_square
from .lora_changes import Change
from .model_weights import ModelWeights, Rows, Weight, list_component_files

if TYPE_CHECKING:
    pass

CHUNK = 2**24
"""Bytes that are copied at once."""
_MARGIN = 2**24
"""Bytes that are left for the card and the record."""
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_LICENCES = ("LICENSE", "LICENCE", "NOTICE")
_KEPT_FACTS = ("components", "defaults", "licence")
"""Entries of a model's `studio.json` that hold for the merged model as well."""


@dataclass(frozen=True)
class _Part:
    """Rows of a tensor in a file, the tensor of the model that they belong to, and its first row there."""

    change: Change
    weight: Weight
    rows: Rows
    start: int


class Merge:
    """Writes a copy of a model with changes, and gathers the rounding errors."""

    def __init__(self, model: ModelWeights, changes: Sequence[Change], title: str) -> None:
        self._model = model
        self._title = title
        self.report = ErrorReport()
        self._parts: dict[tuple[Path, str], list[_Part]] = {}
        for change in changes:
            for weight in change.list_weights():
                start = 0
                for rows in weight.rows:
                    self._parts.setdefault(rows.key, []).append(_Part(change, weight, rows, start))
                    start += rows.last - rows.first

    @property
    def size(self) -> int:
        """Bytes that will be written."""
        return measure_size(self._model.path)

    def require_space(self, folder: Path) -> None:
        """Raise BadInput if the disk of a folder has less space than the merged model takes."""
        needed, free = self.size + _MARGIN, shutil.disk_usage(folder).free
        if free < needed:
            raise api.BadInput(
                f"The merged model needs {api.format_size(needed)} on the disk, and {api.format_size(free)} are left.",
                "Free some space and try again.",
            )

    def write(self, folder: Path) -> Iterator[api.Event]:
        """Write the model into an empty folder, and yield the progress."""
        files = list_files(self._model.path)
        changed = {file for file, _ in self._parts}
        total = sum(file.stat().st_size for file in files)
        done = 0
        for file in files:
            target = self._place(folder, file)
            target.parent.mkdir(parents=True, exist_ok=True)
            steps = self._write_changed(file, target) if file in changed else _copy(file, target)
            for count in steps:
                done += count
                yield api.Progress(done, total, f"Merging: {api.format_size(done)} of {api.format_size(total)}")
        if self._model.path.is_dir():
            _write_facts(self._model.path, folder)

    def write_components(self, folder: Path, name: str) -> None:
        """Write the name of the folder that provides what a single file lacks into the sidecar."""
        path = self._place(folder, single_file.sidecar_of(self._model.path))
        facts = json.loads(path.read_bytes()) if path.is_file() else {}
        path.write_text(json.dumps({**facts, "components": name}), "utf-8")

    def _place(self, folder: Path, file: Path) -> Path:
        if self._model.path.is_dir():
            return folder / file.relative_to(self._model.path)
        stem = "".join(letter if letter.isalnum() or letter in " -_." else "-" for letter in self._title).strip(" .")
        name = f"{stem or 'model'}.safetensors"
        return folder / (single_file.sidecar_of(Path(name)).name if file.suffix == ".json" else name)

    def _write_changed(self, file: Path, target: Path) -> Iterator[int]:
        """Write a file with its changes, tensor by tensor. Yield the bytes that are written."""
        with file.open("rb") as source, target.open("wb") as out:
            length = int.from_bytes(source.read(8), "little")
            header: dict[str, Any] = json.loads(source.read(length))
            entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
            metadata = header.get("__metadata__") or {}
            if self._model.path.is_file():
                metadata = self._describe(metadata)
            text = json.dumps({"__metadata__": metadata, **entries} if metadata else entries, separators=(",", ":"))
            encoded = text.encode()
            encoded += b" " * (-len(encoded) % 8)
            out.write(len(encoded).to_bytes(8, "little") + encoded)
            yield 8 + length
            for name, entry in sorted(entries.items(), key=lambda item: item[1]["data_offsets"]):
                first, last = entry["data_offsets"]
                if parts := self._parts.get((file, name)):
                    out.write(self._compute(file, name, entry["dtype"], parts))
                    yield last - first
                else:
                    source.seek(8 + length + first)
                    yield from _copy_bytes(source, out, last - first)

    def _compute(self, file: Path, name: str, dtype: str, parts: Sequence[_Part]) -> bytes:
        import torch
        from safetensors import safe_open

        with safe_open(file, "pt") as opened:
            before = opened.get_tensor(name).float()
        values = before.clone()
        for part in parts:
            rows = slice(part.rows.first, part.rows.last)
            values[rows] = part.change.apply(part.weight, values[rows], part.start)
        rounded = values.to(getattr(torch, _DTYPES[dtype]))
        if not rounded.isfinite().all():
            raise api.BadInput(
                f"The change of {name} is too large for the numbers of {self._model.title}.", "Use smaller weights."
            )
        self.report.add(name, measure_square(values - before), measure_square(rounded.float() - values))
        return rounded.contiguous().view(torch.uint8).numpy().tobytes() if rounded.ndim else b""

    def _describe(self, metadata: Mapping[str, str]) -> dict[str, str]:
        loras = dict.fromkeys(part.change.title for parts in self._parts.values() for part in parts)
        merged = ", ".join([self._model.title, *loras])
        hashes = ("modelspec.hash_sha256", "sshs_model_hash", "sshs_legacy_hash")
        kept = {name: value for name, value in metadata.items() if name not in hashes}
        return {**kept, "modelspec.title": self._title, "modelspec.merged_from": merged}


def _write_facts(source: Path, folder: Path) -> None:
    if not (source / diffusers_folder.STUDIO_FILE).is_file():
        return
    facts = diffusers_folder.read_json(source, diffusers_folder.STUDIO_FILE)
    kept = {name: facts[name] for name in _KEPT_FACTS if name in facts}
    (folder / diffusers_folder.STUDIO_FILE).write_text(json.dumps(kept), "utf-8")


def _copy(file: Path, target: Path) -> Iterator[int]:
    with file.open("rb") as source, target.open("wb") as out:
        yield from _copy_bytes(source, out, file.stat().st_size)


def _copy_bytes(source: BinaryIO, out: BinaryIO, count: int) -> Iterator[int]:
    while count:
        data = source.read(min(count, CHUNK))
        if not data:
            raise api.BadInput("A file of the model was cut off while it was read.", "Try again.")
        out.write(data)
        count -= len(data)
        yield len(data)


def measure_size(path: Path) -> int:
    """Return the bytes of a copy of a model."""
    return sum(file.stat().st_size for file in list_files(path))


def list_files(path: Path) -> list[Path]:
    """List the files of a model in a folder or a single file that a copy of it needs."""
    if path.is_file():
        sidecar = single_file.sidecar_of(path)
        return [path, sidecar] if sidecar.is_file() else [path]
    starts = (diffusers_folder.INDEX, *_LICENCES)
    files = [file for file in sorted(path.iterdir()) if file.is_file() and file.name.startswith(starts)]
    folder = diffusers_folder.inspect_folder(path)
    for component in folder.classes:
        if component in folder.borrowed or not (path / component).is_dir():
            continue
        weights = list_component_files(path / component)
        others = (file for file in sorted((path / component).rglob("*")) if file.is_file())
        files += [*weights, *(file for file in others if not file.name.endswith(hub_files.WEIGHTS))]
    return files
