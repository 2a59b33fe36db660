"""Train a diffusion model of one's own, from pictures and words."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from studio import api

from ..models import loader
from ..training import base_model, captions, dataset, lora, model_card, small_model
from ..training import trainer as training

if TYPE_CHECKING:
    from torch import Tensor

MINIMUM = 8
MOST = 10_000
"""More pictures are left aside, since all are held in memory (up to 64 KB each at 128 px)."""
CHECKPOINT_SECONDS = 60.0
TOKENIZER = "vocabulary"
SHOWN = 12
"""Prompts that are painted for a preview, at most."""
WATCHED = (
    "a red apple, 3d",
    "a fox, 3d",
    "a house, flat",
    "a blue butterfly, flat",
    "an owl, 3d",
    "a yellow sun on a blue ground, flat",
    "a red apple and a fox on a blue ground, 3d",
    "a snowman, flat",
)


@dataclass(frozen=True)
class Numbers:
    """What suits a kind of training where the artist says nothing else."""

    steps: int
    batch: int
    learning_rate: float

    def but(self, params: TrainDiffusion.Params) -> Numbers:
        return Numbers(
            params.steps or self.steps, params.batch or self.batch, params.learning_rate or self.learning_rate
        )


NUMBERS = {"new": Numbers(15_000, 64, 1e-3), "full": Numbers(5000, 64, 5e-4), "lora": Numbers(1000, 4, 2e-4)}


@dataclass(frozen=True)
class Watch:
    """Paints some prompts now and then. `side` is that of the latents."""

    prompts: list[str]
    vae: Any
    side: int

    def sheet(self, parts: small_model.Components, ctx: api.Context) -> Any:
        """What is painted for the prompts, from the same noise at each call, as one picture [h, w, 3] of 8 bits."""
        import torch

        shape = (len(self.prompts), parts.unet.config.in_channels, self.side, self.side)
        noise = torch.randn(shape, generator=ctx.generator())
        latents = small_model.sample_latents(parts, self.prompts, noise, device=ctx.device)
        pictures = small_model.decode_latents(self.vae, latents).cpu()
        across = min(4, len(self.prompts))
        down = math.ceil(len(self.prompts) / across)
        side = pictures.shape[-1]
        whole = torch.ones(down * across, 3, side, side)
        whole[: len(self.prompts)] = pictures
        whole = whole.view(down, across, 3, side, side).permute(0, 3, 1, 4, 2).reshape(down * side, across * side, 3)
        return np.ascontiguousarray(((whole + 1) * 127.5).round().to(torch.uint8).numpy())


class TrainDiffusion(api.Tool):
    """Learns from your pictures, and the words for them, how to paint from words."""

    id = "diffusion.train"
    title = "Train a model"
    output = "model"
    lane = "training"
    pausable = True
    deterministic = False
    icon = "mdi6.school-outline"

    class Params(api.Params):
        folder: api.FolderInput
        """Your pictures, with the folders inside. What a picture shows stands in NAME.txt beside it, in
        captions.jsonl, or in its file name."""
        more_folders: list[api.FolderInput] = api.param([], max_items=8, title="More folders")
        kind: Literal["new", "full", "lora"] = api.param("new", labels=("A new model", "Teach a model more", "A LoRA"))
        """A new, small model learns everything from some thousands of pictures. A model that can paint already can be
        taught more, as a whole, or by a LoRA: a small file for it, from a dozen pictures on."""
        model: api.ModelChoice = api.param(loader.STARTER, model="diffusion", title="Model to teach")
        """Not for a new model: Stable Diffusion 1 or 2, or one trained here; for a LoRA also XL."""
        title: str = api.param("My model", title="Name")
        """What the model is called in the other tools."""
        prompts: list[str] = api.param([], max_items=SHOWN, title="Prompts to watch")
        """They are painted now and then, to show what has been learnt."""
        size: Literal[64, 128, 256, 512, 1024] = api.param(128, title="Picture size", unit="px")
        steps: int | None = api.param(None, ge=1, le=1_000_000, title="Steps")
        """More steps make clearer pictures, and take longer. Empty means 15,000 for a new model, 5,000 to teach
        more, 1,000 for a LoRA."""
        rank: int = api.param(8, ge=1, le=256, title="Size of the LoRA", advanced=True)
        """More can learn finer things, and needs more pictures."""
        width: Literal["small", "medium", "tiny"] = api.param(
            "small", labels=("Small", "Medium", "Tiny"), title="Network"
        )
        """Medium learns more and is several times as slow. Tiny is for trying out."""
        flips: bool = api.param(True, title="Mirror pictures")
        """Also learns from mirror images, where neither sides nor writing matter."""
        pairs: int = api.param(4000, ge=0, le=100_000, title="Pictures of two")
        """Puts pictures with a clear ground together by twos, to learn "a fox and a house on a blue ground". Their
        halves are mixed anew while it learns, so that a few thousand teach millions of pairs."""
        pair_share: float = api.param(dataset.PAIR_SHARE, ge=0, le=0.9, title="Share of pictures of two", advanced=True)
        """How often one of them is drawn. More teach better that there are two, and less what each is."""
        vae: api.ModelChoice = api.param("vae-spatial", model="autoencoder", title="Autoencoder", advanced=True)
        """Of a new model: what turns latents into pictures. A starter is named in it, any other is written into it."""
        batch: int | None = api.param(None, ge=1, le=1024, title="Pictures at a time", advanced=True)
        """Empty means 64, for a LoRA 4."""
        learning_rate: float | None = api.param(None, ge=1e-7, le=1.0, title="Learning rate", advanced=True)
        """Empty means 0.001 for a new model, 0.0005 to teach more, 0.0002 for a LoRA."""
        ema: float = api.param(0.999, ge=0, le=0.99999, title="Averaging", advanced=True)
        """The share of the averaged weights that stays at each step."""
        preview_every: int = api.param(250, ge=1, le=100_000, title="Preview every", unit="steps", advanced=True)

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        import torch

        folders = [params.folder, *params.more_folders]
        pictures, skipped, counts = yield from read_all(folders, params.size)
        if skipped:
            ctx.note("skipped", skipped)
        if len(pictures.subjects) < MINIMUM:
            raise api.BadInput(
                f"There are {len(pictures.subjects)} readable pictures in {params.folder.name}, "
                f"and a training needs {MINIMUM}.",
                "Add pictures or choose another folder.",
            )
        torch.manual_seed(ctx.seed)
        base = _base(params, ctx)
        if base:
            vae, lent = base.vae, base.lent
            place = ctx.starter(lent) if lent else base.place / "vae"
            if 2 * params.size <= base.side:
                yield api.Notice(
                    f"{base.title} paints {base.side} px, and learns from pictures of {params.size} px: what it learns "
                    "may come out blurred. A larger picture size is slower and clearer.",
                    "warning",
                )
        else:
            vae, place, lent = autoencoder(params.vae, ctx)
        numbers = NUMBERS[params.kind].but(params)
        latents = yield from _latents(params, ctx, pictures, vae, place, numbers.batch)
        trainer = _trainer(params, ctx, latents, base, numbers)
        prompts = watched(params.prompts, pictures.subjects)
        watch = Watch(prompts, vae, int(latents.values.shape[-1]))

        def show_previews(step: int) -> Iterator[api.Event]:
            if step % params.preview_every == 0 or step == numbers.steps:
                yield api.Preview(watch.sheet(trainer.averaged, ctx), f"Step {step:,}")

        memory_error = f"{numbers.batch} pictures at a time need more memory than there is."
        yield from trainer.run(
            ctx, numbers.steps, after_step=show_previews, memory_error=memory_error, save_every=CHECKPOINT_SECONDS
        )
        yield self._result(trainer, params, ctx, counts, prompts, vae, lent, base)

    def _result(
        self,
        trainer: training.Trainer,
        params: TrainDiffusion.Params,
        ctx: api.Context,
        counts: dict[str, int],
        prompts: Sequence[str],
        vae: Any,
        lent: str,
        base: base_model.BaseModel | None,
    ) -> api.Trained:
        folder = ctx.scratch / "model"
        folder.mkdir(parents=True, exist_ok=True)
        count = sum(value.numel() for value in trainer.ema.parameters())
        is_lora = params.kind == "lora"
        if is_lora:
            count = lora.save_lora(trainer.averaged, folder)
        else:
            small_model.save_pipeline(trainer.averaged, folder, None if lent else vae)
        borrowed = {"vae": lent} if lent and not is_lora else {}
        facts = model_card.Facts(
            title=params.title,
            size=params.size,
            pictures=counts,
            seed=ctx.seed,
            steps=trainer.state.step,
            minutes=trainer.state.seconds / 60,
            parameters=count,
            loss=trainer.state.loss,
            prompts=prompts,
            borrowed=borrowed.get("vae", ""),
            base=base.title if base else "",
            is_lora=is_lora,
        )
        (folder / "README.md").write_text(model_card.text(facts), encoding="utf-8")
        if borrowed:
            small_model.write_component_names(folder, borrowed)
        notes = {"loss": round(trainer.state.loss, 4), "steps": trainer.state.step, "components": borrowed}
        return api.Trained(folder, params.title, "lora" if is_lora else "diffusion", notes)


def _base(params: TrainDiffusion.Params, ctx: api.Context) -> base_model.BaseModel | None:
    match params.kind:
        case "lora":
            return lora.prepare_lora_training(ctx, params.model, params.rank, params.size)
        case "full":
            return base_model.prepare_full_training(ctx, params.model, params.size)
        case _:
            return None


def read_all(
    folders: Sequence[Path], size: int
) -> Generator[api.Event, None, tuple[dataset.LoadedImages, dict[str, str], dict[str, int]]]:
    """Reads the folders' pictures, saying how far it is: (pictures, {name: why it was skipped}, {folder: count})."""
    subjects: list[captions.Subject] = []
    pixels: list[Any] = []
    skipped: dict[str, str] = {}
    counts: dict[str, int] = {}
    told = [(folder, captions.read_captions(folder, dataset.find_images(folder))) for folder in folders]
    every = -(-sum(len(some) for _, some in told) // MOST)
    if every > 1:
        yield api.Notice(f"There are more than {MOST:,} pictures, and only one in {every} is used.", "warning")
    for folder, some in told:
        before = len(subjects)
        for number, subject in enumerate(some[:: max(1, every)]):
            if number % 50 == 0:
                yield api.Progress(0, 0, f"Reading pictures: {number:,}")
            try:
                named, seen = dataset.read_image(subject, size)
            except api.BadInput as error:
                skipped[subject.path.name] = str(error)
                continue
            subjects.append(named)
            pixels.append(seen)
        name = folder.name if folder.name not in counts else str(folder)
        counts[name] = len(subjects) - before
    if skipped:
        first = ", ".join([*skipped][:10]) + (f" and {len(skipped) - 10} more" if len(skipped) > 10 else "")
        yield api.Notice(
            f"Skipped, because {'it' if len(skipped) == 1 else 'they'} cannot be read: {first}.", "warning"
        )
    return dataset.LoadedImages(subjects, pixels), skipped, counts


def autoencoder(choice: str, ctx: api.Context) -> tuple[Any, Path, str]:
    """(an `AutoencoderKL`, its folder, its name if it is a starter). Raises BadInput when it cannot be loaded."""
    import torch
    from diffusers import AutoencoderKL

    place = ctx.model(choice)
    if not isinstance(place, Path) or not (place / "config.json").is_file():
        raise api.BadInput(f"{choice} is no autoencoder's folder.", "Choose an autoencoder that lies on this machine.")
    try:
        vae = AutoencoderKL.from_pretrained(place, torch_dtype=torch.float32, use_safetensors=True)
    except (OSError, ValueError, RuntimeError, TypeError, KeyError) as error:
        raise api.BadInput(f"{choice} cannot be loaded as an autoencoder.", "Choose another.") from error
    try:
        is_starter = Path(choice).name == choice and ctx.starter(choice).resolve() == place.resolve()
    except api.BadInput:
        is_starter = False
    return vae.to(ctx.device).eval().requires_grad_(False), place, choice if is_starter else ""


def watched(prompts: Sequence[str], subjects: Sequence[captions.Subject]) -> list[str]:
    """The prompts to paint while it learns: those asked for, else some that the pictures are named by."""
    asked = [prompt for prompt in prompts if prompt.strip()]
    if asked:
        return asked[:SHOWN]
    if {subject.style for subject in subjects} >= {*captions.STYLES}:
        return [*WATCHED]
    some = subjects[:: max(1, len(subjects) // 8)][:8]
    return [captions.complete_caption(subject.noun, style=subject.style) for subject in some]


def _latents(
    params: TrainDiffusion.Params, ctx: api.Context, pictures: dataset.LoadedImages, vae: Any, place: Path, batch: int
) -> Generator[api.Event, None, dataset.LatentDataset]:
    import torch

    items = dataset.plan_items(pictures, flips=params.flips, pairs=params.pairs, seed=ctx.seed)
    key = dataset.compute_cache_key(items, pictures, params.size, place)
    values = dataset.load_latents(ctx.checkpoint_dir, key)
    found: list[Tensor] = [] if values is None else [values]
    first = sum(map(len, found))
    saved = time.monotonic()
    for done, part in dataset.encode_items(vae, items, pictures, params.size, ctx.device, first=first):
        found.append(part)
        yield api.Progress(0, 0, f"Taking pictures apart: {done:,} of {len(items):,}")
        pausing = ctx.pause_requested and done < len(items)
        if pausing or done == len(items) or time.monotonic() - saved > CHECKPOINT_SECONDS:
            dataset.save_latents(ctx.checkpoint_dir, key, torch.cat(found))
            saved = time.monotonic()
        if pausing:
            raise api.Paused
    values = torch.cat(found)
    return dataset.LatentDataset(items, pictures.subjects, values, batch, ctx.seed, params.pair_share)


def _trainer(
    params: TrainDiffusion.Params,
    ctx: api.Context,
    latents: dataset.LatentDataset,
    base: base_model.BaseModel | None,
    numbers: Numbers,
) -> training.Trainer:
    channels, side = latents.values.shape[1:3]
    if base:
        parts = base.parts
    else:
        shape = small_model.NETWORK_SIZES[params.width]
        parts = small_model.build_components(latents.words(), shape, channels, side, ctx.scratch / TOKENIZER)
    warm_up = min(200, numbers.steps // 10)
    schedule = training.LearningRateSchedule(numbers.steps, numbers.learning_rate, params.ema, warm_up)
    return training.Trainer(parts, schedule, latents.batch, ctx.checkpoint_dir, seed=ctx.seed, device=ctx.device)
