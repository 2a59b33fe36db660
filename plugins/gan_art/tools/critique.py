"""The tool that asks the discriminator for its opinion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from studio import api

from ..editing.critique import Critic, Grade
from ..models.gan_model import MODEL_KIND, STARTER, load_gan
from ..models.image_features import composite, load_extractor
from ..sampling.images import arrange_sheet
from ..sampling.targets import read_target

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

COLUMNS = 4
MIN_SIDE = 128
HEAT = (255, 96, 0)
"""Colour of the places that move the score."""


class Critique(api.Tool):
    """Grades images with the discriminator, ranks them, and shows what moved the grade."""

    id = "gan.critique"
    title = "Critique"
    icon = "mdi6.clipboard-check-outline"

    class Params(api.Params):
        model: api.ModelChoice = api.param(STARTER, model=MODEL_KIND)
        """A GAN with a discriminator, such as one that was trained here. It judges by its own training data."""
        images: list[api.ImageInput] = api.param([], min_items=1, max_items=64)
        """Any images. They are cropped to the aspect ratio of the GAN and scaled."""
        class_name: str = api.param("", title="Class")
        """Grades all images as this class. Empty: the class that fits best."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, len(params.images), "Loading the model")
        model = load_gan(ctx, params.model)
        critic = Critic(model, load_extractor(ctx), ctx.seed)
        targets, grades = [], []
        wanted = model.find_class(params.class_name) if params.class_name else None
        for number, path in enumerate(params.images, 1):
            targets.append(read_target(path, model))
            grades.append(critic.grade(targets[-1], wanted))
            yield api.Progress(number, len(params.images), "Grading")
        order = sorted(range(len(grades)), key=lambda number: (grades[number].is_strange, -grades[number].score))
        names = model.class_names
        ranking = []
        for number in order:
            grade = grades[number]
            row = {"image": params.images[number].name, "score": round(grade.score, 3)}
            row["better_than"] = f"{grade.percentile:.0%} of generated images"
            if grade.is_strange:
                row["better_than"] = "of another kind"
            if grade.class_number is not None:
                row["class"] = names[grade.class_number]
            ranking.append(row)
        if strange := sum(grade.is_strange for grade in grades):
            subject = "One image is" if strange == 1 else f"{strange} images are"
            yield api.Notice(
                f"{subject} of another kind than those of {model.title}. Its discriminator never saw such, so that "
                "the score says little. They stand last."
            )
        tiles = [draw_tile(composite(targets[number]), grades[number]) for number in order]
        yield api.Image(arrange_sheet(tiles, min(COLUMNS, len(tiles)), len(tiles)), notes={"ranking": ranking})


def draw_tile(image: Tensor, grade: Grade) -> NDArray[np.uint8]:
    """Return an image [1, 3, h, w] beside the same in grey with what moved the score in orange, and its grade."""
    import numpy as np
    from PIL import Image, ImageDraw

    pixels = api.images.to_uint8(image[0])
    grey = pixels.mean(axis=2, keepdims=True) * 0.6
    influence = grade.influence.numpy()[..., None]
    heat = grey * (1 - influence) + np.array(HEAT) * influence
    pair = np.concatenate([pixels, heat.astype(np.uint8)], axis=1)
    scale = -(-MIN_SIDE // min(pixels.shape[:2]))
    pair = pair.repeat(scale, 0).repeat(scale, 1)
    band = Image.new("RGB", (pair.shape[1], 20), (24, 24, 24))
    opinion = "of another kind" if grade.is_strange else f"better than {grade.percentile:.0%}"
    text = f"{grade.score:+.2f} · {opinion}"
    ImageDraw.Draw(band).text((6, 4), text, fill=(235, 235, 235))
    return np.concatenate([pair, np.asarray(band)], axis=0)
