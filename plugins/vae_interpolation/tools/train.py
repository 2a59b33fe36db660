"""Train an autoencoder of one's own from a folder of pictures."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from studio import api

from ..models import codec as models
from ..models import networks
from ..training import data, model_card, prior, vae_kinds
from ..training import trainer as training
from . import evaluate

if TYPE_CHECKING:
    from torch import Tensor

MINIMUM = 16
DREAM_STEPS = 4000
KL_WEIGHTS = {"spatial": 0.03, "global": 0.3}
"""With 0.3 one of the four channels of a spatial latent goes unused."""
HELD_OUT_SHOWN = 8
HELD_OUT_MOST = 96

WIDTHS: dict[str, dict[str, tuple[int, ...]]] = {
    "spatial": {"small": (16, 32, 64, 96), "medium": (32, 64, 96, 160), "tiny": (8, 8, 8, 16)},
    "global": {"small": (16, 32, 48, 64, 32), "medium": (32, 64, 96, 128, 64), "tiny": (8, 8, 8, 8, 8)},
}


class VaeTrain(api.Tool):
    """Learns from your pictures how to take them apart and put them together, for morphs, blends and dreams."""

    id = "vae.train"
    title = "Train a model"
    output = "model"
    lane = "training"
    pausable = True
    deterministic = False
    icon = "mdi6.school-outline"

    class Params(api.Params):
        folder: api.FolderInput
        """Your pictures, with the folders inside. At least 16; some hundreds are better."""
        more_folders: list[api.FolderInput] = api.param([], max_items=8, title="More folders")
        """Further folders. A small folder is drawn from more often than its size alone would give it."""
        kind: Literal["spatial", "global"] = api.param("spatial", labels=("Detailed", "Dreaming"))
        """Detailed keeps what stands where, and suits large pictures. Dreaming makes new pictures from nothing."""
        title: str = api.param("My model", title="Name")
        """What the model is called in the other tools."""
        size: Literal[64, 128] = api.param(128, title="Picture size", unit="px")
        """The size that it learns and is measured at. A detailed model can be used at any size."""
        steps: int = api.param(6000, ge=1, le=1_000_000, title="Steps")
        """More steps make finer pictures, and take longer."""
        width: Literal["small", "medium", "tiny"] = api.param(
            "small", labels=("Small", "Medium", "Tiny"), title="Network"
        )
        """Medium is finer and about three times as slow. Tiny is for trying out."""
        flips: bool = api.param(True, title="Mirror pictures")
        """Also learns from mirror images. Turn it off when writing must stay readable."""
        start_from: api.ModelChoice | None = api.param(None, model="autoencoder", title="Go on from", advanced=True)
        """A model of the detailed kind that has learnt already. Its network is kept."""
        batch: int = api.param(16, ge=1, le=512, title="Pictures at a time", advanced=True)
        learning_rate: float = api.param(1e-3, ge=1e-7, le=1.0, title="Learning rate", advanced=True)
        kl_weight: float | None = api.param(None, ge=0, le=10, title="KL weight", advanced=True)
        """How much the latents are drawn to a normal distribution: more makes smoother blends, and softer pictures.
        Empty means 0.03 for a detailed model and 0.3 for a dreaming one."""
        kl_warm_up: int = api.param(0, ge=0, le=100_000, title="KL warm-up", unit="steps", advanced=True)
        """The steps over which the KL weight grows to its value."""
        ema: float = api.param(0.999, ge=0, le=0.99999, title="Averaging", advanced=True)
        """The share of the averaged weights that stays at each step."""
        preview_every: int = api.param(250, ge=1, le=100_000, title="Preview every", unit="steps", advanced=True)
        """How often held-out pictures are measured and shown."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        import torch

        folders = [params.folder, *params.more_folders]
        samples, skipped = yield from evaluate.read_all(folders, 2 * params.size)
        if skipped:
            ctx.note("skipped", skipped)
        if len(samples) < MINIMUM:
            raise api.BadInput(
                f"There are {len(samples)} readable pictures in {params.folder.name}, and a training needs {MINIMUM}.",
                "Add pictures or choose another folder.",
            )
        learn, held = data.split(samples)
        trainer = _trainer(params, ctx, learn)
        images = torch.from_numpy(np.stack([data.whole(one, params.size) for one in held[:: _stride(len(held))]]))

        def show_previews(step: int) -> Iterator[api.Event]:
            if step % params.preview_every == 0 or step in (params.preview_every // 10, params.steps):
                _, made = trainer.held_out_loss(images)
                yield api.Preview(strip(images, made), f"Step {step:,}")

        memory_error = f"{params.batch} pictures at a time need more memory than there is."
        yield from trainer.run(ctx, params.steps, after_step=show_previews, memory_error=memory_error)
        trainer.take_best()
        if params.kind == "global":
            yield from _learn_to_dream(trainer, params, ctx, learn)
        yield self._result(trainer, params, ctx, learn, held)

    def _result(
        self,
        trainer: training.Trainer,
        params: Params,
        ctx: api.Context,
        learn: Sequence[data.Sample],
        held: Sequence[data.Sample],
    ) -> api.Trained:
        folder = ctx.scratch / "model"
        trainer.kind.save(trainer.ema, folder, _latents(trainer, held, params.size))
        groups = evaluate.names_of([params.folder, *params.more_folders])
        measured = evaluate.psnr_by_folder(trainer.reconstruct, held, groups, params.size)
        facts = model_card.Facts(
            title=params.title,
            kind=params.kind,
            size=params.size,
            pictures={name: sum(one.group == number for one in learn) for number, name in enumerate(groups)},
            held_out=measured,
            seed=ctx.seed,
            steps=trainer.state.step,
            minutes=trainer.state.seconds / 60,
            parameters=sum(value.numel() for value in trainer.ema.parameters()),
        )
        (folder / "README.md").write_text(model_card.text(facts), encoding="utf-8")
        notes = {"held_out_psnr": measured, "held_out_loss": trainer.best, "steps": trainer.state.step}
        return api.Trained(folder, params.title, trainer.kind.name, notes)


def _trainer(params: VaeTrain.Params, ctx: api.Context, learn: list[data.Sample]) -> training.Trainer:
    import torch

    torch.manual_seed(ctx.seed)
    spatial = params.kind == "spatial"
    channels = WIDTHS[params.kind][params.width]
    if params.start_from:
        model = _start(params.start_from, params.kind, ctx)
    elif spatial:
        model = networks.spatial_vae(channels, params.size)
    else:
        model = networks.global_vae(networks.GlobalConfig(size=params.size, channels=channels))
    schedule = training.Schedule(
        steps=params.steps,
        learning_rate=params.learning_rate,
        kl_weight=KL_WEIGHTS[params.kind] if params.kl_weight is None else params.kl_weight,
        kl_warm_up=params.kl_warm_up,
        ema=params.ema,
    )
    views = data.Views(
        learn,
        size=params.size // 2 if spatial and params.size >= 128 else params.size,
        count=params.batch,
        seed=ctx.seed,
        cover=(0.35, 0.8) if spatial else (0.92, 1.0),
        flips=params.flips,
        white=0.6 if spatial else 1.0,
    )
    kind: training.Kind = vae_kinds.Spatial() if spatial else vae_kinds.Global()
    return training.Trainer(model, kind, schedule, views.batch, ctx.checkpoint_dir, seed=ctx.seed, device=ctx.device)


def _start(choice: str, kind: str, ctx: api.Context) -> Any:
    """A copy, since the loaded model stays in use elsewhere."""
    codec = models.load(ctx, choice)
    wanted = models.KlCodec if kind == "spatial" else models.GlobalCodec
    if not isinstance(codec, wanted):
        raise api.BadInput(f"{codec.title} is of another kind than the model to train.", "Choose another.")
    return copy.deepcopy(codec.network).requires_grad_(True)


def _learn_to_dream(
    trainer: training.Trainer, params: VaeTrain.Params, ctx: api.Context, learn: Sequence[data.Sample]
) -> Iterator[api.Event]:
    """Quick beside the training itself, so it is not kept in between."""
    import torch

    model: Any = trainer.ema
    found: list[tuple[Tensor, Tensor]] = []
    for start in range(0, len(learn), 64):
        images = torch.from_numpy(np.stack([data.whole(one, params.size) for one in learn[start : start + 64]]))
        views = torch.cat([images, images.flip(-1)]) if params.flips else images
        with torch.no_grad():
            found.append(model.encode(views.to(trainer.device)))
        yield api.Progress(params.steps, params.steps, "Learning to dream")
    mean, logvar = (torch.cat(parts) for parts in zip(*found, strict=True))
    for step in prior.fit(model, mean, logvar, min(params.steps, DREAM_STEPS), ctx.seed):
        if step % 100 == 0:
            yield api.Progress(params.steps, params.steps, "Learning to dream")
    noise = torch.randn(2 * HELD_OUT_SHOWN, mean.shape[1], generator=ctx.generator())
    with torch.no_grad():
        dreams = model.decode(model.dream(noise.to(trainer.device))).cpu()
    yield api.Preview(strip(*dreams.chunk(2)), "Dreams")


def strip(images: Tensor, made: Tensor) -> Any:
    """Up to eight originals, from all folders, over their reconstructions, as one picture."""
    import torch

    some = range(0, len(images), -(-len(images) // HELD_OUT_SHOWN))
    rows = [torch.cat([part[number] for number in some], dim=2) for part in (images, made)]
    picture = ((torch.cat(rows, dim=1).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return np.ascontiguousarray(picture.permute(1, 2, 0).cpu().numpy())


def _stride(count: int) -> int:
    return -(-count // HELD_OUT_MOST)


def _latents(trainer: training.Trainer, held: Sequence[data.Sample], size: int) -> Tensor:
    import torch

    images = torch.from_numpy(np.stack([data.whole(one, size) for one in held[:256]]))
    with torch.no_grad():
        parts = [part.to(trainer.device) for part in torch.split(images, 8)]
        return torch.cat([trainer.kind.posterior(trainer.ema, part)[0].float() for part in parts])
