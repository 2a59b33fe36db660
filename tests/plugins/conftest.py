"""A hub of our own in place of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from huggingface_hub import close_session

from tests.plugins.hub_server import Hub, serving

Start = Callable[[Hub], Hub]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Start]:
    """Makes a hub the one that the library knows, with a cache and a token of its own."""
    with ExitStack() as stack:
        stack.callback(close_session)

        def begin(hub: Hub) -> Hub:
            stack.enter_context(serving(hub))
            known = "huggingface_hub.constants"
            monkeypatch.setattr(f"{known}.ENDPOINT", hub.url)
            monkeypatch.setattr(
                f"{known}.HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}"
            )
            return hub

        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("HF_TOKEN", "")
        close_session()
        yield begin
