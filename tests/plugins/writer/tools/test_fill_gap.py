"""Words for a gap, from models of others."""

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
from tests.plugins.writer.conftest import trained


@pytest.mark.parametrize(
    ("kind", "tokens", "behind_space", "behind_line"),
    [
        ("marks", ["fox", "Ġfox", "Ġ,", ",", "ing", "Ċ", "Ġ"], ["Ġfox"], ["fox", "ing"]),
        ("pieces", ["fox", "##ing", ",", "owl"], ["fox", "owl"], ["fox", "owl"]),
    ],
)
def test_only_words_are_suggested_in_place_of_a_word(
    kind: str, tokens: list[str], behind_space: list[str], behind_line: list[str]
) -> None:
    inner = Tokenizer(models.WordLevel({token: number for number, token in enumerate(tokens)}, unk_token=","))
    inner.decoder = decoders.ByteLevel() if kind == "marks" else None
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner)

    def offered(before: str) -> list[str]:
        return [tokens[number] for number in filter_next_words(tokenizer, before, range(len(tokens)))]

    assert offered("A ") == behind_space
    assert offered("A\n") == behind_line
    assert offered("") == behind_line
    assert offered("A") == tokens


def test_masked_model_can_start_with_the_embeddings_of_a_causal_model(
    texts: Path, writer: Path, tmp_path: Path
) -> None:
    made = trained(texts, tmp_path / "a", kind="masked", model=str(writer), steps=1, learning_rate=1e-7)
    theirs = architectures.load_model(writer, torch.float32, "cpu").get_input_embeddings().weight
    ours = architectures.load_model(made, torch.float32, "cpu", is_masked=True).get_input_embeddings().weight
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-2)
    with pytest.raises(api.BadInput, match="another size"):
        trained(texts, tmp_path / "b", kind="masked", model=str(writer), size="small")


def test_base_model_without_mask_token_is_refused(texts: Path, writer: Path, tmp_path: Path) -> None:
    other = shutil.copytree(writer, tmp_path / "other")
    told = json.loads((other / "tokenizer_config.json").read_text("utf-8"))
    (other / "tokenizer_config.json").write_text(json.dumps({**told, "mask_token": None}), encoding="utf-8")
    with pytest.raises(api.BadInput, match="no mask token"):
        trained(texts, tmp_path / "job", kind="masked", model=str(other))


def test_context_is_limited_by_the_tokenizer(guesser: Path) -> None:
    tokenizer = load_tokenizer(guesser)
    tokenizer.model_max_length = 32
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = RobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=34, pad_token_id=1, **shape)
    model = RobertaForMaskedLM(config).eval()
    found = fill_mask.predict_words(model, tokenizer, "the fox " * 50, "the owl " * 50, count=3, device="cpu")
    assert len(found) == 3
