"""How well an autoencoder gives pictures back: PSNR of whole pictures, by folder."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from studio import api

from ..models import codec as models
from ..training import data, trainer

if TYPE_CHECKING:
    from torch import Tensor

MOST = 8_000
"""More pictures are left aside, since all are held in memory (up to 200 KB each at 128 px)."""


class VaeMeasure(api.Tool):
    """Says how faithfully a model gives your pictures back, in decibels."""

    id = "vae.measure"
    title = "Measure a model"
    output = "text"
    icon = "mdi6.ruler"

    class Params(api.Params):
        folder: api.FolderInput
        """Pictures to measure on."""
        more_folders: list[api.FolderInput] = api.param([], max_items=8, title="More folders")
        """Further folders. Each is measured for itself."""
        model: api.ModelChoice = api.param("vae-spatial", model="autoencoder global-autoencoder")
        pictures: Literal["held out", "all"] = api.param("held out", labels=("Held out", "All"))
        """Held out: only those that a training on the same folders has never seen."""
        size: int = api.param(128, ge=16, le=1024, title="Picture size", unit="px")
        """A dreaming model has a size of its own."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        codec = models.load(ctx, params.model)
        size = params.size - params.size % codec.factor if codec.spatial else codec.size
        folders = [params.folder, *params.more_folders]
        samples, _ = yield from read_all(folders, 2 * size, only_held_out=params.pictures == "held out")
        if not samples:
            raise api.BadInput(f"There are no {params.pictures} pictures to measure on.", "Choose another folder.")
        names = names_of(folders)
        found = psnr_by_folder(lambda images: codec.decode(codec.encode(images)).cpu(), samples, names, size)
        ctx.note("psnr", found)
        rows = [
            f"| {name} | {sum(one.group == number for one in samples):,} | {found[name]:.2f} |"
            for number, name in enumerate(names)
            if name in found
        ]
        head = f"{params.pictures.capitalize()} pictures, {size} px, over white.\n\n| folder | pictures | PSNR, dB |"
        yield api.Text("\n".join([head, "|---|---|---|", *rows]) + "\n", f"How well {codec.title} gives pictures back")


def names_of(folders: Sequence[Path]) -> list[str]:
    """A name for each folder; with its parent's, or in full, where another is called the same."""
    for name in (lambda path: path.name, lambda path: f"{path.parent.name}/{path.name}"):
        names = [name(path) for path in folders]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in folders]


def psnr_by_folder(
    reconstruct: Callable[[Tensor], Tensor], samples: Sequence[data.Sample], names: Sequence[str], size: int
) -> dict[str, float]:
    """Mean PSNR in dB of the pictures of each folder, their middle squares at `size` px over white."""
    import numpy as np
    import torch

    found: dict[str, float] = {}
    for number, name in enumerate(names):
        members = [one for one in samples if one.group == number]
        values: list[Tensor] = []
        for start in range(0, len(members), 16):
            images = torch.from_numpy(np.stack([data.whole(one, size) for one in members[start : start + 16]]))
            values.append(trainer.psnr(reconstruct(images), images))
        if values:
            found[name] = round(float(torch.cat(values).mean()), 2)
    return found


def read_all(
    folders: Sequence[Path], side: int, *, only_held_out: bool = False
) -> Generator[api.Event, None, tuple[list[data.Sample], dict[str, str]]]:
    """Reads the folders' pictures, saying how far it is, and gives (pictures, {name: why it was skipped})."""
    found = [(group, path) for group, path in data.find(folders) if not only_held_out or data.is_held_out(path)]
    if len(found) > MOST:
        yield api.Notice(f"Only {MOST:,} of the {len(found):,} pictures are used.", "warning")
        found = found[:: -(-len(found) // MOST)]
    samples: list[data.Sample] = []
    skipped: dict[str, str] = {}
    for number, (group, path) in enumerate(found):
        if number % 50 == 0:
            yield api.Progress(0, 0, f"Reading pictures: {number:,} of {len(found):,}")
        try:
            samples.append(data.read(path, group, side))
        except api.BadInput as error:
            skipped[path.name] = str(error)
    if skipped:
        yield api.Notice(_skipped(list(skipped)), "warning")
    return samples, skipped


def _skipped(names: list[str]) -> str:
    first = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return f"Skipped, because {'it' if len(names) == 1 else 'they'} cannot be read: {first}."
