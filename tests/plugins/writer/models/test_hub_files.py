"""Only the needed files of a language model on the hub are downloaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins.writer.models import hub_files
from plugins.writer.tools.continue_text import WriterContinue
from studio import api, testing
from tests.plugins.conftest import Start
from tests.plugins.hub_server import Hub
from tests.plugins.writer.conftest import run_text

NAME = "org/teller"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_hub_model_is_downloaded_and_used(start: Start, causal_model: Path, tmp_path: Path) -> None:
    expected = contents(causal_model)
    others = {"pytorch_model.bin": b"pickle", "onnx/model.onnx": b"x", "code.py": b"import os"}
    hub = start(Hub(NAME, {**expected, **others}))
    ctx = testing.FakeContext(folder=tmp_path)
    ctx.model = lambda choice: choice if choice == NAME else Path(choice)  # type: ignore[method-assign]
    run_text(WriterContinue, ctx, text="Once", model=NAME, length=8)
    assert contents(tmp_path / "models" / "org--teller") == expected
    assert any(isinstance(event, api.Notice) and "licence" in event.text for event in ctx.events)
    assert hub


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"README.md": b"x"}, "transformers"),
        ({"config.json": b"{}", "pytorch_model.bin": b"x"}, "no safetensors"),
        ({"config.json": b'{"auto_map": {}}', "model.safetensors": b"x"}, "custom program code"),
        ({"config.json": b"{", "model.safetensors": b"x"}, "damaged"),
    ],
)
def test_unusable_repository_raises_bad_input(
    start: Start, tmp_path: Path, files: dict[str, bytes], sentence: str
) -> None:
    start(Hub(NAME, files))
    with pytest.raises(api.BadInput, match=sentence):
        hub_files.download_model(NAME, testing.FakeContext(folder=tmp_path))


def test_one_weights_file_or_all_shards_are_chosen() -> None:
    def pick(*names: str) -> list[str]:
        return hub_files.pick_files(NAME, {name: api.hub.HubFile(name, 1, "") for name in names}, {})

    assert pick("model.safetensors", "model.fp32.safetensors", "config.json") == ["config.json", "model.safetensors"]
    parts = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]
    assert pick(*parts, "consolidated.safetensors") == parts
