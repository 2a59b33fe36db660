"""Evaluate an autoencoder: PSNR of reconstructed pictures, by folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from studio import api

from ..models.codec import MODEL_KINDS, SPATIAL_STARTER, load_codec
from ..training.data import name_folders, read_folders
from ..training.metrics import psnr_by_folder


class EvaluateVae(api.Tool):
    """Evaluates how faithfully a model reconstructs your images, in decibels."""

    id = "vae.measure"
    title = "Evaluate a model"
    output = "text"
    icon = "mdi6.ruler"

    class Params(api.Params):
        folder: api.FolderInput
        """Images for the evaluation."""
        more_folders: list[api.FolderInput] = api.param([], max_items=8, title="More folders")
        """Further folders. Each is evaluated separately."""
        model: api.ModelChoice = api.param(SPATIAL_STARTER, model=MODEL_KINDS)
        pictures: Literal["held out", "all"] = api.param("held out", labels=("Held out", "All"))
        """Held out: only the images that a training on the same folders has not used."""
        size: int = api.param(128, ge=16, le=1024, title="Image size", unit="px")
        """A global model has a fixed size."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        codec = load_codec(ctx, params.model)
        size = params.size - params.size % codec.factor if codec.is_spatial else codec.size
        folders = [params.folder, *params.more_folders]
        samples, _ = yield from read_folders(folders, 2 * size, only_held_out=params.pictures == "held out")
        if not samples:
            kind = "held-out images" if params.pictures == "held out" else "images"
            raise api.BadInput(f"There are no {kind} in {params.folder.name}.", "Choose another folder.")
        names = name_folders(folders)
        psnr = psnr_by_folder(lambda images: codec.decode(codec.encode(images)).cpu(), samples, names, size)
        ctx.note("psnr", psnr)
        rows = [
            f"| {name} | {sum(sample.group == group for sample in samples):,} | {psnr[name]:.2f} |"
            for group, name in enumerate(names)
            if name in psnr
        ]
        head = f"{params.pictures.capitalize()} images, {size} px, over white.\n\n| folder | images | PSNR, dB |"
        yield api.Text("\n".join([head, "|---|---|---|", *rows]) + "\n", f"Reconstruction quality of {codec.title}")
