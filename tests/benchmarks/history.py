"""A history of 100,000 creations: opening, scrolling and searching."""

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
from tests.benchmarks.figure import MIN_SAMPLES, Figure
from tests.benchmarks.window_fixture import TICK, PaintWatcher, TimerGaps, run_event_loop, wait_until

ROWS = 100_000
WITH_THUMBNAIL = 20_000
"""Number of the newest creations, which have thumbnails; scrolling does not reach the others."""
WORDS = ["amber", "fox", "river", "lantern", "quiet", "harbour", "winter", "glass", "orchard", "moth", "paper", "crow"]
WHEEL = 40
"""Pixels that the wheel scrolls with each tick."""
WIDTH, HEIGHT = 298, 860


def run() -> Iterator[Figure]:
    app = QApplication.instance() or QApplication([])
    assert isinstance(app, QApplication)
    theme.apply(app, "dark")
    with _create_library(200) as small, _create_library(ROWS) as large:
        _measure_opening(small)
        few = [_measure_opening(small) for _ in range(MIN_SAMPLES)]
        many = [_measure_opening(large) for _ in range(MIN_SAMPLES)]
        of_idle = "the same with 200 creations"
        for number, (what, bound) in enumerate([("opened, to first paint", 100), ("opened, to all there", 200)]):
            yield Figure(
                title=what,
                samples=tuple(times[number] for times in many),
                bound=bound,
                baseline=median(times[number] for times in few),
                baseline_title=of_idle,
            )
        with _open_panel(small) as panel:
            idle = median(_measure_keys(panel))
        with _open_panel(large) as panel:
            yield Figure(
                title="search: key to painted",
                samples=tuple(_measure_keys(panel)),
                bound=60,
                baseline=idle,
                baseline_title=of_idle,
            )
            gaps = TimerGaps()
            run_event_loop(1)
            gaps.take_gaps()
            run_event_loop(3)
            still = max(gaps.take_gaps())
            yield Figure(
                title="scrolling: worst gap of a 16 ms timer",
                samples=tuple(_measure_scrolling(panel, gaps) for _ in range(MIN_SAMPLES)),
                bound=33,
                baseline=still,
                baseline_title="the same list, not scrolling",
            )


@contextmanager
def _create_library(rows: int) -> Iterator[Library]:
    """Create a library with index rows but without files, and without a sweep."""
    with tempfile.TemporaryDirectory(prefix="studio-bench-") as folder:
        home = Home(Path(folder))
        home.create_folders()
        rng = random.Random(7)
        ids = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(rows)]
        with closing(sqlite3.connect(home.index, isolation_level=None)) as connection:
            schema.prepare_connection(connection)
            connection.execute("BEGIN")
            for number, id in enumerate(ids):
                schema.write_row(connection, home, _build_entry(home, id, number, rng))
            connection.execute("COMMIT")
        _fill_thumbnails(home, ids[-WITH_THUMBNAIL:])
        library = Library(home)
        library.open()
        try:
            yield library
        finally:
            library.close()


def _build_entry(home: Home, id: str, number: int, rng: random.Random) -> IndexEntry:
    prompt = " ".join(rng.choices(WORDS, k=12))
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
    pictures = [_render_jpeg(seed) for seed in range(64)]
    with closing(ThumbnailDb(home.thumbs)) as thumbs:
        thumbs.put(ids[0], pictures[0])
    with closing(sqlite3.connect(home.thumbs, isolation_level=None)) as connection:
        (table,) = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchone()
        connection.execute("BEGIN")
        rows = ((id, pictures[number % len(pictures)]) for number, id in enumerate(ids))
        connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", rows)
        connection.execute("COMMIT")


def _render_jpeg(seed: int) -> bytes:
    rng = random.Random(seed)
    small = Image.frombytes("RGB", (8, 8), rng.randbytes(192))
    content = io.BytesIO()
    small.resize((256, 256), Image.Resampling.BICUBIC).save(content, "JPEG", quality=85)
    return content.getvalue()


@contextmanager
def _open_panel(library: Library) -> Iterator[HistoryPanel]:
    model = HistoryModel(library)
    panel = HistoryPanel(model)
    panel.resize(WIDTH, HEIGHT)
    panel.show()
    model.search()
    wait_until(lambda: model.is_complete)
    run_event_loop(0.5)
    try:
        yield panel
    finally:
        panel.close()
        panel.deleteLater()
        model.close()


def _measure_opening(library: Library) -> tuple[float, float]:
    """Return ms to the first paint with creations, and to the paint with all visible thumbnails."""
    model = HistoryModel(library)
    started = time.monotonic_ns()
    panel = HistoryPanel(model)
    panel.resize(WIDTH, HEIGHT)
    first: list[int] = []
    last: list[int] = []

    def on_painted(now: int) -> None:
        if model.rowCount() and not first:
            first.append(now)
        if model.is_complete and not last and _is_filled(panel):
            last.append(now)

    painted = PaintWatcher(panel.grid.viewport())
    painted.painted.connect(on_painted)
    panel.show()
    model.search()
    wait_until(lambda: bool(last))
    panel.close()
    panel.deleteLater()
    model.close()
    return (first[0] - started) / 1e6, (last[0] - started) / 1e6


def _is_filled(panel: HistoryPanel) -> bool:
    """Check whether every visible row has its thumbnail."""
    view, model = panel.grid.viewport().rect(), panel.model
    for row in range(model.rowCount()):
        where = model.index(row)
        if not panel.grid.visualRect(where).intersects(view):
            return row > 0
        if where.data(model.ThumbnailRole) is None:
            return False
    return True


def _measure_keys(panel: HistoryPanel) -> Iterator[float]:
    """Measure from each key of some words to the paint of the results."""
    painted_at: list[int] = []
    model = panel.model
    painted = PaintWatcher(panel.grid.viewport())
    panel.search.setFocus()
    for word in ("amber", "moth", "crow"):
        for key in word:
            answers: list[int] = []
            link = model.modelReset.connect(lambda answers=answers: answers.append(time.monotonic_ns()))
            painted_at.clear()
            times = painted.painted.connect(lambda now, answers=answers: painted_at.append(now) if answers else None)
            started = time.monotonic_ns()
            QTest.keyClicks(panel.search, key)
            wait_until(lambda: bool(painted_at))
            yield (painted_at[0] - started) / 1e6
            model.modelReset.disconnect(link)
            painted.painted.disconnect(times)
            run_event_loop(0.1)
        panel.search.clear()
        wait_until(lambda: model.is_complete)
    painted.deleteLater()


def _measure_scrolling(panel: HistoryPanel, gaps: TimerGaps) -> float:
    """Return the worst gap while a wheel turns for two seconds, from a random position."""
    bar = panel.grid.verticalScrollBar()
    bar.setValue(int(bar.maximum() * random.random() * 0.8 * WITH_THUMBNAIL / ROWS))
    run_event_loop(0.3)
    gaps.take_gaps()
    end = time.monotonic() + 2
    while time.monotonic() < end:
        bar.setValue(bar.value() + WHEEL)
        run_event_loop(TICK / 1000)
    return max(gaps.take_gaps())
