"""Reading training texts: kinds, line breaks, and damaged files."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest

from plugins.writer.training import documents
from studio import api


def test_file_name_gives_the_kind() -> None:
    names = ("simple-stories.jsonl", "fairy-tales.jsonl.xz", "poems.txt", "my novels.md", "letters.txt")
    assert [documents.kind_of(name) for name in names] == ["story", "tale", "poem", "book", "text"]


def test_hard_wrapped_prose_is_joined() -> None:
    text = "Goat and Dog\nwere friends. One\nday they left.\n\nThey took a\ntaxi."
    assert documents.clean_text(text) == "Goat and Dog were friends. One day they left.\n\nThey took a taxi."


def test_long_lines_are_paragraphs_and_verse_keeps_its_lines() -> None:
    long = "word " * 30
    assert documents.clean_text(f"{long}\n{long}") == f"{long.strip()}\n\n{long.strip()}"
    verse = "O fox,\nmy fox,\n\n\n\nsing."
    assert documents.clean_text(verse, is_verse=True) == "O fox,\nmy fox,\n\nsing."


def test_quotes_become_straight_and_book_headings_are_removed(tmp_path: Path) -> None:
    text = "# Title: X\n\n## Author: Y\n\n-------\n\n## CHAPTER I\n\n“Yes,” she said. " + "It’s late. " * 20
    path = tmp_path / "books.jsonl.xz"
    path.write_bytes(lzma.compress(json.dumps({"title": "x-y", "text": text}).encode()))
    (document,) = documents.read_documents(path)
    assert document.title == "X y"
    assert document.kind == "book"
    assert document.text.startswith('CHAPTER I\n\n"Yes," she said. It\'s late.')


def test_lost_character_is_restored_to_an_apostrophe_where_only_that_fits() -> None:
    text = "I don\ufffdt know, it\ufffds late."
    assert documents.clean_text(text) == "I don't know, it's late."
    document = documents.Document("", documents.clean_text("The caf\ufffd was\ufffdempty."))
    assert document.is_damaged
    assert "\ufffd" in document.text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", b"\xff\xfe\x00broken"),
        ("a.jsonl", b'{"text": '),
        ("a.jsonl", b"[" * 100_000),
        ("a.jsonl.xz", b"no archive"),
        ("a.jsonl.xz", lzma.compress(b'{"text": "x"}')[:-9]),
    ],
)
def test_damaged_file_raises_bad_input(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(api.BadInput, match=name):
        documents.read_documents(path)


def test_json_lines_may_hold_other_line_separators_and_surrogates(tmp_path: Path) -> None:
    row = {"title": "One", "text": "A line\u2028and another\x85and one more."}
    half_surrogate = '{"title": "Half \\ud83d", "text": "A fox \\ud83d", "credit": "Me \\ud83d"}'
    content = "\ufeff" + json.dumps(row, ensure_ascii=False) + "\r\n" + half_surrogate + "\r\n"
    (tmp_path / "a.jsonl").write_bytes(content.encode())
    document, damaged = documents.read_documents(tmp_path / "a.jsonl")
    assert (document.title, document.is_damaged) == ("One", False)
    assert (damaged.title, damaged.text, damaged.credit) == ("Half \ufffd", "A fox \ufffd", "Me \ufffd")
    assert damaged.is_damaged
    damaged.is_held_out()


def test_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_FILE_BYTES", 1000)
    path = tmp_path / "a.jsonl.xz"
    path.write_bytes(lzma.compress(b" " * 2000))
    with pytest.raises(api.BadInput, match="larger"):
        documents.read_documents(path)


def test_about_the_given_fraction_is_held_out() -> None:
    texts = [documents.Document(str(number), "text") for number in range(2000)]
    fraction = sum(document.is_held_out() for document in texts) / len(texts)
    assert 0.01 < fraction < 0.03
