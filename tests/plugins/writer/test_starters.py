"""The starter models generate without a download, and their cards describe them."""

from __future__ import annotations

import json
import math
import re

import pytest
import torch

from plugins.writer.models import architectures
from plugins.writer.models.tokenizer import encode_header, encode_text, load_tokenizer
from plugins.writer.tools.continue_text import WriterContinue
from plugins.writer.tools.fill_gap import WriterSuggest
from studio import testing
from studio.core import paths
from studio.library.models import model_kind
from tests.plugins.writer.conftest import run_text

STARTERS = paths.resources_folder() / "starters"
MAX_BYTES = {"writer-tales": 11_000_000, "writer-words": 4_000_000}
TALE = (
    "Once upon a time there was a poor widow who lived with her three sons in a little house at the edge of the wood. "
    "One morning the eldest said to his mother that he would go out into the world and seek his fortune."
)


def continue_text(**values: object) -> str:
    return run_text(WriterContinue, testing.FakeContext(seed=1), **values).text


def compute_perplexity(text: str) -> float:
    folder = STARTERS / "writer-tales"
    tokenizer = load_tokenizer(folder)
    ids = torch.tensor([encode_header(tokenizer, "tale", "") + encode_text(tokenizer, text)])
    with torch.inference_mode():
        return math.exp(float(architectures.load_model(folder, torch.float32, "cpu")(input_ids=ids, labels=ids).loss))


def test_starter_continues_a_tale_reproducibly() -> None:
    tale = continue_text(text="Once upon a time, a fox", length=60)
    assert tale.startswith("Once upon a time, a fox")
    assert len(re.findall("[a-z]+", tale)) > 25
    assert continue_text(text="Once upon a time, a fox", length=60) == tale


def test_starter_has_learnt_word_order() -> None:
    words = TALE.split()
    assert compute_perplexity(TALE) < 60
    assert compute_perplexity(" ".join(sorted(words))) > 5 * compute_perplexity(TALE)


def test_kind_of_talechanges_the_output() -> None:
    assert continue_text(text="", kind="poem", length=80) != continue_text(text="", kind="tale", length=80)


def test_masked_starter_suggests_fitting_words() -> None:
    text = run_text(WriterSuggest, text="The king said to his ___ that she should marry.")
    words = [word.strip() for word, _ in text.notes["words"]]
    assert len(words) == 10
    assert [line.partition(" · ")[0] for line in text.text.splitlines()] == words
    assert {"daughter", "wife", "mother", "sister"} & set(words)


@pytest.mark.parametrize("name", MAX_BYTES)
def test_starter_is_small_and_has_a_complete_card(name: str) -> None:
    folder = STARTERS / name
    assert sum(path.stat().st_size for path in folder.rglob("*")) < MAX_BYTES[name]
    metadata = json.loads((folder / "studio.json").read_text("utf-8"))
    assert metadata["kind"] == model_kind.kind_of(folder)
    card = (folder / "README.md").read_text("utf-8")
    assert "starter" in metadata["summary"].lower()
    assert "**A starter**" in card
    assert "perplexity" in card.lower()
    assert "CREDITS.md" in card
    assert "African Storybook" in card
    assert (folder / "CREDITS.md").read_text("utf-8").count("\n- ") > 300


def test_card_has_ten_samples() -> None:
    card = (STARTERS / "writer-tales" / "README.md").read_text("utf-8")
    assert card.count("~~~~\n") == 20
