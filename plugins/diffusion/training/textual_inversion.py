"""Textual inversion (Gal et al. 2022, arXiv 2208.01618): the vectors of a new word are trained for a frozen model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from studio import api

from ..checkpoints import textual_inversion_file as inversion_file
from ..checkpoints.textual_inversion_file import PAIR, SINGLE, Source
from ..models import placeholder_tokens
from . import base_model
from .base_model import BaseModel
from .caption_options import compile_words
from .trainable_model import TrainableModel

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import BatchEncoding, CLIPTokenizer

MAX_WORD_LENGTH = 40
STYLE_TEMPLATES = (
    "a painting in the style of {}",
    "an image in the style of {}",
    "a drawing in the style of {}",
    "a landscape in the style of {}",
    "a detailed picture in the style of {}",
    "a close-up in the style of {}",
)
"""Captions of images without one, for a style. The word is put in the place of the braces."""
SUBJECT_TEMPLATES = (
    "a photo of {}",
    "an image of {}",
    "a close-up photo of {}",
    "a bright photo of {}",
    "a dark photo of {}",
    "a good picture of {}",
)
"""The same for a person, a thing or a concept."""
_TOKENIZERS = {"text_encoder": "tokenizer", "text_encoder_2": "tokenizer_2"}


@dataclass(frozen=True)
class InversionOptions:
    """The artist's choices for a new word."""

    vectors: int = 2
    init_word: str = ""
    """Words of the model's vocabulary whose vectors the new ones begin with; empty to draw them at random."""
    keep_norm: bool = True
    """Whether each vector keeps the length that it begins with."""


def require_word(word: str) -> str:
    """Return a trigger word without the spaces around it. Raises BadInput for none, several, and other characters."""
    word = word.strip()
    if not word:
        raise api.BadInput(
            "A textual inversion needs a trigger word.", "Write a word that the model does not know, such as wtrclr."
        )
    if len(word.split()) > 1:
        raise api.BadInput(
            f"A textual inversion has one trigger word, and “{word}” is several.", "Join them with a hyphen."
        )
    if not re.fullmatch(rf"[\w-]{{1,{MAX_WORD_LENGTH}}}", word):
        raise api.BadInput(
            f"{word[:MAX_WORD_LENGTH]} cannot be the trigger word of a textual inversion.",
            f"Use up to {MAX_WORD_LENGTH} letters, digits and hyphens.",
        )
    return word


def check_choices(word: str, prompts: Sequence[str], *, has_regularisation: bool) -> Iterator[api.Notice]:
    """Name what has no effect on a textual inversion. Raises BadInput for a trigger word that it cannot have."""
    word = require_word(word)
    if has_regularisation:
        yield api.Notice("Regularisation images have no effect on a textual inversion, and are not used.", "warning")
    prompts = [prompt for prompt in prompts if prompt.strip()]
    if prompts and not any(compile_words(word).search(prompt) for prompt in prompts):
        yield api.Notice(f"No preview prompt contains {word}, so the previews will not change.", "warning")


def choose_templates(purpose: str) -> tuple[str, ...]:
    """Return the captions for images without one."""
    return STYLE_TEMPLATES if purpose == "style" else SUBJECT_TEMPLATES


def prepare_inversion_training(
    ctx: api.Context, choice: str, word: str, options: InversionOptions, side: int, start_from: str | None = None
) -> BaseModel:
    """Load a model, freeze it, and add the vectors of a new word to each text encoder, for images of `side` px.

    The vectors follow from the job's seed, or are those of another textual inversion. Raises BadInput for a model
    whose text encoders are not CLIP's, a word that it knows already, an initial word that it does not know, and a
    textual inversion that does not fit.
    """
    model = base_model.load(ctx, choice)
    if not base_model.has_noise_schedule(model, (base_model.SD_PIPELINE, base_model.SDXL_PIPELINE)):
        raise api.BadInput(
            "Textual inversion supports Stable Diffusion 1, 2 and XL and models trained here, and "
            f"{model.title} is none of these.",
            "Choose another model, or train a LoRA.",
        )
    base = base_model.copy_base_model(ctx, choice, model, side)
    components = base.components
    for _, tokenizer, _ in _list_encoders(components):
        _require_new_word(tokenizer, word, base.title)
    start = _read_start(ctx, start_from, base) if start_from else None
    for number, (name, tokenizer, encoder) in enumerate(_list_encoders(components)):
        embedding = encoder.get_input_embeddings()
        if start is not None:
            vectors = start[number].to(embedding.weight)
        else:
            vectors = _build_vectors(tokenizer, embedding, options, ctx.seed + number, base.title)
        _add_word(components, name, word, vectors, keep_norm=options.keep_norm)
    return base


def count_vectors(components: TrainableModel) -> int:
    """Return the number of vectors of the new word."""
    return len(next(iter(collect_tensors(components).values())))


def collect_tensors(components: TrainableModel) -> dict[str, Tensor]:
    """Return the tensors of a file in the layout of AUTOMATIC1111 and ComfyUI: vectors [n, width] in float32."""
    rows = [
        encoder.get_input_embeddings().compute_rows().detach().float().cpu().contiguous()
        for _, _, encoder in _list_encoders(components)
    ]
    names = (SINGLE,) if len(rows) == 1 else PAIR
    return dict(zip(names, rows, strict=True))


class WordTokenizer:
    """A tokenizer that reads the trigger word as the placeholder tokens of its vectors."""

    def __init__(self, tokenizer: CLIPTokenizer, word: str, tokens: Sequence[str]) -> None:
        self._word = compile_words(word)
        self._tokens = " ".join(tokens)
        self._tokenizer, self.first_id = placeholder_tokens.extend_tokenizer(tokenizer, tokens)
        self.model_max_length = tokenizer.model_max_length

    def __call__(self, texts: Sequence[str], **options: Any) -> BatchEncoding:
        return self._tokenizer([self._word.sub(f" {self._tokens} ", text) for text in texts], **options)


def _list_encoders(components: TrainableModel) -> Iterator[tuple[str, CLIPTokenizer, Any]]:
    """Yield name, tokenizer and text encoder."""
    for name, encoder in components.networks.items():
        if name in _TOKENIZERS:
            yield name, getattr(components, _TOKENIZERS[name]), encoder


def _require_new_word(tokenizer: CLIPTokenizer, word: str, title: str) -> None:
    if len(tokenizer.tokenize(word)) == 1:
        raise api.BadInput(f"{word} is already a token of {title}.", f"Choose another trigger word, such as my-{word}.")


def _build_vectors(
    tokenizer: CLIPTokenizer, embedding: nn.Embedding, options: InversionOptions, seed: int, title: str
) -> Tensor:
    """Return the first vectors [n, width]: those of the initial words in turn, or with the spread of the vocabulary."""
    import torch

    weight, count = embedding.weight.detach(), options.vectors
    words = re.findall(r"[^\s,]+", options.init_word)
    if not words:
        noise = torch.randn(count, weight.shape[1], generator=torch.Generator().manual_seed(seed)).to(weight)
        drawn = weight.mean(0) + weight.std(0) * noise
        scaled: Tensor = drawn * weight.norm(dim=1).mean() / drawn.norm(dim=1, keepdim=True)
        return scaled
    if len(words) > count:
        raise api.BadInput(
            f"{len(words)} initial words need {len(words)} vectors, and there {'is' if count == 1 else 'are'} {count}.",
            "Write fewer words, or set a higher number of vectors.",
        )
    ids = []
    for word in words:
        tokens = tokenizer.tokenize(word)
        if len(tokens) != 1:
            raise api.BadInput(
                f"{word} is not in the vocabulary of {title}, so a textual inversion cannot begin with it.",
                "Choose a common word, or leave Initial word empty.",
            )
        ids.append(tokenizer.convert_tokens_to_ids(tokens[0]))
    return weight[[ids[place * len(ids) // count] for place in range(count)]]


def _add_word(components: TrainableModel, name: str, word: str, vectors: Tensor, *, keep_norm: bool) -> None:
    """Let the tokenizer and the text encoder of this name read a word as these vectors, which are trained."""
    own: CLIPTokenizer = getattr(components, _TOKENIZERS[name])
    encoder: Any = components.networks[name]
    tokenizer = WordTokenizer(own, word, placeholder_tokens.name_tokens(0, len(vectors)))
    encoder.set_input_embeddings(
        build_word_embedding(encoder.get_input_embeddings(), vectors, tokenizer.first_id, keep_norm=keep_norm)
    )
    # Some configurations have a wrong eos token, and transformers then takes the highest token, which is a new one.
    getattr(encoder, "text_model", encoder).eos_token_id = own.eos_token_id
    setattr(components, _TOKENIZERS[name], cast("CLIPTokenizer", tokenizer))


def build_word_embedding(embedding: nn.Embedding, vectors: Tensor, first_id: int, *, keep_norm: bool) -> nn.Module:
    """Return a module that embeds tokens as `embedding` does, and those from `first_id` on as trained vectors.

    With `keep_norm` each vector is scaled to the length that it has now, so that only its direction is learnt.
    """
    import torch
    from torch import nn

    class WordEmbedding(nn.Module):
        norms: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.embedding = embedding
            self.vectors = nn.Parameter(vectors.detach().clone())
            self.register_buffer("norms", vectors.detach().norm(dim=1, keepdim=True))

        def compute_rows(self) -> Tensor:
            if not keep_norm:
                return self.vectors
            rows: Tensor = self.vectors * (self.norms / self.vectors.norm(dim=1, keepdim=True).clamp(min=1e-8))
            return rows

        def forward(self, ids: Tensor) -> Tensor:
            is_new = ids >= first_id
            known = self.embedding(ids.masked_fill(is_new, 0))
            places = (ids - first_id).clamp(min=0)
            new = nn.functional.embedding(places.masked_fill(~is_new, 0), self.compute_rows())
            return torch.where(is_new[..., None], new.to(known), known)

    return WordEmbedding()


def _read_start(ctx: api.Context, choice: str, base: BaseModel) -> list[Tensor]:
    """Read the vectors of another textual inversion, for each text encoder."""
    source = Source(inversion_file.find_file(Path(ctx.model(choice))))
    shapes = inversion_file.read_shapes(source)
    widths = tuple(encoder.config.hidden_size for _, _, encoder in _list_encoders(base.components))
    names = (next(iter(shapes)),) if len(widths) == 1 else PAIR
    found = [shapes[name] for name in names if name in shapes]
    has_equal_rows = len({inversion_file.count_rows(shape) for shape in found}) == 1
    if len(shapes) != len(widths) or not has_equal_rows or tuple(shape[-1] for shape in found) != widths:
        raise inversion_file.describe_mismatch(source, shapes, base.title, widths)
    damage = api.BadInput(f"{source.title} is damaged.", "Choose another textual inversion.")
    with api.model_files.quiet_load(damage):
        vectors = [inversion_file.read_vectors(source, name).float() for name in names]
    if not all(bool(rows.isfinite().all()) for rows in vectors):
        raise damage
    title = source.path.stem
    ctx.emit(api.Notice(f"Goes on from {title}, with {len(vectors[0])} vectors."))
    return vectors
