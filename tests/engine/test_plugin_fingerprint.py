"""The fingerprint of the plugins' sources, which tells whether the cached catalogue is valid."""

from __future__ import annotations

from studio.core.paths import Home
from studio.core.settings import Settings
from studio.engine.plugin_fingerprint import fingerprint


def test_the_fingerprint_changes_with_the_code_of_a_plugin(home: Home) -> None:
    plugin = home.plugins / "mine" / "__init__.py"
    first = fingerprint(home, Settings())
    assert fingerprint(home, Settings()) == first
    plugin.parent.mkdir()
    plugin.write_text("a = 1")
    second = fingerprint(home, Settings())
    assert second != first
    (plugin.parent / "__pycache__").mkdir()
    (plugin.parent / "__pycache__" / "x.py").write_text("")
    (plugin.parent / "notes.txt").write_text("not code")
    assert fingerprint(home, Settings()) == second
    plugin.write_text("a = 12")
    assert fingerprint(home, Settings()) not in (first, second)


def test_disabling_a_plugin_changes_the_fingerprint(home: Home) -> None:
    assert fingerprint(home, Settings(disabled_plugins=("x",))) != fingerprint(home, Settings())
