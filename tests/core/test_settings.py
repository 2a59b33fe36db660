"""Settings on disk; a file that cannot be read gives the defaults."""

from pathlib import Path

import pytest

from studio.core import settings
from studio.core.settings import Settings


def test_settings_are_saved_and_loaded(tmp_path: Path) -> None:
    chosen = Settings(device="cpu", disabled_plugins=("gan_art",))
    settings.save(tmp_path / "s.json", chosen)
    assert settings.load(tmp_path / "s.json") == chosen


@pytest.mark.parametrize("content", [b"", b"{", b'{"cancel_grace": "long"}', b"\xff"])
def test_a_garbled_file_gives_the_defaults(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s.json").write_bytes(content)
    assert settings.load(tmp_path / "s.json") == Settings()
    assert settings.load(tmp_path / "none.json") == Settings()
