"""Pairs of points as text."""

import pytest

from studio.core.point_pairs import PointPair, format_pair, parse_pair


def test_a_pair_is_read_as_fractions_and_written_in_per_cent() -> None:
    pair = parse_pair(" 30, 40.5 > 55,0 ")
    assert pair == PointPair((0.30, 0.405), (0.55, 0.0))
    assert format_pair(pair) == "30, 40.5 > 55, 0"
    assert format_pair(PointPair((-0.2, 1 / 3), (1.7, 1.0))) == "0, 33.3 > 100, 100"
    assert parse_pair(format_pair(PointPair((-0.2, 1 / 3), (1.7, 1.0))))


@pytest.mark.parametrize("text", ["", "1, 2", "1,2>3", "1,2>3,101", "-1,2>3,4", "a,b>c,d", "1,2>3,4>5,6", "9" * 10_000])
def test_anything_else_is_no_pair(text: str) -> None:
    assert parse_pair(text) is None
