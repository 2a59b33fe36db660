"""Train a writer on one's own texts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from studio import api

from .. import documents
from ..documents import Document
from ..models import architectures, gguf, lora, transformers_loader, writer
from ..models import tokenizer as vocabulary
from ..training import model_card, samples, token_streams
from ..training import trainer as training

Kind: TypeAlias = Literal["new", "masked", "full", "lora"]
LEAST = 2
"""Documents: one to learn from and one to measure on."""
CHECKPOINT_SECONDS = 60.0
AT_ONCE = 200
"""Documents that are turned into tokens together."""
LIVE_TOKENS, CARD_TOKENS = 60, 160
CARD_SAMPLES = 10
PROMPTS = ("Once upon a time, a fox", "The moon was")
GAPS = (("Once upon a time there was a little ", " who lived in the forest."), ("The king said: ", ", my daughter!"))


@dataclass(frozen=True)
class Numbers:
    """What suits a kind of training where the artist says nothing else."""

    steps: int
    batch: int
    learning_rate: float


NUMBERS = {
    "new": Numbers(6000, 16, 2e-3),
    "masked": Numbers(6000, 32, 2e-3),
    "full": Numbers(1500, 16, 5e-4),
    "lora": Numbers(1000, 16, 1e-3),
}


class WriterTrain(api.Tool):
    """Learns from your texts how to write on, or which words fit into a gap."""

    id = "writer.train"
    title = "Train a writer"
    output = "model"
    lane = "training"
    pausable = True
    deterministic = False
    icon = "mdi6.school-outline"

    class Params(api.Params):
        folder: api.FolderInput
        """Your texts, with the folders inside: .txt, .md, or .jsonl (also .jsonl.xz) with a title and a text a line. A
        file's name tells what it holds: stories, tales, poems or books."""
        more_folders: list[api.FolderInput] = api.param([], max_items=8, title="More folders")
        only: list[str] = api.param([], max_items=50, title="Only files with")
        """Words of which a file's name must have one."""
        kind: Kind = api.param(
            "new", labels=("A new writer", "A new guesser of words", "Teach a writer more", "A LoRA")
        )
        """A new, small writer learns everything from some megabytes of text. A guesser says which words fit into a
        gap. A writer that is there can be taught more, as a whole, or by a LoRA: a small file beside it."""
        model: api.ModelChoice = api.param("", model="language", title="Writer to teach")
        """For teaching a writer more, or for a LoRA: one trained here, or a folder in transformers' format. A guesser
        that begins with the words of a writer trained here learns far sooner."""
        title: str = api.param("My writer", title="Name")
        prompts: list[api.Prompt] = api.param([], max_items=4, title="Beginnings to watch")
        """They are written on now and then, to show what has been learnt."""
        steps: int | None = api.param(None, ge=1, le=1_000_000, title="Steps")
        """Empty means 6,000 for something new, 1,500 to teach more, 1,000 for a LoRA."""
        size: Literal["small", "medium", "large", "tiny"] = api.param(
            "small", labels=("Small", "Medium", "Large", "Tiny"), title="Network"
        )
        """Of something new. Larger ones learn more, and take longer. Tiny is for trying out."""
        context: int = api.param(
            256, ge=16, le=architectures.LONGEST, title="Reads at once", unit="tokens", advanced=True
        )
        vocabulary: int = api.param(3072, ge=300, le=60_000, title="Vocabulary", unit="tokens", advanced=True)
        """Of something new: how many pieces of words it knows."""
        batch: int | None = api.param(None, ge=1, le=1024, title="Pieces at a time", advanced=True)
        """Empty means 16, for a guesser 32."""
        learning_rate: float | None = api.param(None, ge=1e-7, le=1.0, title="Learning rate", advanced=True)
        """Empty means 0.002 for something new, 0.0005 to teach more, 0.001 for a LoRA."""
        rank: int = api.param(8, ge=1, le=256, title="Size of the LoRA", advanced=True)
        """More can learn finer things, and needs more text."""
        eight_bits: bool = api.param(False, title="Half as large", advanced=True)
        """Keeps weights in 8 bits and not in 16. What is measured, and the samples on the card, are of what is kept."""
        held_out: float = api.param(
            documents.HELD_OUT_SHARE, ge=0.0, le=0.5, title="Held out", unit="of the texts", advanced=True
        )
        """The share of the texts that is not learnt from, but measured on. At least one."""
        ema: float = api.param(0.999, ge=0, le=0.99999, title="Averaging", advanced=True)
        """The share of the averaged weights that stays at each step."""
        preview_every: int = api.param(250, ge=1, le=100_000, title="Sample every", unit="steps", advanced=True)

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        import torch

        texts, skipped, counts = yield from read_all([params.folder, *params.more_folders], params.only)
        if skipped:
            ctx.note("skipped", skipped)
        if len(texts) < LEAST:
            count = "is 1 text" if texts else "are no texts"
            raise api.BadInput(
                f"There {count} in {params.folder.name}, and a training needs {LEAST}.",
                "Add texts or choose another folder.",
            )
        torch.manual_seed(ctx.seed)
        base = _base(params, ctx)
        yield api.Progress(0, 0, "Learning the vocabulary")
        tokenizer = vocabulary.opened(base) if base else _vocabulary(texts, params, ctx)
        if params.kind == "masked" and tokenizer.mask_token_id is None:
            raise api.BadInput("The words of this writer have no token for a gap.", "Choose one that was trained here.")
        learn, held = yield from _tokens(texts, tokenizer, params, ctx)
        usual = NUMBERS[params.kind]
        plan = training.Plan(
            steps=params.steps or usual.steps,
            learning_rate=params.learning_rate or usual.learning_rate,
            batch=params.batch or usual.batch,
            context=params.context,
            ema=params.ema,
            seed=ctx.seed,
            device=ctx.device,
        )
        model = _model(params, tokenizer, base)
        mask = tokenizer.mask_token_id if params.kind == "masked" else None
        trainer = training.Trainer(model, learn, plan, ctx.checkpoint_dir, mask=mask)

        def show_previews(step: int) -> Iterator[api.Event]:
            if step % params.preview_every == 0 or step == plan.steps:
                perplexity = trainer.measure(held)
                sample = "\n\n".join(made for _, made in _samples(trainer, tokenizer, params, LIVE_TOKENS, 2))
                yield api.Preview(sample, f"Step {step:,} · held-out perplexity {perplexity:.1f}")

        memory_error = f"{plan.batch} pieces of {plan.context} tokens at a time need more memory than there is."
        yield from trainer.run(
            ctx, plan.steps, after_step=show_previews, memory_error=memory_error, save_every=CHECKPOINT_SECONDS
        )
        folder = ctx.scratch / "writer"
        if params.kind == "lora":
            lora.save(trainer.ema, folder)
        else:
            if params.eight_bits:
                architectures.round_to_eight_bits(trainer.ema)
            architectures.save(trainer.ema, tokenizer, folder, eight_bits=params.eight_bits)
        perplexity = trainer.measure(held)
        credit = model_card.credits([(one.title, one.credit) for one in texts if one.credit], base)
        if credit:
            (folder / model_card.CREDITS).write_text(credit, encoding="utf-8")
        facts = model_card.Facts(
            title=params.title,
            kind=params.kind,
            base=writer.title(base) if base else "",
            credited=bool(credit),
            eight_bits=params.eight_bits,
            documents=counts,
            tokens=learn.count(),
            seen=plan.steps * plan.batch * plan.context,
            seed=ctx.seed,
            steps=plan.steps,
            minutes=trainer.state.seconds / 60,
            parameters=sum(value.numel() for value in trainer.model.parameters() if value.requires_grad),
            perplexity=perplexity,
            held_tokens=int(held.in_order(plan.context, training.MEASURED).size),
            samples=_samples(trainer, tokenizer, params, CARD_TOKENS, CARD_SAMPLES),
        )
        (folder / "README.md").write_text(model_card.text(facts), encoding="utf-8")
        notes = {"perplexity": round(perplexity, 2), "steps": plan.steps, "loss": round(trainer.state.loss, 4)}
        kind = "masked-language" if params.kind == "masked" else "language"
        yield api.Trained(folder, params.title, kind, notes)


def read_all(
    folders: Sequence[Path], only: Sequence[str]
) -> Generator[api.Event, None, tuple[list[Document], dict[str, str], dict[str, int]]]:
    """Reads the folders' texts: (documents, {file: why it was skipped}, {file: documents in it})."""
    found: list[Document] = []
    skipped: dict[str, str] = {}
    counts: dict[str, int] = {}
    for folder in folders:
        for path in documents.find(folder, only):
            yield api.Progress(0, 0, f"Reading {path.name}")
            try:
                some = documents.read(path)
            except api.BadInput as error:
                skipped[path.name] = str(error)
                continue
            if damaged := sum(one.is_damaged for one in some):
                some = [one for one in some if not one.is_damaged]
                what = "1 text" if damaged == 1 else f"{damaged:,} texts"
                yield api.Notice(f"Left out {what} of {path.name} in which letters were lost.", "warning")
            found += some
            group = path.name if len(some) > 1 else f"{path.parent.name}/*{path.suffix}"
            counts[group] = counts.get(group, 0) + len(some)
    if skipped:
        first = ", ".join([*skipped][:10]) + (f" and {len(skipped) - 10} more" if len(skipped) > 10 else "")
        which = "it" if len(skipped) == 1 else "they"
        yield api.Notice(f"Skipped, because {which} cannot be read: {first}.", "warning")
    return found, skipped, counts


def _base(params: WriterTrain.Params, ctx: api.Context) -> Path | None:
    """The folder of the writer to teach, or whose words are taken over; None for something new."""
    if params.kind == "new" or (params.kind == "masked" and not params.model):
        return None
    if not params.model:
        raise api.BadInput("No writer to teach is chosen.", "Choose one, or train a new one.")
    base = writer.folder(ctx, params.model)
    if lora.base_of(base):
        raise api.BadInput(f"{base.name} is a LoRA, and only a whole writer can be taught.", "Choose another model.")
    if gguf.of(base) or transformers_loader.quantisation(base):
        raise api.BadInput(f"The weights of {base.name} are packed.", "Choose the same model with plain weights.")
    return base


def _vocabulary(texts: Sequence[Document], params: WriterTrain.Params, ctx: api.Context) -> Any:
    place = ctx.checkpoint_dir / "vocabulary"
    if not place.is_dir():
        learning = [one for one in texts if not one.is_held_out(params.held_out)] or texts
        vocabulary.learn(learning, params.vocabulary).save_pretrained(ctx.scratch / "vocabulary")
        (ctx.scratch / "vocabulary").rename(place)
    return vocabulary.opened(place)


def _tokens(
    texts: Sequence[Document], tokenizer: Any, params: WriterTrain.Params, ctx: api.Context
) -> Generator[api.Event, None, tuple[token_streams.Streams, token_streams.Streams]]:
    told = json.dumps([[one.title, one.text, one.kind] for one in texts])
    known = sorted(tokenizer.get_vocab().items())  # in an order of its own each time
    key = hashlib.sha256(f"{told}{params.held_out}{known}".encode()).hexdigest()
    if found := token_streams.kept(ctx.checkpoint_dir, key):
        return found
    parts: list[list[int]] = []
    for start in range(0, len(texts), AT_ONCE):
        yield api.Progress(0, 0, f"Taking texts apart: {start:,} of {len(texts):,}")
        parts += vocabulary.laid_out(tokenizer, texts[start : start + AT_ONCE])
    held = {number for number, one in enumerate(texts) if one.is_held_out(params.held_out)}
    if not held or len(held) == len(texts):
        held = {len(texts) - 1}
    learn_from = [number for number in range(len(texts)) if number not in held]
    learn, held_out = (
        token_streams.joined([texts[number].kind for number in some], [parts[number] for number in some])
        for some in (learn_from, sorted(held))
    )
    token_streams.keep(ctx.checkpoint_dir, key, learn, held_out)
    return learn, held_out


def _model(params: WriterTrain.Params, tokenizer: Any, base: Path | None) -> Any:
    import torch

    if params.kind == "masked":
        guesser = architectures.guesser(architectures.GUESSERS[params.size], tokenizer, params.context)
        if base:
            architectures.begin_with_words(guesser, base)
        return guesser
    if base is None:
        return architectures.writer(architectures.WRITERS[params.size], tokenizer)
    model = architectures.opened(base, torch.float32, "cpu")
    if params.kind == "full":
        return model
    return lora.begun(model, str(base) if Path(params.model).exists() else params.model, params.rank)


def _samples(
    trainer: training.Trainer, tokenizer: Any, params: WriterTrain.Params, tokens: int, count: int
) -> list[tuple[str, str]]:
    """(what was asked, what was written), `count` times."""
    device = trainer.plan.device
    if params.kind == "masked":
        return [
            (f"{before}___{after}", ", ".join(f"{word.strip()} {share:.0%}" for word, share in found))
            for before, after in GAPS
            for found in [samples.guesses(trainer.ema, tokenizer, before, after, count=8, device=device)]
        ]
    kinds = [kind for kind in ("tale", "story", "poem", "text", "book") if kind in trainer.learn.rows] or ["text"]
    found = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        begun = ([*params.prompts] or [*PROMPTS])[number // len(kinds) % len(params.prompts or PROMPTS)]
        made = samples.sample(trainer.ema, tokenizer, kind, "", begun, tokens=tokens, seed=number + 1, device=device)
        found.append((f"{kind.capitalize()}, “{begun}”, seed {number + 1}", made))
    return found
