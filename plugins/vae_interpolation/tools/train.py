"""Train an autoencoder on a folder of pictures."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from studio import api
from studio.api import data_report
from studio.api.datasets import ImageSample
from studio.api.model_card import Measure, ModelCard, training_rows

from ..models import networks
from ..models.codec import GlobalCodec, KlCodec, load_codec
from ..training import forecast, prior
from ..training.data import Views, crop_centre, name_folders, read_folders
from ..training.metrics import psnr_by_folder
from ..training.trainer import KlSchedule, Trainer, build_schedule
from ..training.vae_kinds import GlobalKind, SpatialKind, VaeKind

if TYPE_CHECKING:
    from torch import Tensor, nn

MIN_PICTURES = 16
PRIOR_STEPS = 4000
KL_WEIGHTS = {"spatial": 0.03, "global": 0.3}
"""With 0.3 one of the four channels of a spatial latent stays unused."""
PREVIEW_COLUMNS = 8
MAX_EVALUATED = 96
"""Maximum number of held-out pictures that are evaluated during a training."""
MAX_COUNTED = 20_000
"""Number of images up to which a folder is counted for the estimate."""
MAX_STANDARDISED = 256
"""Maximum number of held-out pictures whose latents give the scaling factor."""
ADVICE = (
    data_report.Advice(100, "the model will learn these by heart and blur others. Some hundreds are better."),
    data_report.Advice(400, "enough for morphs between them. More give sharper images of other things."),
    data_report.Advice(None, "a good number for an autoencoder.", is_scarce=False),
)
KIND_NAMES = {"spatial": "spatial (diffusers `AutoencoderKL`)", "global": "global (one latent vector per image)"}

WIDTHS: dict[str, dict[str, tuple[int, ...]]] = {
    "spatial": {"small": (16, 32, 64, 96), "medium": (32, 64, 96, 160), "tiny": (8, 8, 8, 16)},
    "global": {"small": (16, 32, 48, 64, 32), "medium": (32, 64, 96, 128, 64), "tiny": (8, 8, 8, 8, 8)},
}


class TrainVae(api.Tool):
    """Trains an autoencoder on your images, for morphs, blends and dreams."""

    id = "vae.train"
    title = "Train a model"
    output = "model"
    lane = "training"
    pausable = True
    deterministic = False
    icon = "mdi6.school-outline"

    class Params(api.training.TrainingParams):
        field_order = (
            *("folder", "more_folders", "kind", "title", "size", "steps", "width", "flips", "start_from"),
            *("batch", "learning_rate", "kl_weight", "kl_warm_up", "ema", "preview_every", "keep_every", "patience"),
        )
        folder: api.FolderInput
        """Your images, including subfolders. At least 16; some hundreds are better."""
        more_folders: list[api.FolderInput] = api.param([], max_items=8, title="More folders")
        """Further folders. Small folders are used more often than their size alone would give."""
        kind: Literal["spatial", "global"] = api.param("spatial", labels=("Spatial", "Global"), title="Model type")
        """Spatial: keeps the layout and suits large images. Global: can also generate new images."""
        size: Literal[64, 128] = api.param(128, title="Image size", unit="px")
        """Size for training and evaluation. A spatial model can be used at any size."""
        steps: int = api.param(6000, ge=1, le=1_000_000, title="Steps")
        """More steps give finer images, and take longer."""
        width: Literal["small", "medium", "tiny"] = api.param(
            "small", labels=("Small", "Medium", "Tiny"), title="Network size"
        )
        """Medium gives finer images and is about three times as slow. Tiny is for quick tests."""
        flips: bool = api.param(True, title="Random horizontal flip")
        """Mirrors half of the images. Turn it off if text must stay readable."""
        start_from: api.ModelChoice | None = api.param(
            None, model="autoencoder global-autoencoder", title="Base model", advanced=True
        )
        """Continues the training of a model of the same type. Its network size is kept."""
        batch: int = api.param(16, ge=1, le=512, title="Batch size", advanced=True)
        learning_rate: float = api.param(1e-3, ge=1e-7, le=1.0, title="Learning rate", advanced=True)
        kl_weight: float | None = api.param(None, ge=0, le=10, title="KL weight", advanced=True)
        """Higher values bring the latents closer to a normal distribution: smoother blends, softer images.
        The default is 0.03 for a spatial model and 0.3 for a global one."""
        kl_warm_up: int = api.param(0, ge=0, le=100_000, title="KL warm-up", unit="steps", advanced=True)
        """Number of steps over which the KL weight increases to its value."""
        preview_every: int = api.param(250, ge=1, le=100_000, title="Preview interval", unit="steps", advanced=True)
        """Number of steps between two evaluations on held-out images."""

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate:
        crop = _crop_size(params)
        config = forecast.read_base_config(params.start_from, ctx) if params.start_from else None
        count = sum(api.datasets.count_images(folder, MAX_COUNTED) for folder in (params.folder, *params.more_folders))
        cost = forecast.measure_network(params.kind, WIDTHS[params.kind][params.width], crop, params.size, config)
        network = str(cost.weights) if params.start_from else params.width
        return api.training.estimate_training(
            params,
            api.training.TrainingDefaults(params.steps, params.batch, params.learning_rate),
            cost,
            rate=f"vae.train.{params.kind}.{network}.{params.size}",
            sample_size=crop**2,
            samples=count if count < MAX_COUNTED else 0,
            notes={"folder": forecast.describe_data(count)} if count < MAX_COUNTED else {},
        )

    def inspect_data(self, params: Params, ctx: data_report.InspectionContext) -> data_report.DataReport:
        report = data_report.inspect_images(data_report.list_sources(params, params.size), ctx)
        count = report.count_usable("image")
        if count < MIN_PICTURES:
            shortage = api.training.describe_shortage(params.folder, count, MIN_PICTURES)
            report = data_report.refuse(report, shortage)
        return data_report.advise(report, count, ADVICE)

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        import torch

        folders = [params.folder, *params.more_folders]
        yield from data_report.check_data(self, params, ctx)
        samples, skipped = yield from read_folders(folders, 2 * params.size, excluded_in=params.excluded_in)
        if skipped:
            ctx.note("skipped", skipped)
        api.training.require_samples(params.folder, len(samples), MIN_PICTURES)
        training, holdout = api.datasets.split_holdout(samples)
        trainer = _build_trainer(params, ctx, training)
        trainer.steps_per_epoch = len(training) / params.batch
        stride = -(-len(holdout) // MAX_EVALUATED)
        images = torch.from_numpy(_stack_centres(holdout[::stride], params.size))

        def preview() -> Iterator[api.Event]:
            _, reconstruction = trainer.evaluate(images)
            yield api.Preview(compare(images, reconstruction))

        def save_model(suffix: str) -> api.Trained:
            return self._save(trainer, params, ctx, training, holdout, suffix)

        memory_error = f"The device has too little memory for a batch of {params.batch} images."
        yield from trainer.run(ctx, params, preview=preview, save_model=save_model, memory_error=memory_error)
        trainer.best.restore()
        if params.kind == "global":
            yield from _train_prior(trainer, params, ctx, training)
        yield save_model("")

    def _save(
        self,
        trainer: Trainer,
        params: Params,
        ctx: api.Context,
        training: Sequence[ImageSample],
        holdout: Sequence[ImageSample],
        suffix: str,
    ) -> api.Trained:
        folder = ctx.scratch / f"model{suffix}"
        trainer.kind.save(trainer.ema, folder, _encode(trainer, holdout[:MAX_STANDARDISED], params.size))
        groups = name_folders([params.folder, *params.more_folders])
        psnr = psnr_by_folder(trainer.reconstruct, holdout, groups, params.size)
        parameters = sum(value.numel() for value in trainer.ema.parameters())
        ModelCard(
            title=params.title + suffix,
            summary=f"An autoencoder, {KIND_NAMES[params.kind]}, trained at {params.size} px.",
            rows=training_rows(self.id, trainer.state, seed=ctx.seed, parameters=parameters),
            data={name: sum(one.group == group for one in training) for group, name in enumerate(groups)},
            measures=[Measure(f"PSNR, {name}", value, "dB, higher is better") for name, value in psnr.items()],
        ).write(folder)
        notes = {"held_out_psnr": psnr, "held_out_loss": trainer.best.score, "steps": trainer.state.step}
        return api.Trained(folder, params.title + suffix, trainer.kind.name, notes)


def _build_trainer(params: TrainVae.Params, ctx: api.Context, samples: list[ImageSample]) -> Trainer:
    import torch

    torch.manual_seed(ctx.seed)
    is_spatial = params.kind == "spatial"
    kl = KlSchedule(KL_WEIGHTS[params.kind] if params.kl_weight is None else params.kl_weight, params.kl_warm_up)
    model = _build_model(params, ctx)
    views = Views(
        samples,
        size=_crop_size(params),
        count=params.batch,
        seed=ctx.seed,
        cover=(0.35, 0.8) if is_spatial else (0.92, 1.0),
        flips=params.flips,
        white=0.6 if is_spatial else 1.0,
    )
    kind: VaeKind[Any] = SpatialKind() if is_spatial else GlobalKind()
    return Trainer(
        model,
        kind,
        build_schedule(params.steps, params.learning_rate),
        views.batch,
        ctx.checkpoint_dir,
        kl=kl,
        seed=ctx.seed,
        ema=params.ema,
        device=ctx.device,
    )


def _crop_size(params: TrainVae.Params) -> int:
    """Return the side of the training images in pixels."""
    return params.size // 2 if params.kind == "spatial" and params.size >= 128 else params.size


def _build_model(params: TrainVae.Params, ctx: api.Context) -> nn.Module:
    channels = WIDTHS[params.kind][params.width]
    if params.start_from:
        return _copy_model(params.start_from, params.kind, params.size, ctx)
    if params.kind == "spatial":
        spatial: nn.Module = networks.build_spatial_vae(channels, params.size)
        return spatial
    return networks.build_global_vae(networks.GlobalConfig(size=params.size, channels=channels))


def _copy_model(choice: str, kind: str, size: int, ctx: api.Context) -> nn.Module:
    """Return a copy of a model to continue from, since the loaded one stays in use elsewhere."""
    codec = load_codec(ctx, choice)
    if not isinstance(codec, KlCodec if kind == "spatial" else GlobalCodec):
        raise api.BadInput(f"{codec.title} is of another kind than the model to train.", "Choose another base model.")
    if isinstance(codec, GlobalCodec) and codec.size != size:
        raise api.BadInput(
            f"{codec.title} is a global model for images of {codec.size} px.", f"Set the image size to {codec.size} px."
        )
    model: nn.Module = copy.deepcopy(codec.network)
    model.requires_grad_(True)
    return model


def _train_prior(
    trainer: Trainer, params: TrainVae.Params, ctx: api.Context, samples: Sequence[ImageSample]
) -> Iterator[api.Event]:
    """Train the prior of a global model. It is quick, so it has no checkpoints."""
    import torch

    model: Any = trainer.ema
    posteriors: list[tuple[Tensor, Tensor]] = []
    for start in range(0, len(samples), 64):
        images = torch.from_numpy(_stack_centres(samples[start : start + 64], params.size))
        views = torch.cat([images, images.flip(-1)]) if params.flips else images
        with torch.no_grad():
            posteriors.append(model.encode(views.to(trainer.device)))
        yield api.Progress(params.steps, params.steps, "Training the prior")
    mean, logvar = (torch.cat(parts) for parts in zip(*posteriors, strict=True))
    for step in prior.fit(model, mean, logvar, min(params.steps, PRIOR_STEPS), ctx.seed):
        if step % 100 == 0:
            yield api.Progress(params.steps, params.steps, "Training the prior")
    noise = torch.randn(2 * PREVIEW_COLUMNS, mean.shape[1], generator=ctx.generator())
    with torch.no_grad():
        dreams = model.decode(model.dream(noise.to(trainer.device))).cpu()
    yield api.Preview(compare(*dreams.chunk(2)), "Dreams")


def compare(first: Tensor, second: Tensor) -> NDArray[np.uint8]:
    """Return up to eight of [n, 3, h, w] in -1..1, evenly chosen, in two rows, as [2 h, columns · w, 3]."""
    import torch

    columns = range(0, len(first), -(-len(first) // PREVIEW_COLUMNS))
    rows = [torch.cat([images[number] for number in columns], dim=2) for images in (first, second)]
    return api.images.to_uint8(torch.cat(rows, dim=1))


def _encode(trainer: Trainer, samples: Sequence[ImageSample], size: int) -> Tensor:
    """Return the mean latents of pictures."""
    import torch

    images = torch.from_numpy(_stack_centres(samples, size))
    with torch.no_grad():
        parts = [part.to(trainer.device) for part in torch.split(images, 8)]
        return torch.cat([trainer.kind.posterior(trainer.ema, part)[0].float() for part in parts])


def _stack_centres(samples: Sequence[ImageSample], size: int) -> NDArray[np.float32]:
    return np.stack([crop_centre(sample, size) for sample in samples])
