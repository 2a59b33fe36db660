"""Digests of files: each file is read once while it does not change."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from studio.core import digests


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def instantly_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat new files as old enough for their digest to be cached."""
    monkeypatch.setattr(digests, "SETTLED_NS", -1)


def test_a_digest_is_cached_until_the_file_changes(tmp_path: Path, instantly_settled: None) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    assert digests.sha256(path) == digest_of(b"one")
    digests.remember(path, "remembered")
    assert digests.sha256(path) == "remembered"
    path.write_bytes(b"three")
    assert digests.sha256(path) == digest_of(b"three")


def test_a_cached_digest_survives_a_move_of_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_bytes(b"weights")
    digests.remember(folder / "weights", "remembered")
    folder.rename(tmp_path / "moved")
    assert digests.sha256(tmp_path / "moved" / "weights") == "remembered"


def test_a_file_that_has_just_changed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    for content in (b"one", b"two"):
        path.write_bytes(content)
        assert digests.sha256(path) == digest_of(content)


def test_a_copy_returns_the_digest_of_the_file(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"x" * 3_000_000)
    assert digests.copy(source, target) == digest_of(source.read_bytes()) == digest_of(target.read_bytes())


def test_a_missing_file_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        digests.sha256(tmp_path / "none")
