from __future__ import annotations

from studio.core.settings import Settings
from studio.engine.plugin_fingerprint import fingerprint


def test_it_stays_until_a_plugin_changes(home):
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


def test_switching_a_plugin_off_changes_it(home):
    assert fingerprint(home, Settings(disabled_plugins=("x",))) != fingerprint(home, Settings())
