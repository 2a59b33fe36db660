"""Training texts in other encodings than UTF-8."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins.writer.training.documents import read_folders
from studio import api

TEXT = "Café “quoted” naïve. His hoe was too short.\n\n" + "The garden lay still in the sun. " * 50


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_texts_are_read_in_their_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "tales.txt").write_bytes(TEXT.encode(encoding))
    events = []
    reading = read_folders([tmp_path], [])
    try:
        while True:
            events.append(next(reading))
    except StopIteration as end:
        corpus = end.value
    assert not corpus.skipped
    assert corpus.documents[0].text.startswith('Café "quoted" naïve. His hoe')
    notices = [event.text for event in events if isinstance(event, api.Notice)]
    expected = ["Not UTF-8, so the encoding was detected: tales.txt as cp1252."] if encoding == "cp1252" else []
    assert notices == expected


def test_a_caption_is_read_in_its_encoding(tmp_path: Path) -> None:
    for encoding in ("utf-8-sig", "utf-16", "cp1252"):
        (tmp_path / "x.txt").write_bytes("a café".encode(encoding))
        assert api.datasets._caption_file(tmp_path / "x.txt") == "a café"
