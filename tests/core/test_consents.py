"""Consents are noted, expire, are revoked, and are never lost."""

from __future__ import annotations

from datetime import date

import pytest

from studio.core import consents
from studio.core.consents import Ground
from studio.core.errors import BadInput
from studio.core.paths import Home


def add(home: Home, who: str = "Ada", until: str = "", image: str = "00") -> consents.Consent:
    return consents.add(home, image=image, name="a.png", who=who, ground=Ground.GIVEN, until=until)


def test_entries_are_listed_in_their_order(home: Home) -> None:
    assert consents.load(home) == []
    first, second = add(home), add(home, " Bea\n B ", "2999-12-31")
    assert consents.load(home) == [first, second]
    assert second.who == "Bea B"
    assert consents.find_latest(home, "00") == second
    assert consents.find_latest(home, "11") is None


def test_an_entry_ends_after_its_last_day(home: Home) -> None:
    entry = add(home, until="2999-05-01")
    assert entry.is_valid(date(2999, 5, 1))
    assert not entry.is_valid(date(2999, 5, 2))
    assert add(home).is_valid(date(9999, 1, 1))


def test_a_revoked_entry_stays_in_the_list(home: Home) -> None:
    entry = add(home)
    revoked = consents.revoke(home, entry.id)
    assert not revoked.is_valid()
    assert consents.load(home) == [revoked]
    assert consents.revoke(home, entry.id) == revoked
    with pytest.raises(BadInput, match="There is no consent nothing"):
        consents.revoke(home, "nothing")


@pytest.mark.parametrize(
    ("who", "until"), [("", ""), (" ", ""), ("x" * 201, ""), ("Ada", "tomorrow"), ("Ada", "2020-01-01")]
)
def test_entries_without_a_name_or_with_no_day_to_come_are_refused(home: Home, who: str, until: str) -> None:
    with pytest.raises(BadInput):
        add(home, who, until)
    assert consents.load(home) == []


def test_a_damaged_list_is_reported_and_not_replaced(home: Home) -> None:
    home.consents.write_text('[{"id": "1"')
    with pytest.raises(BadInput, match=r"consents\.json cannot be read"):
        consents.load(home)
    with pytest.raises(BadInput):
        add(home)
    assert home.consents.read_text() == '[{"id": "1"'
