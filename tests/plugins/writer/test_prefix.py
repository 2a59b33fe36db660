"""What was read stays: equal words with and without it, and only what differs is read again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from plugins.writer import models, prefix
from plugins.writer.models import Writer
from studio import api


@pytest.fixture
def opened(writer: Path) -> Writer:
    return models.opened(writer, "cpu", torch.float32)


def never() -> None:
    pass


def greedy(writer: Writer, tokens: list[int], count: int) -> list[int]:
    logits, made = writer.prefix.read(tokens, never), []
    for _ in range(count):
        made.append(int(logits.argmax()))
        logits = writer.prefix.add(made[-1])
    return made


def test_greedy_words_equal_those_of_generate(opened: Writer) -> None:
    tokens = [*range(10, 30)]
    ids = torch.tensor([tokens])
    theirs = opened.model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24, eos_token_id=None
    )
    assert greedy(opened, tokens, 24) == theirs[0, 20:].tolist()


def test_an_edit_reads_only_what_follows_it(opened: Writer, writer: Path) -> None:
    tokens = [*range(10, 90)]
    greedy(opened, tokens, 8)
    for changed, read in (([*tokens[:60], 5, 6, 7], 3), (tokens[:40], 1), ([*tokens[:40], *tokens], 80)):
        ours = greedy(opened, changed, 8)
        fresh = models.opened(writer, "cpu", torch.float32)
        assert ours == greedy(fresh, changed, 8)
        again = opened.prefix.read(changed, never)
        assert opened.prefix.latest_read == 1
        assert int(again.argmax()) == ours[0]
        assert read >= 1


def test_only_new_tokens_are_read(opened: Writer) -> None:
    opened.prefix.read([*range(10, 90)], never)
    opened.prefix.read([*range(10, 100)], never)
    assert opened.prefix.latest_read == 10
    opened.prefix.read([*range(10, 50), 3], never)
    assert opened.prefix.latest_read == 1


def test_a_cancel_between_two_chunks_keeps_what_was_read(opened: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix, "CHUNK", 8)
    left = iter([None, None, api.Cancelled()])

    def check() -> None:
        if stop := next(left, None):
            raise stop

    with pytest.raises(api.Cancelled):
        opened.prefix.read([*range(10, 60)], check)
    assert opened.prefix.tokens == [*range(10, 26)]
    opened.prefix.read([*range(10, 60)], never)
    assert opened.prefix.latest_read == 34


def test_what_breaks_in_the_middle_is_forgotten(opened: Writer) -> None:
    opened.prefix.read([1, 2, 3], never)
    with pytest.raises(IndexError):
        opened.prefix.read([1, 2, 10**6], never)
    assert opened.prefix.tokens == []
    assert greedy(opened, [1, 2, 3], 2)
