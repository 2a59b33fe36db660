"""Fixtures for a sitting at the studio: a real library, and an engine that does what the test says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from pytestqt.qtbot import QtBot

from studio.core.paths import Home
from studio.core.settings import Settings
from studio.library.library import Library
from studio.state.session import Session
from tests.fakes import BROKEN, FakeEngine, catalogue


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(catalogue(BROKEN))


@pytest.fixture
def session(qtbot: QtBot, home: Home, engine: FakeEngine) -> Iterator[Session]:
    """Begun and started; it is closed after the test unless the test did."""
    made = Session(home, engine, Library(home), Settings())
    made.begin()
    with qtbot.waitSignal(made.library_ready):
        made.start()
    yield made
    if not engine.closed:
        made.close()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "cup.png"
    Image.linear_gradient("L").convert("RGB").resize((64, 48)).save(path)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    found = []
    for number in range(4):
        path = tmp_path / f"picture-{number}.png"
        Image.new("RGB", (32, 32), (number * 60, 80, 200)).save(path)
        found.append(path)
    return found
