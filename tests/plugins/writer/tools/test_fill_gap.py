"""Words for a gap, also from masked models of other makers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaForMaskedLM

from plugins.writer.generation import fill_mask
from plugins.writer.models import architectures
from plugins.writer.models.tokenizer import filter_next_words, load_tokenizer
from studio import api
from tests.plugins.writer.conftest import train_model


@pytest.mark.parametrize(
    ("kind", "tokens", "after_space", "after_line"),
    [
        ("marks", ["fox", "Ġfox", "Ġ,", ",", "ing", "Ċ", "Ġ"], ["Ġfox"], ["fox", "ing"]),
        ("pieces", ["fox", "##ing", ",", "owl"], ["fox", "owl"], ["fox", "owl"]),
    ],
)
def test_only_words_are_suggested_in_place_of_a_word(
    kind: str, tokens: list[str], after_space: list[str], after_line: list[str]
) -> None:
    inner = Tokenizer(models.WordLevel({token: number for number, token in enumerate(tokens)}, unk_token=","))
    inner.decoder = decoders.ByteLevel() if kind == "marks" else None
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner)

    def suggest(before: str) -> list[str]:
        return [tokens[number] for number in filter_next_words(tokenizer, before, range(len(tokens)))]

    assert suggest("A ") == after_space
    assert suggest("A\n") == after_line
    assert suggest("") == after_line
    assert suggest("A") == tokens


def test_masked_model_can_start_with_the_embeddings_of_a_causal_model(
    texts: Path, causal_model: Path, tmp_path: Path
) -> None:
    folder = train_model(texts, tmp_path / "a", kind="masked", model=str(causal_model), steps=1, learning_rate=1e-7)
    source_embeddings = architectures.load_model(causal_model, torch.float32, "cpu").get_input_embeddings().weight
    embeddings = architectures.load_model(folder, torch.float32, "cpu", is_masked=True).get_input_embeddings().weight
    torch.testing.assert_close(embeddings, source_embeddings, atol=1e-3, rtol=1e-2)
    with pytest.raises(api.BadInput, match="another size"):
        train_model(texts, tmp_path / "b", kind="masked", model=str(causal_model), size="small")


def test_base_model_without_mask_token_is_refused(texts: Path, causal_model: Path, tmp_path: Path) -> None:
    other = shutil.copytree(causal_model, tmp_path / "other")
    config = json.loads((other / "tokenizer_config.json").read_text("utf-8"))
    (other / "tokenizer_config.json").write_text(json.dumps({**config, "mask_token": None}), encoding="utf-8")
    with pytest.raises(api.BadInput, match="no mask token"):
        train_model(texts, tmp_path / "job", kind="masked", model=str(other))


def test_context_is_limited_by_the_tokenizer(masked_model: Path) -> None:
    tokenizer = load_tokenizer(masked_model)
    tokenizer.model_max_length = 32
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = RobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=34, pad_token_id=1, **shape)
    model = RobertaForMaskedLM(config).eval()
    words = fill_mask.predict_words(model, tokenizer, "the fox " * 50, "the owl " * 50, count=3, device="cpu")
    assert len(words) == 3
