"""The tool that trains a GAN."""

from __future__ import annotations

from collections.abc import Iterator

from studio import api
from studio.api import data_report

from ..models.gan_model import load_gan
from ..models.image_features import load_extractor
from ..training import setup
from ..training.data import list_images, read_training_data, size_of
from ..training.evaluation import Evaluator
from ..training.params import GanTrainingParams
from ..training.trainer import GanTraining, Hyperparameters

MIN_IMAGES = 16
MAX_COUNTED = 20_000
RECOMMENDED = 1000
ADVICE = (
    data_report.Advice(100, "a new StyleGAN2 would learn these by heart. Choose FastGAN, or start from a base model."),
    data_report.Advice(1000, "a new GAN will repeat them. Start from a base model, and keep augmentation on."),
    data_report.Advice(None, "a good number for a GAN, if they show one kind of thing.", is_scarce=False),
)


class TrainGan(api.Tool):
    """Trains a GAN on your images, which then dreams up endless new ones of their kind."""

    id = "gan.train"
    title = "Train a GAN"
    output = "model"
    lane = "training"
    pausable = True
    deterministic = False
    icon = "mdi6.school-outline"

    class Params(GanTrainingParams):
        pass

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate:  # noqa: ARG002
        count = sum(api.datasets.count_images(folder, MAX_COUNTED) for folder in (params.folder, *params.more_folders))
        height, width = size_of(params.size, params.aspect)
        return api.training.estimate_training(
            params,
            setup.choose_numbers(params),
            setup.measure_networks(params.architecture, params.size, params.aspect, params.width, params.transparent),
            rate=f"gan.train.{params.architecture}.{params.width}.{params.size}",
            sample_size=height * width,
            samples=count if count < MAX_COUNTED and not (params.filters or params.labels) else 0,
            notes={"folder": _describe_count(count)},
        )

    def inspect_data(self, params: Params, ctx: data_report.InspectionContext) -> data_report.DataReport:
        listed, _ = list_images(params)
        paths = [path for path, _ in listed]
        sources = []
        for folder in (params.folder, *params.more_folders):
            own = [path for path in paths if path.is_relative_to(folder)]
            sources.append(data_report.ImageSource(folder, own, params.size, "image", params.excluded_in(folder)))
        report = data_report.inspect_images(sources, ctx)
        count = report.count_usable("image")
        if count < MIN_IMAGES:
            shortage = api.training.describe_shortage(params.folder, count, MIN_IMAGES)
            report = data_report.refuse(report, shortage)
        return data_report.advise(report, count, ADVICE)

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        import torch

        numbers = setup.choose_numbers(params)
        numbers.note(ctx)
        base = load_gan(ctx, params.start_from) if params.start_from else None
        yield from data_report.check_data(self, params, ctx)
        data = yield from read_training_data(params)
        if data.skipped:
            ctx.note("skipped", dict(data.skipped))
        api.training.require_samples(params.folder, len(data.training) + len(data.holdout), MIN_IMAGES)
        torch.manual_seed(ctx.seed)
        generator, discriminator = setup.build_networks(params, len(data.class_names), base)
        hyper = Hyperparameters(
            numbers.steps,
            numbers.batch,
            numbers.learning_rate,
            numbers.gamma,
            params.loss,
            params.augmentation,
            params.augmentation_probability,
            params.mirror,
            params.ema,
            ctx.seed,
            ctx.device,
        )
        decoder = setup.build_decoder(params, discriminator)
        training = GanTraining(generator, discriminator, data, hyper, ctx.checkpoint_dir, decoder)
        training.steps_per_epoch = len(data.training) / numbers.batch
        evaluator = Evaluator(training, load_extractor(ctx), ctx.seed)

        def save_model(suffix: str) -> api.Trained:
            return evaluator.save_model(params, ctx, suffix)

        memory_error = f"A batch of {numbers.batch} images of {params.size} px needs more memory than is available."
        yield from training.run(
            ctx, params, preview=evaluator.preview, save_model=save_model, memory_error=memory_error
        )
        yield save_model("")


def _describe_count(count: int) -> str:
    if not count:
        return "no images"
    number = f"{count:,}{' or more' if count >= MAX_COUNTED else ''} images"
    return f"{number}; some thousands are better" if count < RECOMMENDED else number
