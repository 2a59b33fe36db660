"""Evaluates a training: the sheet of fixed seeds, the measurements, and the model that is saved."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from studio import api
from studio.api.model_card import Measure, ModelCard, training_rows

from ..models.gan_model import MODEL_KIND, save_gan
from ..models.image_features import FeatureExtractor, ImageFeatures, Quality, composite, measure_quality
from ..models.pixels import to_tensor_values
from ..models.thumbnail import save_thumbnail
from .data import ImageSet
from .params import GanTrainingParams
from .trainer import GanTraining

if TYPE_CHECKING:
    from torch import Tensor

SHEET_COLUMNS, SHEET_ROWS = 8, 2
MEASURED = 256
"""Number of generated images that are measured."""
MAX_REFERENCES = 2000
"""Number of training images whose features are computed."""
MIN_SHEET_WIDTH = 768
HEALTHY = 0.5
"""Diversity above which the weights are kept for a return after a collapse."""
COLLAPSED = 0.25
SNAPSHOT = "before_collapse.safetensors"
NAMES = {"stylegan2": "StyleGAN2", "fastgan": "FastGAN"}
MEANINGS = {
    "KID": "on features of the studio's own autoencoder, comparable only with other GANs trained here; lower is better",
    "memorisation": "distance to the nearest training image, relative to that of held-out images; values well below 1 "
    "are copies",
    "diversity": "mean distance between images, relative to that of the training images",
}


class Evaluator:
    """Measures a training against its data, and keeps the best weights by KID."""

    def __init__(self, training: GanTraining, extractor: FeatureExtractor, seed: int) -> None:
        self.training, self.extractor, self.seed = training, extractor, seed
        self.best = api.training.BestWeights(training.ema, training.checkpoint_dir)
        self.best.resume()
        self._references: tuple[NDArray[np.int64], ImageFeatures, ImageFeatures] | None = None

    def preview(self) -> Iterator[api.Event]:
        """Measure, show the sheet of fixed seeds, and return to earlier weights after a collapse."""
        training = self.training
        training.update_mean_style()
        quality, images, numbers = self.measure()
        yield api.Preview(self.build_sheet(images, numbers[quality.nearest]), self._describe(quality))
        training.measures = _list_measures(quality)
        training.record_measures({name: value for name, value in training.measures.items() if name != "KID"})
        self.best.update(quality.kid, step=training.state.step, measures=training.measures)
        training.report_score("KID", quality.kid)
        snapshot = training.checkpoint_dir / SNAPSHOT
        if quality.diversity >= HEALTHY:
            training.save()
            shutil.copyfile(training.checkpoint_dir / training.CHECKPOINT, snapshot)
        elif quality.diversity < COLLAPSED and snapshot.exists():
            shutil.copyfile(snapshot, training.checkpoint_dir / training.CHECKPOINT)
            training.rewind()
            yield api.Notice(
                f"The generator collapsed: its images are nearly all alike. The training resumes at step "
                f"{training.state.step:,} with half the learning rate.",
                "warning",
            )

    def measure(self) -> tuple[Quality, Tensor, NDArray[np.int64]]:
        """Return (measurements, generated images of fixed seeds, numbers of the training images compared with)."""
        numbers, training, holdout = self._extract_references()
        images = self.training.generate(MEASURED, self.seed)
        generated = self.extractor.extract(images)
        return measure_quality(generated, training, holdout, self.seed), images, numbers

    def build_sheet(self, images: Tensor, nearest: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Build a sheet [h, w, 3] of generated images, each with the nearest training image below it."""
        import torch

        pixels = self.training.data.training.pixels[nearest[: SHEET_COLUMNS * SHEET_ROWS]]
        below = torch.from_numpy(to_tensor_values(pixels))
        rows = []
        for row in range(SHEET_ROWS):
            part = slice(row * SHEET_COLUMNS, (row + 1) * SHEET_COLUMNS)
            rows += [torch.cat([*composite(images[part])], dim=2), torch.cat([*composite(below[part])], dim=2)]
        sheet = api.images.to_uint8(torch.cat([row for row in rows if row.numel()], dim=1))
        scale = -(-MIN_SHEET_WIDTH // sheet.shape[1])
        return np.ascontiguousarray(sheet.repeat(scale, 0).repeat(scale, 1))

    def save_model(self, params: GanTrainingParams, ctx: api.Context, suffix: str) -> api.Trained:
        """Write the model into a folder: the best weights at the end, the current ones of an intermediate model."""
        training = self.training
        training.update_mean_style()
        notes = None if suffix else self.best.restore()
        step = int(notes["step"]) if notes else training.state.step
        measures = notes["measures"] if notes else training.measures
        folder = ctx.scratch / f"gan{suffix}"
        config = training.describe_generator()
        save_gan(folder, training.ema.state_dict(), config, training.discriminator.state_dict())
        save_thumbnail(folder, self.seed)
        build_card(params, training, step, measures, params.title + suffix, ctx.seed).write(folder)
        return api.Trained(folder, params.title + suffix, MODEL_KIND, {"measured": measures, "best_step": step})

    def _describe(self, quality: Quality) -> str:
        return (
            f"Step {self.training.state.step:,} · KID {quality.kid:.3f} · memorisation {quality.memorisation:.2f} · "
            "below each image: the nearest training image"
        )

    def _extract_references(self) -> tuple[NDArray[np.int64], ImageFeatures, ImageFeatures]:
        if self._references is None:
            data = self.training.data
            numbers = _spread(data.training)
            self._references = (
                numbers,
                self._extract(data.training, numbers),
                self._extract(data.holdout, _spread(data.holdout)),
            )
        return self._references

    def _extract(self, images: ImageSet, numbers: NDArray[np.int64]) -> ImageFeatures:
        import torch

        return self.extractor.extract(torch.from_numpy(to_tensor_values(images.pixels[numbers])))


def build_card(
    params: GanTrainingParams, training: GanTraining, step: int, measures: dict[str, float], title: str, seed: int
) -> ModelCard:
    """Build the model card."""
    parameters = sum(value.numel() for value in training.ema.parameters())
    height, width = training.ema.image_size
    architecture = NAMES[training.describe_generator().architecture]
    data = training.data.count_classes() or {"images": len(training.data.training)}
    return ModelCard(
        title=title,
        summary=f"A generative adversarial network ({architecture} layout) for images of {width} × {height} px.",
        rows={
            **training_rows("gan.train", training.state, seed=seed, parameters=parameters),
            "Loss": params.loss,
            "Weights": f"moving average, from step {step:,}",
            "Images seen": f"{step * training.hyper.batch:,}",
        },
        data=data,
        measures=[Measure(name, value, MEANINGS[name]) for name, value in measures.items()],
    )


def _list_measures(quality: Quality) -> dict[str, float]:
    return {"KID": quality.kid, "memorisation": quality.memorisation, "diversity": quality.diversity}


def _spread(images: ImageSet) -> NDArray[np.int64]:
    return np.array(api.datasets.spread_evenly(range(len(images)), MAX_REFERENCES), np.int64)
