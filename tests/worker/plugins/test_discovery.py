"""Discovery of plugins: those it accepts, those it refuses, and that one never disturbs another."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pytest

from studio.core import params_schema
from studio.core.descriptor import PluginDescriptor, Widget
from studio.core.paths import Home
from studio.worker.plugins import sources
from studio.worker.plugins.discovery import LoadedPlugins, discover
from tests.worker.worker_client import format_plugin, write_plugin


class PluginFinder(Protocol):
    def __call__(self, disabled: Sequence[str] = ()) -> LoadedPlugins: ...


@pytest.fixture
def find_plugins(home: Home) -> Iterator[PluginFinder]:
    """Load the user's plugins, and unload them after the test."""
    loaded: list[LoadedPlugins] = []
    before = set(sys.modules)

    def find(disabled: Sequence[str] = ()) -> LoadedPlugins:
        user_sources = [source for source in sources.find_sources(home) if source.origin == "user"]
        loaded.append(discover(user_sources, disabled=disabled))
        return loaded[-1]

    yield find
    for plugins in loaded:
        plugins.unload()
    assert not [name for name in set(sys.modules) - before if name.startswith("studio_plugins.")]


def get_plugin(plugins: LoadedPlugins, name: str) -> PluginDescriptor:
    return {plugin.name: plugin for plugin in plugins.catalogue.plugins}[name]


def test_a_dropped_file_is_a_plugin(home: Home, find_plugins: PluginFinder) -> None:
    about = "title = 'Many dots'\n__version__ = '1.2'\n"
    path = write_plugin(home, "dots", about + format_plugin("dots", "yield", params="size: int = 3"))
    plugin = get_plugin(find_plugins(), "dots")
    assert (plugin.title, plugin.version, plugin.source, plugin.path) == ("Many dots", "1.2", "user", str(path))
    (described,) = plugin.tools
    assert (described.id, described.plugin, described.plugin_version) == ("dots.do", "dots", "1.2")
    assert described.summary == "Does one thing."
    (size,) = params_schema.read_fields(described.schema)
    assert (size.name, size.widget, size.default) == ("size", Widget.WHOLE, 3)


def test_a_folder_is_a_plugin_and_imports_its_own_modules(home: Home, find_plugins: PluginFinder) -> None:
    folder = home.plugins / "many-parts"
    folder.mkdir()
    (folder / "words.py").write_text("TITLE = 'From a part'\n")
    (folder / "__init__.py").write_text(
        "from studio import api\nfrom .words import TITLE as title\n" + format_plugin("parts", "yield")
    )
    plugin = get_plugin(find_plugins(), "many-parts")
    assert (plugin.title, plugin.error) == ("From a part", "")
    assert "studio_plugins.many_parts.words" in sys.modules


def test_user_plugins_leave_no_bytecode_in_their_folder(home: Home, find_plugins: PluginFinder) -> None:
    write_plugin(home, "dots", format_plugin("dots", "yield"))
    find_plugins()
    assert [path.name for path in home.plugins.iterdir()] == ["dots.py"]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("raise RuntimeError('no luck')", "Bad cannot be loaded: RuntimeError: no luck"),
        ("raise SystemExit(3)", "Bad cannot be loaded: SystemExit: 3"),
        ("import no_such_library", "No module named 'no_such_library'"),
        ("this is no Python", "invalid syntax"),
        ("@api.hookimpl\ndef studio_tools(): raise ValueError('the hook')", "ValueError: the hook"),
        ("@api.hookimpl\ndef studio_tools(): return 5", "must return a list of tools, and returned 5"),
        ("@api.hookimpl\ndef studio_tools(window): return []", "PluginValidationError"),
        ("x = 1", "bad brings no tools."),
        ("@api.hookimpl\ndef studio_tool(): return []", "There is no hook studio_tool. Did you mean studio_tools?"),
        (
            "api_version = 99\n" + format_plugin("bad", "yield"),
            "made for a newer studio (plugin API 99, this one has 1)",
        ),
        ("api_version = 'one'\n" + format_plugin("bad", "yield"), "must be a whole number"),
    ],
)
def test_a_plugin_that_fails_is_reported_and_the_others_load(
    home: Home,
    find_plugins: PluginFinder,
    source: str,
    sentence: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_plugin(home, "after", format_plugin("after", "yield"))
    write_plugin(home, "bad", source)
    write_plugin(home, "zebra", format_plugin("zebra", "yield"))
    plugins = find_plugins()
    assert sentence in get_plugin(plugins, "bad").error
    assert not get_plugin(plugins, "bad").tools
    assert list(plugins.tools) == ["after.do", "zebra.do"]


def test_a_failed_plugin_keeps_its_traceback(
    home: Home, find_plugins: PluginFinder, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_plugin(home, "bad", "def fall(): raise RuntimeError('no luck')\nfall()")
    assert f'File "{path}", line 2, in fall' in get_plugin(find_plugins(), "bad").details


def test_the_first_of_two_tools_keeps_the_id(home: Home, find_plugins: PluginFinder) -> None:
    write_plugin(home, "alpha", format_plugin("same", "yield"))
    write_plugin(home, "gamma", format_plugin("same", "yield"))
    plugins = find_plugins()
    assert plugins.tools["same.do"].__module__ == "studio_plugins.alpha"
    assert get_plugin(plugins, "gamma").notes == ("There is already a tool same.do; this one was left out.",)


def test_a_tool_that_breaks_a_rule_is_left_out_and_the_others_stay(home: Home, find_plugins: PluginFinder) -> None:
    write_plugin(
        home,
        "mix",
        """
        class Good(api.Tool):
            "Is as it should be."
            id, title = "mix.good", "Good"
            def run(self, params, ctx): yield

        class Loud(Good):
            "Has a bad id."
            id = "Mix Loud"

        class Seedy(Good):
            "Takes what is not its own."
            id = "mix.seedy"
            class Params(api.Params):
                seed: int = 1

        class Late(Good):
            "Runs asynchronously."
            id = "mix.late"
            async def run(self, params, ctx): yield

        @api.hookimpl
        def studio_tools(): return [Good, Loud, Seedy, Late, int]
        """,
    )
    plugins = find_plugins()
    assert list(plugins.tools) == ["mix.good"]
    assert get_plugin(plugins, "mix").notes == (
        "Mix Loud needs an id like plugin.verb: lower-case letters, digits, _ and one dot.",
        "mix.seedy has a parameter seed, which is reserved for the studio.",
        "The run of mix.late is asynchronous; it must be a plain generator.",
        "<class 'int'> is not a subclass of api.Tool.",
    )


def test_a_second_plugin_of_the_same_name_is_refused(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.py").write_text("from studio import api\n" + format_plugin(folder, "yield"))
    plugins = discover(sources.FileSource(tmp_path / folder / "same.py", "user") for folder in ("one", "two"))
    assert list(plugins.tools) == ["one.do"]
    assert plugins.catalogue.plugins[1].error == "There is already a plugin named same; this one was left out."
    plugins.unload()


def test_a_disabled_plugin_is_listed_and_not_imported(home: Home, find_plugins: PluginFinder) -> None:
    write_plugin(home, "dots", "raise AssertionError('imported')")
    plugin = get_plugin(find_plugins(disabled=["dots"]), "dots")
    assert (plugin.error, plugin.notes, plugin.tools) == ("", ("Disabled.",), ())


def test_hidden_files_and_folders_without_python_are_no_plugins(home: Home, find_plugins: PluginFinder) -> None:
    (home.plugins / "__pycache__").mkdir()
    (home.plugins / "pictures").mkdir()
    (home.plugins / "notes.txt").touch()
    (home.plugins / ".hidden.py").touch()
    assert find_plugins().catalogue.plugins == ()


def test_a_folder_without_an_init_file_is_reported(home: Home, find_plugins: PluginFinder) -> None:
    (home.plugins / "half").mkdir()
    (home.plugins / "half" / "tools.py").touch()
    assert get_plugin(find_plugins(), "half").error.startswith("The folder half has no __init__.py.")
