"""Settings and other JSON files that people edit: what is wrong costs one value."""

import json
import os
from pathlib import Path

import pytest

from studio.core import edited_json, settings
from studio.core.errors import CannotWrite
from studio.core.messages import EstimateResult
from studio.core.paths import Home
from studio.core.settings import Settings
from studio.engine.throughput import Rates
from studio.library.models import external_folders
from studio.state.form import draft_store


def test_settings_are_saved_and_loaded(tmp_path: Path) -> None:
    chosen = Settings(device="cpu", disabled_plugins=("gan_art",))
    settings.save(tmp_path / "s.json", chosen)
    assert settings.load(tmp_path / "s.json") == chosen


FOLDERS = ("/models/ä", "/b // c", "/d # e")
GOOD = '"model_folders": ["/models/ä", "/b // c", "/d # e"]'

CASES: dict[str, tuple[str, str]] = {
    "a wrong value": (
        f'{{\n"cancel_grace": "long",\n{GOOD}}}',
        'line 2: cancel_grace must be a number from 0 to 3600, not "long"',
    ),
    "a value out of range": (
        f'{{{GOOD},\n"hang_limit": -1}}',
        "line 2: hang_limit must be a number from 1 to 86400, not -1",
    ),
    "an unknown choice": (f'{{"theme": "pink", {GOOD}}}', 'line 1: theme must be one of dark, light, not "pink"'),
    "no value": (f'{{"device": null, {GOOD}}}', "line 1: device must be a text in quotes, not null"),
    "a word without quotes": (f'{{"theme": light,\n{GOOD}}}', "line 1: the value of theme cannot be read"),
    "the same on one line": (f'{{"theme": light, {GOOD}}}', "line 1: the value of theme cannot be read"),
    "a decimal comma": (f'{{\n"cancel_grace": 2,5,\n{GOOD}}}', "line 2: the value of cancel_grace cannot be read"),
    "no number": (f'{{"cancel_grace": NaN, {GOOD}}}', "line 1: the value of cancel_grace cannot be read"),
    "a name without quotes": (f'{{\ntheme: "light",\n{GOOD}}}', "line 2: a name in quotes"),
    "deep lists": (f'{{"x": {"[" * 200_000},\n{GOOD}}}', "line 1: the value of x cannot be read"),
    "an early end": (f"{{{GOOD}", "ends early"),
    "a wrong item": (
        f"{{{GOOD[:-1]}, 5]}}",
        "line 1: model_folders must be a list of texts in quotes, not 5, so that item is left out",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_only_what_is_wrong_has_its_default(tmp_path: Path, case: str) -> None:
    content, problem = CASES[case]
    path = tmp_path / "settings.json"
    path.write_text(content, "utf-8")
    loaded, problems = settings.load_with_problems(path)
    assert loaded == Settings(model_folders=FOLDERS)
    assert len(problems) == 1
    assert problem in problems[0]
    assert problems[0].startswith("settings.json")
    settings.save(path, loaded)
    assert settings.load_with_problems(path) == (loaded, ())
    (copy,) = tmp_path.glob("settings.json.broken-*")
    assert copy.read_text("utf-8") == content


@pytest.mark.parametrize("content", ["[]", "null", '"x"', "5", "", " \n", '[{"theme": "light"}]'])
def test_another_value_than_an_object_is_named_and_kept(tmp_path: Path, content: str) -> None:
    path = tmp_path / "settings.json"
    path.write_text(content)
    loaded, problems = settings.load_with_problems(path)
    assert loaded == Settings()
    assert len(problems) == 1
    settings.save(path, loaded)
    assert [copy.read_text() for copy in tmp_path.glob("*.broken-*")] == [content]
    assert settings.load_with_problems(tmp_path / "none.json") == (Settings(), ())


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "content",
    [
        f"{{{GOOD}}}",
        f"{{{GOOD},}}",
        f"{{{GOOD[:-1]},]}}",
        f"// {{\n{{/* x */ # y\n{GOOD}, // z\n}}",
        f'{{"theme": "dark"\n{GOOD}}}',
    ],
)
def test_marks_comments_and_commas_are_no_problem(tmp_path: Path, content: str, encoding: str, mark: str) -> None:
    if not mark and encoding != "utf-8":
        pytest.skip("UTF-16 is told by its mark")
    path = tmp_path / "settings.json"
    path.write_bytes((mark + content).encode(encoding))
    loaded, problems = settings.load_with_problems(path)
    assert (loaded.model_folders, problems) == (FOLDERS, ())
    settings.save(path, loaded)
    assert settings.load(path) == loaded
    is_plain = not mark and content == f"{{{GOOD}}}"
    assert len([*tmp_path.glob("*.broken-*")]) == (0 if is_plain else 1)


def test_what_a_newer_studio_wrote_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text('{"theme": "light", "brushes": {"size": [1, 2.5, null, "ä"]}, "zoom": 10000000000000000000000}')
    settings.save(path, settings.load(path))
    written = json.loads(path.read_text("utf-8"))
    assert written["brushes"] == {"size": [1, 2.5, None, "ä"]}
    assert written["zoom"] == 10**22
    assert not [*tmp_path.glob("*.broken-*")]


def test_a_few_copies_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    for number in range(edited_json.MAX_COPIES + 3):
        path.write_text(f"[{number}]")
        settings.save(path, Settings())
    kept = sorted(copy.read_text() for copy in tmp_path.glob("*.broken-*"))
    assert kept == [f"[{number}]" for number in range(3, edited_json.MAX_COPIES + 3)]


def test_a_folder_or_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    for make in (Path.mkdir, os.mkfifo) if hasattr(os, "mkfifo") else (Path.mkdir,):
        path = tmp_path / getattr(make, "__name__", "") / "settings.json"
        path.parent.mkdir()
        make(path)
        loaded, problems = settings.load_with_problems(path)
        assert (loaded, len(problems)) == (Settings(), 1)
        with pytest.raises(CannotWrite, match=r"settings\.json is not replaced"):
            settings.save(path, loaded)


def test_other_files_of_the_home_lose_only_what_is_wrong(tmp_path: Path) -> None:
    rates = tmp_path / "rates.json"
    rates.write_text('\ufeff{"cpu": {"a": 2.0, "b": "x", "c": null}, "cuda": [], "mps": {"a": 1},}', "utf-8")
    estimate = Rates(rates).add_seconds(EstimateResult(id="x", device="cpu", rate="a", work=2.0))
    assert estimate.seconds == 4.0
    folders = [{"path": "/m", "program": "ComfyUI"}, {"path": 5}, {"path": "/n"}]
    (tmp_path / "model-folders.json").write_text("\ufeff" + json.dumps(folders), "utf-8")
    assert [folder.path for folder in external_folders.load(Home(tmp_path))] == ["/m", "/n"]
    draft = tmp_path / "workspace.json"
    draft.write_text('{"tool": "x.y", "seed": "many", "values": {"x.y": {"a": 1}, "z": 2}, "count": 3}')
    stored = draft_store.load(draft)
    assert (stored.tool, stored.seed, stored.values, stored.count) == ("x.y", 0, {"x.y": {"a": 1}}, 3)
