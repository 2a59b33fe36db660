"""Train a style of one's own, from paintings or from an effect."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Literal

from studio import api

from ..effects import registry
from ..inference import checkerboard_detection
from ..models import generators
from ..training import base, data, model_card, presets
from ..training.metrics import HeldOut

PHOTOS = 2
THUMBNAIL = "preview.webp"


class StyleTrain(api.Tool):
    """Learns a style from paintings, or an effect from any photos, and makes a style tile of it."""

    id = "style.train"
    title = "Train a style"
    output = "model"
    lane = "training"
    pausable = True
    deterministic = False
    icon = "mdi6.school-outline"

    class Params(api.Params):
        folder: api.FolderInput
        """Any photos, with the folders inside. Some hundreds are best, of such things as you will paint over."""
        more_folders: list[api.FolderInput] = api.param([], max_items=8, title="More photos")
        """Further folders of photos."""
        kind: presets.Kind = api.param(
            "effect", labels=("An effect", "A few paintings", "Many paintings", "Many paintings, both ways")
        )
        """An effect needs photos alone. A few paintings give their colours and strokes within an hour. Many paintings,
        a hundred or more, teach what a painter makes of things (CUT); both ways takes three times as long, and keeps
        the photo more strictly (CycleGAN)."""
        effect: registry.Effect = api.param("ink", labels=registry.LABELS)
        """Which effect it learns."""
        paintings: api.FolderInput | None = api.param(None, title="Paintings")
        """What the style is learnt from. Not needed for an effect."""
        only: list[str] = api.param([], max_items=50, title="Only paintings with")
        """Words that a painting's file name, or its line in captions.jsonl, must have one of: the painters' names."""
        title: str = api.param("My style", title="Name")
        """What the style is called on its tile."""
        steps: int | None = api.param(None, ge=1, le=1_000_000, title="Steps")
        """Empty means 6,000 for an effect, 3,000 for a few paintings, 10,000 for many."""
        size: Literal[64, 128, 256] = api.param(128, title="Crops", unit="px")
        """How much it sees at a time. Larger crops teach larger forms, and take longer."""
        closer: float = api.param(2.0, ge=1, le=8, title="Look closer at paintings", unit="×")
        """How much larger the paintings' strokes come out than if photo and painting were both seen as a whole.
        Much needs large scans."""
        network: presets.Size = api.param("small", labels=("Small", "Medium", "Large", "Tiny"))
        """Small paints quickest, with less than 1 MB. Large is the network of the CycleGAN authors. Tiny is for
        trying out."""
        flips: bool = api.param(True, title="Mirror pictures")
        """Also learns from mirror images."""
        batch: int | None = api.param(None, ge=1, le=256, title="Crops at a time", advanced=True)
        """Empty means 4 for an effect and a few paintings, 2 for many, 1 for both ways."""
        learning_rate: float | None = api.param(None, ge=1e-7, le=1.0, title="Learning rate", advanced=True)
        """Empty means 0.001 for an effect and a few paintings, 0.0002 for many. It falls to zero in the second half."""
        ema: float = api.param(0.999, ge=0, le=0.99999, title="Averaging", advanced=True)
        """The share of the averaged weights that stays at each step."""
        preview_every: int = api.param(250, ge=1, le=100_000, title="Preview every", unit="steps", advanced=True)
        """How often held-out pictures are painted, measured and shown."""
        style: float = api.param(3.0, ge=0, le=100, title="Paintings", advanced=True, group="A few paintings")
        """How much the paintings' strokes and colours count."""
        content: float = api.param(1.0, ge=0, le=100, title="Photo", advanced=True, group="A few paintings")
        """How much the photo's light and dark count."""
        patches: float = api.param(1.0, ge=0, le=100, title="Patches", advanced=True, group="Many paintings")
        """How much each patch must stay like its own place in the photo."""
        cycle: float = api.param(10.0, ge=0, le=100, title="Way back", advanced=True, group="Both ways")
        """How much a picture must come back as it was."""
        identity: float = api.param(0.5, ge=0, le=10, title="Identity", advanced=True, group="Both ways")
        """How much a painting must stay as it is, as a share of the way back. 0 spares a third of the time."""
        pool: int = api.param(50, ge=0, le=500, title="Image pool", unit="pictures", advanced=True, group="Both ways")
        """How many older pictures the discriminators look back at."""
        adversarial: float | None = api.param(None, ge=0, le=10, title="Discriminator", advanced=True, group="Effect")
        """How much a discriminator counts. Empty means what suits the effect: 1 for stained glass, else little or
        none."""

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate:  # noqa: ARG002
        numbers = presets.NUMBERS[params.kind]
        crops = (params.steps or numbers.steps) * (params.batch or numbers.batch)
        photos = sum(data.count(folder) for folder in (params.folder, *params.more_folders))
        notes = {"folder": _told(photos, numbers.photos)}
        if params.kind != "effect" and params.paintings and not params.only:
            notes["paintings"] = _told(data.count(params.paintings), numbers.paintings)
        rate = f"style.train.{params.kind}.{params.network}"
        return api.Estimate(work=crops * (params.size / 128) ** 2, rate=rate, notes=notes)

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        numbers = presets.NUMBERS[params.kind]
        photos, paintings = yield from _read(params, ctx)
        _enough(params.folder, "photos", len(photos), PHOTOS)
        if params.paintings and params.kind != "effect":
            _enough(params.paintings, "paintings", len(paintings), numbers.least)
        yield _said(params.kind, numbers, len(photos), len(paintings))
        pictures = _parted(photos, paintings)
        teaching, held = presets.begun(params, pictures, ctx.checkpoint_dir, seed=ctx.seed, device=ctx.device)
        steps = teaching.plan.steps

        def show_previews(step: int) -> Iterator[api.Event]:
            if step % params.preview_every == 0 or step in (params.preview_every // 10, steps):
                yield api.Preview(teaching.strip(held, teaching.measure(held)), f"Step {step:,}")

        batch = params.batch or numbers.batch
        memory_error = f"{batch} crops of {params.size} px at a time need more memory than there is."
        yield from teaching.run(ctx, steps, after_step=show_previews, memory_error=memory_error)
        yield self._result(teaching, held, params, ctx, pictures)

    def _result(
        self,
        teaching: base.StyleTraining,
        held: HeldOut,
        params: StyleTrain.Params,
        ctx: api.Context,
        pictures: presets.Pictures,
    ) -> api.Trained:
        folder = ctx.scratch / "style"
        best, measured = teaching.take_best()
        generators.save(teaching.ema, folder, presets.config(params.kind, params.network))
        painted = teaching.paint(held.photos)
        counts = {"photos": len(pictures.photos)}
        if pictures.paintings:
            counts |= {"paintings": len(pictures.paintings)}
        facts = model_card.Facts(
            title=params.title,
            kind=f"effect: {params.effect}" if params.kind == "effect" else params.kind,
            size=params.size,
            pictures=counts,
            seed=ctx.seed,
            steps=teaching.state.step,
            best_step=best,
            minutes=teaching.state.seconds / 60,
            parameters=sum(value.numel() for value in teaching.ema.parameters()),
            measured=measured,
            checkerboard=_checkerboard(painted),
        )
        (folder / "README.md").write_text(model_card.text(facts), encoding="utf-8")
        _picture(painted[0]).save(folder / THUMBNAIL, quality=90)
        notes = {"measured": measured, "best_step": best, "steps": facts.steps, "checkerboard": facts.checkerboard}
        return api.Trained(folder, params.title, "style", notes)


def _read(
    params: StyleTrain.Params, ctx: api.Context
) -> Generator[api.Event, None, tuple[list[data.Sample], list[data.Sample]]]:
    """(photos, paintings)."""
    photos: list[data.Sample] = []
    paintings: list[data.Sample] = []
    skipped: dict[str, str] = {}
    for folder in (params.folder, *params.more_folders):
        some, broken = yield from data.read_all(folder, 2 * params.size)
        photos += some
        skipped |= broken
    if params.kind != "effect":
        if params.paintings is None:
            raise api.BadInput("This kind of training learns from paintings.", "Choose a folder of paintings.")
        seen = round(2 * params.size * params.closer)
        paintings, broken = yield from data.read_all(params.paintings, seen, params.only)
        skipped |= broken
    if skipped:
        ctx.note("skipped", skipped)
    return photos, paintings


def _enough(folder: Path, what: str, count: int, least: int) -> None:
    if count >= least:
        return
    are = "is 1" if count == 1 else f"are {count or 'no'}"
    one = what.removesuffix("s") if count == 1 else what
    raise api.BadInput(
        f"There {are} readable {one} in {folder.name}, and this training needs {least}.",
        "Add pictures or choose another folder.",
    )


def _said(kind: str, numbers: presets.Numbers, photos: int, paintings: int) -> api.Notice:
    has = f"{photos:,} photos" + (f" and {_counted(paintings, 'painting')}" if paintings else "")
    few = [
        f"{wanted} {what}"
        for what, count, wanted in (("photos", photos, numbers.photos), ("paintings", paintings, numbers.paintings))
        if count < wanted
    ]
    if not few:
        return api.Notice(f"Learns from {has}.")
    advice = " “A few paintings” suits so few better." if kind in ("cut", "cyclegan") and paintings < 30 else ""
    return api.Notice(f"{has[0].upper() + has[1:]} are few: {' and '.join(few)} are better.{advice}", "warning")


def _told(count: int, wanted: int) -> str:
    if not count:
        return "no pictures"
    most = f"{count:,}{' or more' if count >= data.MOST else ''}"
    return f"{most} pictures" + (f", few: {wanted} are better" if count < wanted else "")


def _counted(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count:,} {what}s"


def _parted(photos: list[data.Sample], paintings: list[data.Sample]) -> presets.Pictures:
    learn, held = data.split(photos)
    if not paintings:
        return presets.Pictures(learn, [], held, [])
    learn_paintings, held_paintings = data.split(paintings)
    return presets.Pictures(learn, learn_paintings, held, held_paintings)


def _checkerboard(painted: Any) -> float:
    return float(checkerboard_detection.energy(painted))


def _picture(image: Any) -> Any:
    from PIL import Image

    values = ((image.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0)
    return Image.fromarray(values.contiguous().numpy())
