"""The tool that trains a style, from paintings or from an effect."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from studio import api
from studio.api import data_report

from ..inference import checkerboard
from ..models import generators
from ..models.style import MODEL_KIND
from ..training import model_card, presets
from ..training.base import StyleTraining
from ..training.metrics import Holdout
from ..training.params import StyleTrainingParams, TrainingKind
from ..training.starting_style import StartingStyle, load_starting_style, read_starting_config

MIN_PHOTOS = 2
MAX_IMAGES = 2000
"""Maximum number of images per folder, since all are held in memory (200 KB each for crops of 128 px)."""
FEW_PAINTINGS = 30
"""Number of paintings below which the method for a few paintings gives better results."""
THUMBNAIL = "preview.webp"


class StyleTrain(api.Tool):
    """Trains a style on paintings, or on an effect applied to photos, and makes a style tile of it."""

    id = "style.train"
    title = "Train a style"
    output = "model"
    lane = "training"
    pausable = True
    deterministic = False
    icon = "mdi6.school-outline"

    class Params(StyleTrainingParams):
        pass

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate:
        preset = presets.PRESETS[params.kind].override(params)
        photos = sum(api.datasets.count_images(folder, MAX_IMAGES) for folder in (params.folder, *params.more_folders))
        notes = {"folder": _describe_count(photos, preset.photos)}
        if params.kind != "effect" and params.paintings and not params.only:
            paintings = api.datasets.count_images(params.paintings, MAX_IMAGES)
            notes["paintings"] = _describe_count(paintings, preset.paintings)
        config = read_starting_config(ctx, params.start_from, params.kind) if params.start_from else ""
        cost = presets.measure_networks(params.kind, params.network, params.size, config)
        network = cost.weights if config else params.network
        return api.training.estimate_training(
            params,
            preset,
            cost,
            rate=f"style.train.{params.kind}.{network}.{params.size}",
            sample_size=params.size**2,
            samples=photos if photos < MAX_IMAGES else 0,
            notes=notes,
        )

    def inspect_data(self, params: Params, ctx: data_report.InspectionContext) -> data_report.DataReport:
        preset = presets.PRESETS[params.kind]
        sources = data_report.list_sources(params, params.size, noun="photo")
        folder = params.paintings if params.kind != "effect" else None
        if folder is not None:
            paths = api.datasets.find_images(folder, params.only, params.nested_in(folder))
            sources.append(data_report.ImageSource(folder, paths, params.size, "painting", params.excluded_in(folder)))
        report = data_report.inspect_images(sources, ctx)
        photos, paintings = report.count_usable("photo"), report.count_usable("painting")
        if photos < MIN_PHOTOS:
            shortage = api.training.describe_shortage(params.folder, photos, MIN_PHOTOS, "photo")
            report = data_report.refuse(report, shortage)
        if params.kind != "effect" and folder is None:
            report = data_report.refuse(report, _miss_paintings())
        elif folder in (params.folder, *params.more_folders):
            report = data_report.refuse(
                report, api.BadInput("The folder of paintings is that of the photos.", "Choose another folder for one.")
            )
        elif folder is not None and paintings < preset.min_paintings:
            shortage = api.training.describe_shortage(folder, paintings, preset.min_paintings, "painting")
            report = data_report.refuse(report, shortage)
        text, is_scarce = _describe_data(params.kind, preset, photos, paintings)
        return data_report.with_advice(report, text, is_scarce=is_scarce)

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        preset = presets.PRESETS[params.kind].override(params)
        preset.note(ctx)
        start = load_starting_style(ctx, params.start_from, params.kind) if params.start_from else None
        yield from data_report.check_data(self, params, ctx)
        photos, paintings = yield from _read_images(params, ctx)
        api.training.require_samples(params.folder, len(photos), MIN_PHOTOS, "photo")
        if params.paintings and params.kind != "effect":
            api.training.require_samples(params.paintings, len(paintings), preset.min_paintings, "painting")
        images = _hold_out(photos, paintings)
        training, holdout = presets.create_training(
            params, images, ctx.checkpoint_dir, seed=ctx.seed, device=ctx.device, start=start
        )

        def preview() -> Iterator[api.Event]:
            yield api.Preview(training.build_preview_sheet(holdout, training.evaluate(holdout)))

        def save_model(suffix: str) -> api.Trained:
            return _save_style(training, holdout, params, ctx, images, start, suffix)

        training.steps_per_epoch = len(images.photos) / preset.batch
        memory_error = f"A batch of {preset.batch} crops of {params.size} px needs more memory than is available."
        yield from training.run(ctx, params, preview=preview, save_model=save_model, memory_error=memory_error)
        yield save_model("")


def _save_style(
    training: StyleTraining,
    holdout: Holdout,
    params: StyleTrainingParams,
    ctx: api.Context,
    images: presets.TrainingImages,
    start: StartingStyle | None,
    suffix: str,
) -> api.Trained:
    """Write the style into a folder: the best weights at the end, the current ones of an intermediate style."""
    from PIL import Image

    folder = ctx.scratch / f"style{suffix}"
    best_step, scores = (training.state.step, training.scores) if suffix else training.load_best()
    config = start.config if start else presets.generator_config(params.kind, params.network)
    generators.save_network(training.ema, folder, config)
    generated = training.generate(holdout.photos)
    data = {"photos": len(images.photos)}
    if images.paintings:
        data["paintings"] = len(images.paintings)
    evaluation = model_card.Evaluation(best_step, scores, float(checkerboard.compute_energy(generated)))
    base = start.title if start else ""
    title = params.title + suffix
    model_card.build_card(params, title, training, evaluation, data, seed=ctx.seed, base=base).write(folder)
    Image.fromarray(api.images.to_uint8(generated[0])).save(folder / THUMBNAIL, quality=90)
    notes = {
        "measured": scores,
        "best_step": best_step,
        "steps": training.state.step,
        "checkerboard": evaluation.checkerboard,
    }
    return api.Trained(folder, params.title + suffix, MODEL_KIND, notes)


Samples = list[api.datasets.ImageSample]


def _read_images(params: StyleTrainingParams, ctx: api.Context) -> Generator[api.Event, None, tuple[Samples, Samples]]:
    """Read the images and return (photos, paintings)."""
    photos: Samples = []
    paintings: Samples = []
    skipped: dict[str, str] = {}
    for folder in (params.folder, *params.more_folders):
        samples, unreadable = yield from api.datasets.read_image_folder(
            folder, 2 * params.size, limit=MAX_IMAGES, exclude=params.excluded_in(folder)
        )
        photos += samples
        skipped |= unreadable
    if params.kind != "effect":
        if params.paintings is None:
            raise _miss_paintings()
        side = round(2 * params.size * params.closer)
        excluded = params.excluded_in(params.paintings)
        paintings, unreadable = yield from api.datasets.read_image_folder(
            params.paintings, side, limit=MAX_IMAGES, words=params.only, exclude=excluded
        )
        skipped |= unreadable
    if skipped:
        ctx.note("skipped", skipped)
    return photos, paintings


def _miss_paintings() -> api.BadInput:
    return api.BadInput("This training method needs paintings.", "Choose a folder of paintings.")


def _describe_data(kind: TrainingKind, preset: presets.Preset, photos: int, paintings: int) -> tuple[str, bool]:
    """Return a sentence with the number of images, and whether there are few."""
    data = f"{photos:,} photos"
    if paintings:
        data += f" and {_format_count(paintings, 'painting')}"
    counts = (("photos", photos, preset.photos), ("paintings", paintings, preset.paintings))
    recommended = [f"{minimum} {noun}" for noun, count, minimum in counts if count < minimum]
    if not recommended:
        return f"{data}: enough for this training.", False
    advice = ""
    if kind in ("cut", "cyclegan") and paintings < FEW_PAINTINGS:
        advice = " The method “A few paintings” gives better results with so few."
    return f"There are only {data}. At least {' and '.join(recommended)} are recommended.{advice}", True


def _describe_count(count: int, recommended: int) -> str:
    if not count:
        return "no images"
    number = f"{count:,}{' or more' if count >= MAX_IMAGES else ''} images"
    return number + (f"; at least {recommended} are recommended" if count < recommended else "")


def _format_count(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count:,} {noun}s"


def _hold_out(photos: Samples, paintings: Samples) -> presets.TrainingImages:
    training_photos, holdout_photos = api.datasets.split_holdout(photos)
    if not paintings:
        return presets.TrainingImages(training_photos, [], holdout_photos, [])
    training_paintings, holdout_paintings = api.datasets.split_holdout(paintings)
    return presets.TrainingImages(training_photos, training_paintings, holdout_photos, holdout_paintings)
