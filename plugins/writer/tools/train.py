"""Train a language model on one's own texts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from studio import api
from studio.api import data_report
from studio.api.training import TrainingDefaults, TrainingParams, describe_shortage, require_samples

from ..generation.fill_mask import predict_words
from ..models import architectures, gguf, lora, transformers_loader
from ..models.tokenizer import load_tokenizer
from ..models.writer import find_model
from ..training import forecast, model_card
from ..training.bpe import encode_documents, train_tokenizer
from ..training.documents import HELD_OUT_FRACTION, Corpus, Document, find_texts, read_content, read_folders
from ..training.samples import sample_text
from ..training.token_streams import TokenStreams, build_streams, load_streams, save_streams
from ..training.trainer import EVALUATION_WINDOWS, Trainer, TrainingPlan

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TrainingKind: TypeAlias = Literal["new", "masked", "full", "lora"]
MIN_DOCUMENTS = 2
"""One for training and one for evaluation."""
CHECKPOINT_SECONDS = 60.0
ENCODED_TOGETHER = 200
"""Number of documents that are encoded between two progress events."""
PREVIEW_TOKENS, PREVIEW_SAMPLES = 60, 2
CARD_TOKENS, CARD_SAMPLES = 160, 10
PROMPTS = ("Once upon a time, a fox", "The moon was")
GAPS = (("Once upon a time there was a little ", " who lived in the forest."), ("The king said: ", ", my daughter!"))
"""Texts before and after a gap, to sample masked models."""


DEFAULTS = {
    "new": TrainingDefaults(6000, 16, 2e-3),
    "masked": TrainingDefaults(6000, 32, 2e-3),
    "full": TrainingDefaults(1500, 16, 5e-4),
    "lora": TrainingDefaults(1000, 16, 1e-3),
}


ADVICE_FOR_NEW = (
    data_report.Advice(200_000, "a new model would only repeat them. A LoRA of a base model works with so few."),
    data_report.Advice(2_000_000, "a new model learns words and turns of phrase, but little sense. More are better."),
    data_report.Advice(None, "enough for a small new model.", is_scarce=False),
)
ADVICE = {
    "new": ADVICE_FOR_NEW,
    "masked": ADVICE_FOR_NEW,
    "full": (
        data_report.Advice(100_000, "full fine-tuning would memorise them. A LoRA works with so few."),
        data_report.Advice(None, "enough for fine-tuning.", is_scarce=False),
    ),
    "lora": (
        data_report.Advice(20_000, "a LoRA will repeat whole sentences. Ten pages or more are better."),
        data_report.Advice(None, "enough for a LoRA.", is_scarce=False),
    ),
}
"""Advice on a number of characters, by type of training."""


class ModelInputs(api.Params):
    """Parameters that come before those of every training."""

    kind: TrainingKind = api.param(
        "new", labels=("New causal model", "New masked model", "Full fine-tuning", "LoRA"), title="Training type"
    )
    """A causal model continues text, a masked model fills gaps. A new one learns all from some megabytes of text.
    Full fine-tuning changes the base model. A LoRA is a small file that changes the base model when it is used."""
    model: api.ModelChoice = api.param("", model="language masked-language", title="Base model")
    """For full fine-tuning and LoRA: a model trained here, or a folder in the transformers format. With a LoRA as its
    base, the training of that LoRA continues. A new masked model learns far sooner when it starts with the token
    embeddings of a causal model trained here; the training of a masked model continues."""
    size: Literal["small", "medium", "large", "tiny"] = api.param(
        "small", labels=("Small", "Medium", "Large", "Tiny"), title="Model size"
    )
    """For a new model. Larger models learn more and take longer. Tiny is for trying out."""


class WriterTrain(api.Tool):
    """Trains a language model on your texts, from scratch, by fine-tuning, or as a LoRA."""

    id = "writer.train"
    title = "Train language model"
    output = "model"
    lane = "training"
    pausable = True
    deterministic = False
    icon = "mdi6.school-outline"

    class Params(TrainingParams, ModelInputs):
        folder: api.FolderInput
        """Your texts, with subfolders: .txt and .md files, or .jsonl and .jsonl.xz with a title and a text per line.
        The file name tells the kind of text: story, tale, poem or book."""
        title: str = api.param("My writer", title="Name")
        """Name of the model in the other tools."""
        steps: int | None = api.param(None, ge=1, le=1_000_000, title="Steps")
        """Empty uses 6,000 for a new model, 1,500 for full fine-tuning, 1,000 for a LoRA."""
        batch: int | None = api.param(None, ge=1, le=1024, title="Batch size", advanced=True)
        """Number of sequences per step. Empty uses 16, and 32 for a masked model."""
        learning_rate: float | None = api.param(None, ge=1e-7, le=1.0, title="Learning rate", advanced=True)
        """Empty uses 0.002 for a new model, 0.0005 for full fine-tuning, 0.001 for a LoRA."""
        only: list[str] = api.param([], max_items=50, title="File name filter")
        """Use only files with one of these words in their name."""
        prompts: list[api.Prompt] = api.param([], max_items=4, title="Preview prompts")
        """Continued at each preview, to show what the model has learnt."""
        context: int = api.param(
            256, ge=16, le=architectures.MAX_POSITIONS, title="Context length", unit="tokens", advanced=True
        )
        vocabulary: int = api.param(3072, ge=300, le=60_000, title="Vocabulary size", unit="tokens", advanced=True)
        """For a new model: the number of tokens of its tokenizer."""
        rank: int = api.param(8, ge=1, le=256, title="LoRA rank", advanced=True)
        """A higher rank learns finer details and needs more text."""
        eight_bits: bool = api.param(False, title="Save as float8", advanced=True)
        """Halves the file by saving weights in 8 bits instead of 16. The evaluation and the samples are of these
        weights."""
        held_out: float = api.param(HELD_OUT_FRACTION, ge=0.0, le=0.5, title="Held-out fraction", advanced=True)
        """Fraction of the texts that is used for evaluation and not for training. At least one text."""

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate:
        numbers = DEFAULTS[params.kind].override(params)
        is_new = params.kind in ("new", "masked")
        cost = (
            forecast.measure_new_model(params.kind, params.size, params.vocabulary, params.context)
            if is_new
            else forecast.measure_base_model(ctx, params.model, params.context, params.rank, params.kind)
        )
        network = f"{params.size}.{params.vocabulary}" if is_new or not cost else f"{cost.weights}+{cost.frozen}"
        tokens = forecast.count_tokens([params.folder, *params.more_folders], params.only)
        return api.training.estimate_training(
            params,
            numbers,
            cost,
            rate=f"writer.train.{params.kind}.{network}.{params.context}",
            sample_size=params.context,
            samples=tokens // params.context,
            notes={"folder": forecast.describe_data(params.kind, tokens)},
        )

    def inspect_data(self, params: Params, ctx: data_report.InspectionContext) -> data_report.DataReport:
        sources = [
            data_report.TextSource(
                folder,
                [
                    *find_texts(folder, params.only, params.nested_in(folder)),
                    *api.datasets.find_locked_folders(folder),
                ],
                read_content,
                excluded=params.excluded_in(folder),
                is_first=number == 0,
            )
            for number, folder in enumerate((params.folder, *params.more_folders))
        ]
        report = data_report.inspect_texts(sources, ctx)
        if report.count_texts() < MIN_DOCUMENTS:
            shortage = describe_shortage(params.folder, report.count_texts(), MIN_DOCUMENTS, "text")
            report = data_report.refuse(report, shortage)
        return data_report.advise(report, report.count_characters(), ADVICE[params.kind], "character")

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        import torch

        yield from data_report.check_data(self, params, ctx)
        corpus = yield from read_folders([params.folder, *params.more_folders], params.only, params.excluded_in)
        if corpus.skipped:
            ctx.note("skipped", corpus.skipped)
        require_samples(params.folder, len(corpus.documents), MIN_DOCUMENTS, "text")
        torch.manual_seed(ctx.seed)
        base, start = _find_base(params, ctx)
        yield api.Progress(0, 0, "Loading the tokenizer" if base else "Training the tokenizer")
        tokenizer = load_tokenizer(base) if base else _train_tokenizer(corpus.documents, params, ctx)
        if params.kind == "masked" and tokenizer.mask_token_id is None:
            raise api.BadInput("The tokenizer of the base model has no mask token.", "Choose a model trained here.")
        streams, held_out = yield from _encode_corpus(corpus.documents, tokenizer, params, ctx)
        plan = _build_plan(params, ctx)
        model = _build_model(params, tokenizer, base, start)
        if start:
            yield api.Notice(f"Goes on from {api.model_files.read_title(start)}, and keeps its rank.")
        mask_token = tokenizer.mask_token_id if params.kind == "masked" else None
        trainer = Trainer(model, streams, plan, ctx.checkpoint_dir, mask_token=mask_token)

        trainer.prompts = [*params.prompts]
        trainer.steps_per_epoch = streams.count_tokens() / (plan.batch * plan.context)

        def preview() -> Iterator[api.Event]:
            perplexity = trainer.evaluate(held_out)
            samples = _sample(trainer, tokenizer, params, PREVIEW_TOKENS, PREVIEW_SAMPLES)
            text = "\n\n".join(text for _, text in samples)
            yield api.Preview(text, f"Step {trainer.state.step:,} · held-out perplexity {perplexity:.1f}")

        def save_model(suffix: str) -> api.Trained:
            result = TrainingResult(corpus, streams, held_out, tokenizer, base)
            return _save(trainer, result, params, ctx, suffix)

        memory_error = f"A batch of {plan.batch} sequences with {plan.context} tokens needs more memory than there is."
        yield from trainer.run(
            ctx,
            params,
            preview=preview,
            save_model=save_model,
            memory_error=memory_error,
            save_every=CHECKPOINT_SECONDS,
        )
        trainer.best.restore()
        yield save_model("")


@dataclass(frozen=True)
class TrainingResult:
    """Holds the data and the tokenizer of a training, for saving its model."""

    corpus: Corpus
    streams: TokenStreams
    held_out: TokenStreams
    tokenizer: PreTrainedTokenizerBase
    base: Path | None


def _save(
    trainer: Trainer, result: TrainingResult, params: WriterTrain.Params, ctx: api.Context, suffix: str
) -> api.Trained:
    """Write the model with the EMA weights and its card into a folder."""
    folder = ctx.scratch / f"writer{suffix}"
    with architectures.round_to_float8(trainer.ema) if params.eight_bits and params.kind != "lora" else nullcontext():
        _save_model(trainer, result.tokenizer, params, folder)
        perplexity = trainer.evaluate_perplexity(result.held_out)
        samples = _sample(trainer, result.tokenizer, params, CARD_TOKENS, CARD_SAMPLES)
    credit = model_card.format_credits(result.corpus.documents, result.base)
    if credit:
        (folder / model_card.CREDITS).write_text(credit, encoding="utf-8")
    plan, state = trainer.plan, trainer.state
    data = model_card.CardData(
        title=params.title + suffix,
        training_kind=params.kind,
        base=api.model_files.read_title(result.base) if result.base else "",
        counts=result.corpus.counts,
        tokens=result.streams.count_tokens(),
        seen_tokens=state.step * plan.batch * plan.context,
        state=state,
        seed=ctx.seed,
        parameters=sum(value.numel() for value in trainer.model.parameters() if value.requires_grad),
        perplexity=perplexity,
        held_out_tokens=int(result.held_out.split_windows(plan.context, EVALUATION_WINDOWS).size),
        samples=samples,
        has_credits=bool(credit),
        as_float8=params.eight_bits,
    )
    model_card.build_card(data).write(folder)
    notes = {"perplexity": round(perplexity, 2), "steps": state.step, "loss": round(state.loss, 4)}
    model_kind = "masked-language" if params.kind == "masked" else "language"
    return api.Trained(folder, params.title + suffix, model_kind, notes)


def _find_base(params: WriterTrain.Params, ctx: api.Context) -> tuple[Path | None, Path | None]:
    """Return the folder of the base model, None for a new one, and that of the LoRA that the training goes on from."""
    if params.kind == "new" or (params.kind == "masked" and not params.model):
        return None, None
    if not params.model:
        raise api.BadInput("No base model is chosen.", "Choose one, or train a new model.")
    base, start = find_model(ctx, params.model), None
    if choice := lora.read_base_model(base):
        if params.kind != "lora":
            raise api.BadInput(
                f"{base.name} is a LoRA, which cannot be a base model.",
                "Choose another model, or the training type LoRA.",
            )
        base, start = find_model(ctx, choice), base
    if gguf.find_file(base) or transformers_loader.read_quantisation(base):
        raise api.BadInput(
            f"{base.name} is quantised or a GGUF file, which cannot be trained.",
            "Choose the same model with unquantised safetensors.",
        )
    return base, start


def _train_tokenizer(
    documents: Sequence[Document], params: WriterTrain.Params, ctx: api.Context
) -> PreTrainedTokenizerBase:
    """Train the tokenizer, or load it if this training was resumed."""
    folder = ctx.checkpoint_dir / "vocabulary"
    if not folder.is_dir():
        training = [document for document in documents if not document.is_held_out(params.held_out)] or documents
        part = ctx.checkpoint_dir / "vocabulary.part"
        train_tokenizer(training, params.vocabulary).save_pretrained(part)
        part.rename(folder)
    return load_tokenizer(folder)


def _encode_corpus(
    documents: Sequence[Document], tokenizer: PreTrainedTokenizerBase, params: WriterTrain.Params, ctx: api.Context
) -> Generator[api.Event, None, tuple[TokenStreams, TokenStreams]]:
    """Return the (training, held-out) streams, from the cache if this training was resumed."""
    content = json.dumps([[document.title, document.text, document.kind] for document in documents])
    vocabulary = sorted(tokenizer.get_vocab().items())  # its own order differs from process to process
    key = hashlib.sha256(f"{content}{params.held_out}{vocabulary}".encode()).hexdigest()
    if cached := load_streams(ctx.checkpoint_dir, key):
        return cached
    encoded: list[list[int]] = []
    for start in range(0, len(documents), ENCODED_TOGETHER):
        yield api.Progress(0, 0, f"Encoding texts: {start:,} of {len(documents):,}")
        encoded += encode_documents(tokenizer, documents[start : start + ENCODED_TOGETHER])
    held_out = {number for number, document in enumerate(documents) if document.is_held_out(params.held_out)}
    if not held_out or len(held_out) == len(documents):
        held_out = {len(documents) - 1}
    training = [number for number in range(len(documents)) if number not in held_out]
    streams, held_out_streams = (
        build_streams([documents[number].kind for number in numbers], [encoded[number] for number in numbers])
        for numbers in (training, sorted(held_out))
    )
    save_streams(ctx.checkpoint_dir, key, streams, held_out_streams)
    return streams, held_out_streams


def _build_plan(params: WriterTrain.Params, ctx: api.Context) -> TrainingPlan:
    numbers = DEFAULTS[params.kind].override(params)
    numbers.note(ctx)
    return TrainingPlan(
        steps=numbers.steps,
        learning_rate=numbers.learning_rate,
        batch=numbers.batch,
        context=params.context,
        ema=params.ema,
        seed=ctx.seed,
        device=ctx.device,
    )


def _build_model(
    params: WriterTrain.Params, tokenizer: PreTrainedTokenizerBase, base: Path | None, start: Path | None
) -> PreTrainedModel | PeftModel:
    import torch

    if params.kind == "masked":
        if base and architectures.has_masked_config(base):
            return architectures.load_model(base, torch.float32, "cpu", is_masked=True)
        masked = architectures.build_masked_model(architectures.MASKED_SHAPES[params.size], tokenizer, params.context)
        if base:
            architectures.copy_token_embeddings(masked, base)
        return masked
    if base is None:
        return architectures.build_causal_model(architectures.CAUSAL_SHAPES[params.size], tokenizer)
    model = architectures.load_model(base, torch.float32, "cpu")
    if params.kind == "full":
        return model
    if start:
        return lora.continue_lora(model, start)
    return lora.add_lora(model, str(base) if Path(params.model).exists() else params.model, params.rank)


def _save_model(trainer: Trainer, tokenizer: PreTrainedTokenizerBase, params: WriterTrain.Params, folder: Path) -> None:
    """Save the EMA weights."""
    if params.kind == "lora":
        lora.save_lora(trainer.ema, folder)
        return
    architectures.save_model(trainer.ema, tokenizer, folder, as_float8=params.eight_bits)


def _sample(
    trainer: Trainer, tokenizer: PreTrainedTokenizerBase, params: WriterTrain.Params, tokens: int, count: int
) -> list[tuple[str, str]]:
    """Return `count` pairs of a prompt and the output of the EMA model; for a masked model, one for each gap."""
    device = trainer.plan.device
    if params.kind == "masked":
        return [
            (f"{before}___{after}", ", ".join(f"{word.strip()} {probability:.0%}" for word, probability in words))
            for before, after in GAPS
            for words in [predict_words(trainer.ema, tokenizer, before, after, count=8, device=device)]
        ]
    kinds = [kind for kind in ("tale", "story", "poem", "text", "book") if kind in trainer.streams.rows] or ["text"]
    prompts = trainer.prompts or [*PROMPTS]
    samples = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        prompt = prompts[number // len(kinds) % len(prompts)]
        text = sample_text(trainer.ema, tokenizer, kind, prompt, tokens=tokens, seed=number + 1, device=device)
        samples.append((f"{kind.capitalize()}, “{prompt}”, seed {number + 1}", text))
    return samples
