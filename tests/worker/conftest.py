"""Workers for tests: one that the tests of a file share, and new ones for tests that end them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from studio.core.paths import Home
from tests.worker.worker_client import Worker, WorkerFactory


@pytest.fixture
def start_worker(home: Home) -> Iterator[WorkerFactory]:
    """Start workers in the test's own home, and end them after the test."""
    with ExitStack() as stack:
        yield lambda *options, env=None: stack.enter_context(Worker(home, *options, env=env))


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Worker]:
    """One worker for all tests of a file, whose `write_plugins(home)` writes the plugins."""
    home = Home(tmp_path_factory.mktemp("home"))
    home.create_folders()
    request.module.write_plugins(home)
    with Worker(home) as worker:
        worker.wait_until_ready()
        yield worker
