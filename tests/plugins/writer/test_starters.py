"""The starters write and find words, without a download, and their cards say what they are."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
import torch

from plugins.writer.models import architectures
from plugins.writer.models.tokenizer import encode_header, encode_text, load_tokenizer
from plugins.writer.tools.continue_text import WriterContinue
from plugins.writer.tools.fill_gap import WriterSuggest
from studio import api, testing
from studio.core import paths
from studio.library.models import model_kind

STARTERS = paths.resources() / "starters"
MOST = {"writer-tales": 11_000_000, "writer-words": 4_000_000}
TALE = (
    "Once upon a time there was a poor widow who lived with her three sons in a little house at the edge of the wood. "
    "One morning the eldest said to his mother that he would go out into the world and seek his fortune."
)


def written(**values: Any) -> str:
    (text,) = testing.results(testing.run(WriterContinue, testing.FakeContext(seed=1), **values))
    assert isinstance(text, api.Text)
    return text.text


def perplexity(text: str) -> float:
    folder = STARTERS / "writer-tales"
    tokenizer = load_tokenizer(folder)
    ids = torch.tensor([encode_header(tokenizer, "tale", "") + encode_text(tokenizer, text)])
    with torch.inference_mode():
        return math.exp(float(architectures.load_model(folder, torch.float32, "cpu")(input_ids=ids, labels=ids).loss))


def test_starter_continues_a_tale_reproducibly() -> None:
    tale = written(text="Once upon a time, a fox", length=60)
    assert tale.startswith("Once upon a time, a fox")
    assert len(re.findall("[a-z]+", tale)) > 25
    assert written(text="Once upon a time, a fox", length=60) == tale


def test_starter_has_learnt_word_order() -> None:
    words = TALE.split()
    assert perplexity(TALE) < 60
    assert perplexity(" ".join(sorted(words))) > 5 * perplexity(TALE)


def test_kind_of_text_changes_the_output() -> None:
    assert written(text="", kind="poem", length=80) != written(text="", kind="tale", length=80)


def test_masked_starter_suggests_fitting_words() -> None:
    ctx = testing.FakeContext()
    (text,) = testing.results(testing.run(WriterSuggest, ctx, text="The king said to his ___ that she should marry."))
    words = [word.strip() for word, _ in text.notes["words"]]
    assert len(words) == 10
    assert [line.partition(" · ")[0] for line in text.text.splitlines()] == words
    assert {"daughter", "wife", "mother", "sister"} & set(words)


@pytest.mark.parametrize("name", MOST)
def test_starter_is_small_and_has_a_complete_card(name: str) -> None:
    folder = STARTERS / name
    assert sum(path.stat().st_size for path in folder.rglob("*")) < MOST[name]
    told = json.loads((folder / "studio.json").read_text("utf-8"))
    assert told["kind"] == model_kind.kind_of(folder)
    card = (folder / "README.md").read_text("utf-8")
    assert "starter" in told["summary"].lower()
    assert "**A starter**" in card
    assert "perplexity" in card.lower()
    assert "CREDITS.md" in card
    assert "African Storybook" in card
    assert (folder / "CREDITS.md").read_text("utf-8").count("\n- ") > 300


def test_card_has_ten_samples() -> None:
    card = (STARTERS / "writer-tales" / "README.md").read_text("utf-8")
    assert card.count("~~~~\n") == 20
