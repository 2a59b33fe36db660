"""`inspect` prints what a training would find in its folders, and `run` the captions that a tool writes there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from studio.cli import main
from studio.core.paths import Home

PLUGIN = '''
from studio import api
from studio.api import data_report

class Learn(api.Tool):
    """Learns."""

    id = "knit.learn"
    title = "Learn"
    output = "text"
    Params = api.training.TrainingParams

    def run(self, params, ctx):
        yield api.Text("done")

    def inspect_data(self, params, ctx):
        report = data_report.inspect_images(data_report.list_sources(params, 64, has_captions=True), ctx)
        count = report.count_usable("image")
        if count < 2:
            report = data_report.refuse(report, api.training.describe_shortage(params.folder, count, 2))
        return data_report.advise(report, count, [data_report.Advice(None, "a few stitches.")])


class Count(Learn):
    """Counts."""

    id = "knit.count"
    title = "Count"
    inspect_data = api.Tool.inspect_data

    def run(self, params, ctx):
        yield api.Caption(params.folder / "red scarf 0.png", "one scarf")


@api.hookimpl
def studio_tools():
    return [Learn, Count]
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "wool"
    folder.mkdir()
    for number in range(2):
        Image.effect_noise((70, 70), 80).save(folder / f"red scarf {number}.png")
    (folder / "0.png").write_bytes(b"")
    return folder


def inspect(home: Home, capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    (home.plugins / "knit.py").write_text(PLUGIN)
    assert main(["--home", str(home.root), "--device", "cpu", "inspect", *arguments]) == status
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_captions_are_printed_as_they_come(home: Home, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (home.plugins / "knit.py").write_text(PLUGIN)
    command = ["--home", str(home.root), "--device", "cpu", "run", "knit.count", "--set", f"folder={folder}"]
    assert main(command) == 0
    image = folder / "red scarf 0.png"
    assert capsys.readouterr().out.splitlines() == [f"{image}: one scarf"]
    assert image.with_suffix(".txt").read_text("utf-8") == "one scarf\n"


def test_a_report_is_printed_as_text(home: Home, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    lines = inspect(home, capsys, "knit.learn", "--set", f"folder={folder}").splitlines()
    assert lines[0] == "3 images, 2 usable."
    assert "Captions: file name  2" in lines
    assert "  0.png  0.png is empty (zero bytes). Choose another image." in lines
    assert "  red scarf 0.png  red scarf" in lines
    assert lines[-2:] == ["1 image cannot be read and is left out: 0.png.", "2 images: a few stitches."]


def test_a_report_is_printed_as_json(home: Home, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    out = inspect(home, capsys, "knit.learn", "--json", "--set", f"folder={folder}", "--set", "exclude=0.png")
    report = json.loads(out)
    assert report["summary"] == "3 images, 2 usable, 1 excluded."
    assert report["captions"] == {"file_name": 2}
    assert report["faults"] == {}
    assert [file["name"] for file in report["folders"][0]["files"] if file["is_excluded"]] == ["0.png"]


def test_a_training_that_cannot_start_gives_status_2(
    home: Home, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / "red scarf 1.png").unlink()
    out = inspect(home, capsys, "knit.learn", "--set", f"folder={folder}", status=2)
    assert out.endswith(
        "The training cannot start: wool contains 1 usable image, and this training needs 2. "
        "Add images or choose another folder.\n"
    )


def test_wrong_usage_is_told(home: Home, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    out = inspect(home, capsys, "knit.count", "--set", f"folder={folder}", status=2)
    assert out.startswith("Count has no training data to check. Tools that have: ")
    assert "knit.learn" in out
    assert "There is no folder" in inspect(home, capsys, "knit.learn", "--set", "folder=/nowhere", status=2)
    assert "Folder is missing" in inspect(home, capsys, "knit.learn", status=2)
