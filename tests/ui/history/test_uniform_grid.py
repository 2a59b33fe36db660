"""The uniform grid: positions, hits, keys and scrolling, with a hundred thousand cells."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QPoint, QRect, QStringListModel, Qt
from pytestqt.qtbot import QtBot

from studio.ui.history.uniform_grid import UniformGrid


@pytest.fixture
def grid(qtbot: QtBot) -> Iterator[UniformGrid]:
    grid = UniformGrid(90)
    grid.model_ = QStringListModel([str(number) for number in range(100_000)])  # type: ignore[attr-defined]
    grid.setModel(grid.model_)  # type: ignore[attr-defined]
    qtbot.addWidget(grid)
    grid.resize(300, 600)
    grid.show()
    yield grid
    grid.close()


def test_every_cell_is_found_at_its_position(grid: UniformGrid) -> None:
    for row in (0, 1, 2, 3, 50_000, 99_999):
        grid.scrollTo(grid.model().index(row, 0))
        rect = grid.visualRect(grid.model().index(row, 0))
        assert grid.viewport().rect().contains(rect)
        assert grid.indexAt(rect.center()).row() == row


def test_points_outside_the_cells_have_no_index(grid: UniformGrid) -> None:
    grid.scrollToBottom()
    bottom = grid.visualRect(grid.model().index(99_999, 0))
    assert not grid.indexAt(bottom.center() + QPoint(grid.side, 0)).isValid()
    assert not grid.indexAt(QPoint(grid.columns * grid.side + 1, 5)).isValid()


@pytest.mark.parametrize(
    ("key", "start", "end"),
    [
        (Qt.Key.Key_Right, 0, 1),
        (Qt.Key.Key_Left, 0, 0),
        (Qt.Key.Key_Down, 1, 4),
        (Qt.Key.Key_Up, 4, 1),
        (Qt.Key.Key_Up, 1, 1),
        (Qt.Key.Key_End, 0, 99_999),
        (Qt.Key.Key_Home, 500, 0),
        (Qt.Key.Key_Down, 99_998, 99_999),
        (Qt.Key.Key_Down, 99_999, 99_999),
    ],
)
def test_arrow_keys_move_the_current_cell(grid: UniformGrid, key: Qt.Key, start: int, end: int, qtbot: QtBot) -> None:
    assert grid.columns == 3
    grid.setCurrentIndex(grid.model().index(start, 0))
    qtbot.keyClick(grid, key)
    assert grid.currentIndex().row() == end


def test_page_keys_move_by_the_visible_rows(grid: UniformGrid, qtbot: QtBot) -> None:
    grid.setCurrentIndex(grid.model().index(0, 0))
    qtbot.keyClick(grid, Qt.Key.Key_PageDown)
    assert grid.currentIndex().row() == grid.viewport().height() // grid.side * 3


def test_rows_in_a_rectangle(grid: UniformGrid) -> None:
    side = grid.side
    assert grid.rows_in(QRect(0, 0, 10, 10)) == [(0, 0)]
    assert grid.rows_in(QRect(side + 5, 5, side, side)) == [(1, 2), (4, 5)]


def test_resizing_keeps_the_topmost_row(grid: UniformGrid, qtbot: QtBot) -> None:
    grid.verticalScrollBar().setValue(5_000 * grid.side)
    top = grid.indexAt(QPoint(5, 5)).row()
    grid.resize(620, 600)
    qtbot.waitUntil(lambda: grid.columns > 3)
    assert abs(grid.indexAt(QPoint(5, 5)).row() - top) < grid.columns


def test_inserting_and_removing_keeps_the_position(grid: UniformGrid, qtbot: QtBot) -> None:
    bar = grid.verticalScrollBar()
    bar.setValue(1_000_000)
    grid.model().insertRows(0, 1)
    assert bar.value() == 1_000_000
    most = bar.maximum()
    grid.model().removeRows(99_000, 900)
    qtbot.waitUntil(lambda: bar.maximum() < most)
    assert bar.value() == 1_000_000
