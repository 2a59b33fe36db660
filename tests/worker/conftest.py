"""Workers for tests: one that a file of tests shares, and fresh ones for those that end badly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from studio.core.paths import Home
from tests.worker.worker_client import Worker


@pytest.fixture
def fresh(home: Home) -> Iterator[Callable[..., Worker]]:
    """Starts a worker in the test's own home, and ends it after the test."""
    with ExitStack() as stack:
        yield lambda *options, **more: stack.enter_context(Worker(home, *options, **more))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Worker]:
    """One worker for all tests of a file, which drops its plugins by `plugins(home)`."""
    home = Home(tmp_path_factory.mktemp("home"))
    home.create_folders()
    request.module.plugins(home)
    with Worker(home) as worker:
        worker.ready()
        yield worker
