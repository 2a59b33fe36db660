"""A history of 100,000 creations: opening it, scrolling through it, searching in it."""

from __future__ import annotations

import hashlib
import io
import random
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from PIL import Image
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from studio.core.paths import Home
from studio.core.recipe import PluginRef, Recipe
from studio.library.creation import Creation, CreationKind
from studio.library.index import schema
from studio.library.index.extraction import IndexEntry
from studio.library.library import Library
from studio.library.storage.thumbnail_db import ThumbnailDb
from studio.state.library.history_model import HistoryModel
from studio.ui.history import HistoryPanel
from studio.ui.theme import theme
from tests.benchmarks.measure import LEAST, Figure
from tests.benchmarks.window_fixture import TICK, Gaps, Painted, rest, until

ROWS = 100_000
WITH_THUMBNAIL = 20_000
"""The newest; the rest is not scrolled to."""
WORDS = ["amber", "fox", "river", "lantern", "quiet", "harbour", "winter", "glass", "orchard", "moth", "paper", "crow"]
WHEEL = 40
"""Pixels that a turning wheel moves the list by, each tick."""
WIDTH, HEIGHT = 298, 860


def figures() -> Iterator[Figure]:
    app = QApplication.instance() or QApplication([])
    assert isinstance(app, QApplication)
    theme.apply(app, "dark")
    with _library(200) as small, _library(ROWS) as large:
        _open(small)
        few = [_open(small) for _ in range(LEAST)]
        many = [_open(large) for _ in range(LEAST)]
        of_idle = "the same with 200 creations"
        for number, (what, bound) in enumerate([("opened, to first paint", 100), ("opened, to all there", 200)]):
            yield Figure(
                what=what,
                samples=tuple(one[number] for one in many),
                bound=bound,
                idle=median(one[number] for one in few),
                of_idle=of_idle,
            )
        with _panel(small) as panel:
            idle = median(_keys(panel))
        with _panel(large) as panel:
            yield Figure(
                what="search: key to painted", samples=tuple(_keys(panel)), bound=60, idle=idle, of_idle=of_idle
            )
            gaps = Gaps()
            rest(1)
            gaps.taken()
            rest(3)
            still = max(gaps.taken())
            yield Figure(
                what="scrolling: worst gap of a 16 ms timer",
                samples=tuple(_scroll(panel, gaps) for _ in range(LEAST)),
                bound=33,
                idle=still,
                of_idle="the same list, standing still",
            )


@contextmanager
def _library(rows: int) -> Iterator[Library]:
    """Rows as a library has them, without their files: no sweep is made here."""
    with tempfile.TemporaryDirectory(prefix="studio-bench-") as folder:
        home = Home(Path(folder))
        home.create_folders()
        chance = random.Random(7)
        ids = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(rows)]
        with closing(sqlite3.connect(home.index, isolation_level=None)) as connection:
            schema.prepare_connection(connection)
            connection.execute("BEGIN")
            for number, id in enumerate(ids):
                schema.write_row(connection, home, _measured(home, id, number, chance))
            connection.execute("COMMIT")
        _fill_thumbnails(home, ids[-WITH_THUMBNAIL:])
        library = Library(home)
        library.open()
        try:
            yield library
        finally:
            library.close()


def _measured(home: Home, id: str, number: int, chance: random.Random) -> IndexEntry:
    prompt = " ".join(chance.choices(WORDS, k=12))
    created = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)).isoformat(timespec="milliseconds")
    recipe = Recipe(
        tool="diffusion.paint",
        plugin=PluginRef("diffusion", "1.0"),
        params={"prompt": prompt, "steps": 25, "guidance": 7.5},
        seed=number,
        created=created,
    )
    path = home.library / created[:10].replace("-", "/") / f"diffusion.paint-{number}-{id[:10]}.png"
    return IndexEntry(
        Creation(
            id=id,
            path=str(path),
            kind=CreationKind.IMAGE,
            tool=recipe.tool,
            title=prompt,
            recipe=recipe,
            width=1024,
            height=1024,
            size=1_500_000,
            created=created,
            star=number % 50 == 0,
            rating=number % 6,
        ),
        words=prompt,
    )


def _fill_thumbnails(home: Home, ids: list[str]) -> None:
    pictures = [_jpeg(seed) for seed in range(64)]
    with closing(ThumbnailDb(home.thumbs)) as thumbs:
        thumbs.put(ids[0], pictures[0])
    with closing(sqlite3.connect(home.thumbs, isolation_level=None)) as connection:
        (table,) = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchone()
        connection.execute("BEGIN")
        rows = ((id, pictures[number % len(pictures)]) for number, id in enumerate(ids))
        connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", rows)
        connection.execute("COMMIT")


def _jpeg(seed: int) -> bytes:
    chance = random.Random(seed)
    small = Image.frombytes("RGB", (8, 8), chance.randbytes(192))
    content = io.BytesIO()
    small.resize((256, 256), Image.Resampling.BICUBIC).save(content, "JPEG", quality=85)
    return content.getvalue()


@contextmanager
def _panel(library: Library) -> Iterator[HistoryPanel]:
    model = HistoryModel(library)
    panel = HistoryPanel(model)
    panel.resize(WIDTH, HEIGHT)
    panel.show()
    model.search()
    until(lambda: model.is_complete)
    rest(0.5)
    try:
        yield panel
    finally:
        panel.close()
        panel.deleteLater()
        model.close()


def _open(library: Library) -> tuple[float, float]:
    """Milliseconds to the first paint that has creations, and to the paint with all rows and thumbnails in view."""
    model = HistoryModel(library)
    began = time.monotonic_ns()
    panel = HistoryPanel(model)
    panel.resize(WIDTH, HEIGHT)
    first: list[int] = []
    last: list[int] = []

    def painted_at(now: int) -> None:
        if model.rowCount() and not first:
            first.append(now)
        if model.is_complete and not last and _filled(panel):
            last.append(now)

    painted = Painted(panel.grid.viewport())
    painted.done.connect(painted_at)
    panel.show()
    model.search()
    until(lambda: bool(last))
    panel.close()
    panel.deleteLater()
    model.close()
    return (first[0] - began) / 1e6, (last[0] - began) / 1e6


def _filled(panel: HistoryPanel) -> bool:
    """Whether every row in view has its thumbnail."""
    view, model = panel.grid.viewport().rect(), panel.model
    for row in range(model.rowCount()):
        where = model.index(row)
        if not panel.grid.visualRect(where).intersects(view):
            return row > 0
        if where.data(model.ThumbnailRole) is None:
            return False
    return True


def _keys(panel: HistoryPanel) -> Iterator[float]:
    """From each key of some words to the paint of what they find."""
    painted_at: list[int] = []
    model = panel.model
    painted = Painted(panel.grid.viewport())
    panel.search.setFocus()
    for word in ("amber", "moth", "crow"):
        for key in word:
            answers: list[int] = []
            link = model.modelReset.connect(lambda answers=answers: answers.append(time.monotonic_ns()))
            painted_at.clear()
            times = painted.done.connect(lambda now, answers=answers: painted_at.append(now) if answers else None)
            began = time.monotonic_ns()
            QTest.keyClicks(panel.search, key)
            until(lambda: bool(painted_at))
            yield (painted_at[0] - began) / 1e6
            model.modelReset.disconnect(link)
            painted.done.disconnect(times)
            rest(0.1)
        panel.search.clear()
        until(lambda: model.is_complete)
    painted.deleteLater()


def _scroll(panel: HistoryPanel, gaps: Gaps) -> float:
    """The worst gap while a wheel turns for two seconds, from somewhere on."""
    bar = panel.grid.verticalScrollBar()
    bar.setValue(int(bar.maximum() * random.random() * 0.8 * WITH_THUMBNAIL / ROWS))
    rest(0.3)
    gaps.taken()
    end = time.monotonic() + 2
    while time.monotonic() < end:
        bar.setValue(bar.value() + WHEEL)
        rest(TICK / 1000)
    return max(gaps.taken())
