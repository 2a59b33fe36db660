"""Acknowledged edits of pages survive kills and damage."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from studio.core.errors import BadInput, StudioError
from studio.core.page.revisions import RevisionTree
from studio.library.pages.store import SNAPSHOT, PageFile, PageStore

KILLS = 50


@pytest.fixture
def store(tmp_path: Path) -> PageStore:
    return PageStore(tmp_path / "pages")


def journal(file: PageFile) -> Path:
    return next(file.folder.glob("journal-*.jsonl"))


def test_a_page_survives(store: PageStore) -> None:
    file, page = store.create(), RevisionTree()
    assert store.list_pages() == []
    file.append(page.write(0, 0, "Once upon a time"))
    file.append(page.write(0, 4, "Twice", join=False) + page.undo())
    again = store.get(file.id).load()
    assert again.to_stored() == page.to_stored()
    again.redo()
    assert again.text == "Twice upon a time"


def test_a_snapshot_begins_a_new_journal(store: PageStore) -> None:
    file, page = store.create(), RevisionTree()
    file.append(page.write(0, 0, "One"))
    file.snapshot(page.to_stored())
    assert sorted(one.name for one in file.folder.iterdir()) == [SNAPSHOT]
    file.append(page.write(3, 0, " two", join=False))
    again = PageFile(file.folder)
    assert again.load().text == "One two"
    again.append(page.write(7, 0, " three", join=False))
    assert store.get(file.id).load().text == "One two three"


def test_a_truncated_line_is_ignored_and_overwritten(store: PageStore) -> None:
    file, page = store.create(), RevisionTree()
    file.append(page.write(0, 0, "One"))
    with journal(file).open("ab") as torn:
        torn.write(b'{"type":"add","node":{"id":7')
    again = PageFile(file.folder)
    read = again.load()
    assert read.text == "One"
    again.append(read.write(3, 0, " two"))
    assert store.get(file.id).load().text == "One two"


def test_a_damaged_line_loses_only_dependent_edits(store: PageStore) -> None:
    file, page = store.create(), RevisionTree()
    file.append(page.write(0, 0, "One"))
    file.append(page.write(3, 0, " two", join=False))
    lines = journal(file).read_bytes().splitlines(keepends=True)
    lines.insert(2, b"\xff\x00 no json\n")
    journal(file).write_bytes(b"".join(lines) + b'{"type":"go","to":99}\n')
    assert store.get(file.id).load().text == "One two"


def test_an_unreadable_page_is_reported_and_not_changed(store: PageStore) -> None:
    file, page = store.create(), RevisionTree()
    file.append(page.write(0, 0, "One"))
    file.snapshot(page.to_stored())
    (file.folder / SNAPSHOT).write_bytes(b"{}")
    with pytest.raises(BadInput, match="cannot be read"):
        store.get(file.id).load()
    assert "cannot be read" in store.list_pages()[0].opening
    newer = page.to_stored()
    newer.format = 99
    file.snapshot(newer)
    with pytest.raises(BadInput, match="newer version of the studio"):
        store.get(file.id).load()


def test_pages_are_listed_by_their_first_line_the_newest_first(store: PageStore) -> None:
    for number, words in enumerate(["\nThe fox\nOnce", "The owl"]):
        file = store.create()
        file.append(RevisionTree().write(0, 0, words))
        os.utime(journal(file), (number, number))
        os.utime(file.folder, (number, number))
    assert [info.opening for info in store.list_pages()] == ["The owl", "The fox"]
    newest = store.find_newest()
    assert newest is not None
    assert newest.load().text == "The owl"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_write_protected_folder_is_reported(store: PageStore) -> None:
    store.folder.mkdir()
    store.folder.chmod(0o500)
    with pytest.raises(StudioError, match="write-protected"):
        store.create().append(RevisionTree().write(0, 0, "One"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_acknowledged_edits_survive_kills(store: PageStore) -> None:
    """Stricter than the promise of a second: nothing that `append` returned for is ever missing."""
    command = [sys.executable, "-m", "tests.library.kill_page_writer", str(store.folder)]
    said: list[str] = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin
        assert server.stdout
        for turn in range(KILLS):
            print(turn, file=server.stdin, flush=True)
            child = int(server.stdout.readline())
            chance = random.Random(turn)
            said += [server.stdout.readline().strip() for _ in range(chance.randrange(12))]
            for _ in range(chance.randrange(60_000)):
                pass  # the moment of the kill differs from turn to turn
            os.kill(child, signal.SIGKILL)
            while (line := server.stdout.readline()).strip() != "gone":
                said += [line.strip()] if line.endswith("\n") else []
            newest = store.find_newest()
            if newest is not None:
                page = newest.load()
                written = {node.text for node in page.nodes.values()}
                assert all(any(f"<{name}>" in text for text in written) for name in said)
                assert all(page.text_of(id) is not None for id in page.nodes)
        server.stdin.close()
    assert len(store.list_pages()) == 1
    assert len(said) > KILLS
