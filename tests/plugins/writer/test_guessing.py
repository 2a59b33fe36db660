"""Words for a gap, from models of others."""

from __future__ import annotations

from pathlib import Path

from transformers import RobertaConfig, RobertaForMaskedLM

from plugins.writer import live, vocabulary


def test_a_model_that_reads_less_than_it_has_places_for(guesser: Path) -> None:
    tokenizer = vocabulary.opened(guesser)
    tokenizer.model_max_length = 32
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = RobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=34, pad_token_id=1, **shape)
    model = RobertaForMaskedLM(config).eval()
    found = live.guesses(model, tokenizer, "the fox " * 50, "the owl " * 50, count=3, device="cpu")
    assert len(found) == 3
