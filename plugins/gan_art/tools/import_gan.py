"""The tool that makes a model of the studio of another program's GAN."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from studio import api

from ..formats.checkpoint_files import SUFFIXES, read_checkpoint
from ..formats.foreign_gan import ForeignGan
from ..formats.recognition import recognise
from ..models.gan_model import MODEL_KIND, GanConfig, GanModel, open_gan, save_gan
from ..models.thumbnail import save_thumbnail

_DIGEST = re.compile(r"-[0-9a-f]{10}\Z")
"""What the library adds to the names of files."""


class ImportGan(api.Tool):
    """Makes a model of a GAN that another program trained. Nothing in its file is run."""

    id = "gan.import"
    title = "Import a GAN"
    output = "model"
    icon = "mdi6.import"

    class Params(api.Params):
        file: api.FileInput = api.param(accepts=SUFFIXES, title="File of the GAN")
        """A file of StyleGAN2, StyleGAN2-ADA, StyleGAN3, StyleGAN-XL, R3GAN, FastGAN, Projected GAN, lightweight-gan,
        stylegan2-pytorch, Progressive GAN, BigGAN-deep or DCGAN: .pkl, .pt, .pth, .ckpt, .bin or .safetensors."""
        title: str = api.param("", title="Name")
        """Name of the model. Empty: the name of the file."""
        licence: str = ""
        """Licence under which the authors published the weights, if you know it."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 3, "Reading the file")
        checkpoint = read_checkpoint(params.file)
        ctx.check_cancelled()
        gan = recognise(checkpoint)
        report = checkpoint.report.describe()
        yield api.Progress(1, 3, "Converting the weights")
        stem = _DIGEST.sub("", params.file.stem)
        name, title = f"{stem}{params.file.suffix}", params.title.strip() or stem
        licence = params.licence.strip() or gan.licence
        folder = ctx.scratch / "gan"
        config = GanConfig(gan.architecture, (), gan.clamp, gan.options)
        save_gan(folder, gan.generator, config, gan.discriminator, half=False)
        model = open_gan(folder)
        yield api.Notice(f"{name} is {gan.layout}: {_describe_size(model)}. Licence: {licence}.")
        for sentence in filter(None, (report, *gan.notes)):
            yield api.Notice(sentence)
        yield api.Progress(2, 3, "Generating the thumbnail")
        save_thumbnail(folder, ctx.seed)
        about = {"summary": f"{gan.layout}, imported from {name}.", "licence": licence}
        (folder / "studio.json").write_text(json.dumps(about), encoding="utf-8")
        _build_card(title, name, gan, model, licence, report).write(folder)
        notes = {"layout": gan.layout, "licence": licence}
        if report:
            notes["report"] = report
        yield api.Trained(folder, title, MODEL_KIND, notes)


def _describe_size(model: GanModel) -> str:
    height, width = model.generator.image_size
    classes = f", {model.generator.classes:,} classes" if model.generator.classes else ""
    return f"{width} × {height} px{classes}, {model.megabytes:.1f} MB"


def _build_card(
    title: str, name: str, gan: ForeignGan, model: GanModel, licence: str, report: str
) -> api.model_card.ModelCard:
    generator = model.generator
    summary = [
        f"A generator of {gan.layout}, imported from `{name}`: {_describe_size(model)}.",
        f"Licence: {licence}. Another program trained it; its authors decide what it may be used for.",
        *gan.notes,
    ]
    rows = {
        "Latent size": generator.latent_size,
        "Layers with a style": generator.layer_count,
        "Classes": generator.classes,
        "Discriminator": "yes" if model.discriminator is not None else "no",
    }
    sections = {"What the file would have run": report} if report else {}
    return api.model_card.ModelCard(
        title=title, summary="\n\n".join(summary), rows=rows, rows_title="Import", sections=sections
    )
