"""Jobs in a real worker: inputs, results, cancels and failures."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from msgspec.structs import replace
from PIL import Image

from studio.core import paths
from studio.core.errors import Failure, FailureKind
from studio.core.messages import (
    Cancel,
    Heartbeat,
    ImageCaptioned,
    JobCancelled,
    JobFailed,
    JobFinished,
    JobNotice,
    JobPaused,
    JobProgress,
    Pause,
    PreviewFrame,
    ResultSaved,
)
from studio.core.model_files import weights_digest
from studio.core.notices import NoticeLevel
from studio.core.paths import Home
from studio.library.models import licences
from studio.library.storage import recipe_embedding, writer
from tests.worker.worker_client import Worker, filter_messages, format_plugin, write_plugin


def write_plugins(home: Home) -> None:
    """Write one plugin for each tool."""
    write_plugin(
        home,
        "captions",
        format_plugin(
            "captions",
            """
            yield api.Caption(params.folder / "fox.png", "a fox")
            yield api.Caption(params.folder / "b.jpg", "é")
            """,
            params="folder: api.FolderInput",
        ),
    )
    write_plugin(
        home,
        "noise",
        "__version__ = '3.1'\n"
        + format_plugin(
            "noise",
            """
            import random
            import numpy as np
            import torch
            parts = [
                np.random.random((8, 8)),
                torch.rand(8, 8).numpy(),
                torch.rand(8, 8, generator=ctx.generator()).numpy(),
            ]
            ctx.note("luck", random.randrange(1000))
            yield api.Notice("Noise is coming.", "warning")
            yield api.Image(np.stack(parts, 2), name="first", notes={"part": 1})
            yield api.Image(np.ones((4, 6)), name="second")
            """,
            attributes="version = 4",
        ),
    )
    write_plugin(
        home,
        "steps",
        format_plugin(
            "steps",
            """
            try:
                for step in range(params.steps):
                    yield api.Progress(step + 1, params.steps, "Working")
                    ctx.check_cancelled()
                yield api.Text("All done.", title="An end")
            finally:
                (ctx.checkpoint_dir / "left").write_text("in order")
                assert ctx.scratch.is_dir()
            """,
            params="steps: api.Count = 3",
        ),
    )
    write_plugin(
        home,
        "rest",
        format_plugin(
            "rest",
            """
            state = ctx.checkpoint_dir / "state"
            begun = int(state.read_text()) if state.exists() else 0
            yield api.Progress(begun, 10)
            if params.trouble == "disk":
                state.write_text("7")
                import errno
                raise OSError(errno.ENOSPC, "No space left on device")
            if params.trouble == "input":
                raise api.BadInput("There is no folder foxes.", "Put it back.")
            if begun == 0:
                while not ctx.pause_requested:
                    ctx.check_cancelled()
                state.write_text("7")
                raise api.Paused
            yield api.Text(f"Went on from {begun}")
            """,
            attributes="pausable = True",
            params="trouble: str = ''",
        ),
    )
    write_plugin(
        home,
        "film",
        format_plugin(
            "film",
            """
            import numpy as np
            frames = (np.full((16, 16, 3), 20 * i, np.uint8) for i in range(6))
            yield api.Animation(frames, fps=12, name="fade")
            """,
            attributes="output = 'animation'",
        ),
    )
    write_plugin(
        home,
        "train",
        format_plugin(
            "train",
            """
            folder = ctx.scratch / "model"
            folder.mkdir()
            (folder / "model.safetensors").write_bytes(b"weights")
            (folder / "README.md").write_text("A card")
            yield api.Trained(folder, "Mine", "toy")
            """,
            attributes="output = 'model'\nlane = 'training'",
        ),
    )
    write_plugin(
        home,
        "derive",
        format_plugin(
            "derive",
            """
            base = ctx.downloads / "base"
            base.mkdir(parents=True)
            (base / "model.safetensors").write_bytes(b"base weights")
            (base / "studio.json").write_text('{"licence": "kind-1.0"}')
            ctx.model("base")
            folder = ctx.scratch / "model"
            folder.mkdir()
            (folder / "model.safetensors").write_bytes(b"weights")
            (folder / "README.md").write_text("# Mine")
            yield api.Trained(folder, "Mine", "toy", is_derived=True)
            """,
            attributes="output = 'model'",
        ),
    )
    write_plugin(
        home,
        "look",
        format_plugin(
            "look",
            """
            image = api.images.open_picture(params.image)
            notes = ctx.notes_of(params.image)
            yield api.Text(f"{image.size} {len(params.others)} {params.mask} {params.folder.name} {notes}")
            """,
            params="""
            image: api.ImageInput
            others: list[api.ImageInput] = []
            mask: api.MaskInput | None = None
            folder: api.FolderInput
            """,
        ),
    )
    write_plugin(
        home,
        "strict",
        format_plugin(
            "strict",
            "yield api.Text('fine')",
            params="""
            steps: api.Count = 3
            low: int = 1
            high: int = 9

            @__import__("pydantic").model_validator(mode="after")
            def ordered(self):
                if self.low > self.high:
                    raise ValueError("Low must be below high")
                return self
            """,
        ),
    )
    write_plugin(
        home,
        "model",
        format_plugin(
            "model",
            """
            chosen = ctx.model(params.model)
            ctx.models.load("it", lambda: chosen)
            yield api.Text(str(chosen))
            """,
            params="model: api.ModelChoice = api.param('mine', model='toy')",
        ),
    )
    write_plugin(
        home,
        "wrong",
        format_plugin(
            "wrong",
            """
            match params.how:
                case "raise": raise ZeroDivisionError("by zero")
                case "input": raise api.BadInput("That is no cat.", "Give a cat.")
                case "memory": raise MemoryError
                case "device": raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
                case "event": yield 5
                case "class": yield api.Progress
                case "shape": yield api.Preview(__import__("numpy").zeros((2, 2, 7)))
                case "exit": raise SystemExit(1)
                case "note": ctx.note("it", object())
                case "stubborn":
                    while True:
                        try:
                            yield api.Progress(1, 2)
                        except api.Cancelled:
                            break
            yield api.Text("fine")
            """,
            params="how: str",
        ),
    )
    write_plugin(
        home, "starter", format_plugin("starter", "yield api.Text(str(ctx.starter(params.name)))", params="name: str")
    )
    write_plugin(home, "empty", format_plugin("empty", "return None"))
    write_plugin(
        home,
        "odd",
        format_plugin(
            "odd",
            """
            yield api.Progress(1, 2, "Painting caf\\udce9.png")
            yield api.Notice("caf\\udce9.png is broken.")
            ctx.note("skipped", ["caf\\udce9.png"])
            yield api.Text("- caf\\udce9.png", "caf\\udce9")
            """,
        ),
    )


def test_results_are_saved_with_their_recipe(worker: Worker) -> None:
    received = worker.run("noise.do", seed=5)
    lasting = [type(message) for message in received if not isinstance(message, PreviewFrame)]
    assert lasting == [JobNotice, ResultSaved, ResultSaved, JobFinished]
    assert filter_messages(received, PreviewFrame), "a finished image is shown before it is on disk"
    assert isinstance(received[-1], JobFinished)
    assert filter_messages(received, JobNotice) == [
        JobNotice(received[-1].job, "Noise is coming.", NoticeLevel.WARNING)
    ]
    first, second = filter_messages(received, ResultSaved)
    assert first.digest == hashlib.sha256(Path(first.path).read_bytes()).hexdigest()
    with Image.open(second.path) as picture:
        assert picture.size == (6, 4)
    recipe = recipe_embedding.read_recipe(Path(first.path))
    assert recipe is not None
    assert (recipe.tool, recipe.tool_version, recipe.seed) == ("noise.do", 4, 5)
    assert (recipe.plugin.name, recipe.plugin.version) == ("noise", "3.1")
    assert recipe.versions.keys() >= {"studio", "python", "torch", "numpy"}
    assert recipe.notes.keys() == {"luck", "part"}


def test_the_same_seed_gives_the_same_pixels(worker: Worker) -> None:
    def read_pixels(seed: int) -> bytes:
        with Image.open(filter_messages(worker.run("noise.do", seed=seed), ResultSaved)[0].path) as picture:
            return picture.tobytes()

    first = read_pixels(5)
    assert read_pixels(6) != first
    assert read_pixels(5) == first


def test_results_are_saved_in_the_requested_format(worker: Worker) -> None:
    def suffix_of(tool: str, format: str) -> str:
        return Path(filter_messages(worker.run(tool, options={"format": format}), ResultSaved)[0].path).suffix

    assert suffix_of("noise.do", "webp") == ".webp"
    assert suffix_of("film.do", "gif") == ".gif"
    assert suffix_of("noise.do", "mp4") == ".png"


def test_frames_are_encoded_as_they_come(worker: Worker) -> None:
    received = worker.run("film.do", options={"format": "webp"})
    (saved,) = filter_messages(received, ResultSaved)
    with Image.open(saved.path) as film:
        assert (Path(saved.path).suffix, film.n_frames) == (".webp", 6)  # type: ignore[attr-defined]
    assert {message.channels for message in filter_messages(received, PreviewFrame)} <= {3}
    assert all(message.text.startswith("Frame") for message in filter_messages(received, JobProgress))


def test_a_text_and_a_trained_model_are_saved(worker: Worker) -> None:
    (text,) = filter_messages(worker.run("steps.do"), ResultSaved)
    assert "All done." in Path(text.path).read_text()
    (model,) = filter_messages(worker.run("train.do"), ResultSaved)
    assert (Path(model.path) / "model.safetensors").read_bytes() == b"weights"
    assert (Path(text.path).suffix, Path(model.path).is_dir()) == (".md", True)
    assert list((worker.home.root / "scratch").iterdir()) == []


def test_a_derived_model_names_its_sources_and_has_their_licences(worker: Worker) -> None:
    (model,) = filter_messages(worker.run("derive.do"), ResultSaved)
    digest = weights_digest.digest_weights(worker.home.models / "base")
    card = (Path(model.path) / "README.md").read_text("utf-8")
    assert (
        f"## Made from\n\n| Model | SHA-256 of the weights | Licence |\n| --- | --- | --- |\n| base | `{digest}`"
        in card
    )
    assert "| kind-1.0 |" in card
    assert licences.licence_of(Path(model.path)) == "kind-1.0"


def test_a_tool_may_name_files_whose_names_are_not_utf_8(worker: Worker) -> None:
    received = worker.run("odd.do")
    assert [message.text for message in filter_messages(received, JobNotice)] == ["caf?.png is broken."]
    (text,) = filter_messages(received, ResultSaved)
    assert "- caf?.png" in Path(text.path).read_text("utf-8")
    recipe = recipe_embedding.read_recipe(Path(text.path))
    assert recipe is not None
    assert recipe.notes["skipped"] == ["caf?.png"]


def test_a_draft_sends_previews_and_saves_nothing(worker: Worker) -> None:
    before = sorted(worker.home.library.rglob("*"))
    received = worker.run("noise.do", options={"draft": True})
    assert filter_messages(received, ResultSaved) == []
    assert [(message.width, message.height) for message in filter_messages(received, PreviewFrame)] == [(8, 8), (6, 4)]
    assert filter_messages(worker.run("film.do", options={"draft": True}), PreviewFrame)[0].pixels == bytes(16 * 16 * 3)
    assert filter_messages(worker.run("steps.do", options={"draft": True}), PreviewFrame)[0].text == "All done."
    assert sorted(worker.home.library.rglob("*")) == before


def test_captions_are_written_beside_images_and_by_a_draft_only_sent(worker: Worker, tmp_path: Path) -> None:
    captions = [
        ImageCaptioned("", str(tmp_path / "fox.png"), "a fox"),
        ImageCaptioned("", str(tmp_path / "b.jpg"), "é"),
    ]
    for options, texts in ({"draft": True}, []), ({}, ["b.txt", "fox.txt"]):
        received = worker.run("captions.do", options=options, folder=str(tmp_path))
        assert [replace(one, job="") for one in filter_messages(received, ImageCaptioned)] == captions
        assert sorted(path.name for path in tmp_path.iterdir()) == texts
    assert (tmp_path / "b.txt").read_bytes() == "é\n".encode()


def test_a_cancel_ends_the_job_at_its_next_cancel_point(worker: Worker, tmp_path: Path) -> None:
    job = worker.start("steps.do", steps=10_000, options={"checkpoint_dir": str(tmp_path)})
    worker.wait_for(JobProgress)
    worker.send(Cancel(job))
    assert worker.wait_for_end(job)[-1] == JobCancelled(job)
    assert (tmp_path / "left").read_text() == "in order"


def test_a_job_that_is_cancelled_before_its_turn_never_starts(worker: Worker) -> None:
    first = worker.start("steps.do", steps=10_000)
    second = worker.start("noise.do")
    worker.send(Cancel(second))
    worker.wait_for(JobProgress)
    worker.send(Cancel(first))
    assert worker.wait_for_end(first)[-1] == JobCancelled(first)
    assert worker.wait_for_end(second) == [JobCancelled(second)]


def test_requests_for_unknown_jobs_are_ignored(worker: Worker) -> None:
    worker.send(Cancel("nobody"))
    worker.send(Pause("nobody"))
    assert isinstance(worker.run("steps.do")[-1], JobFinished)


def test_a_paused_job_continues_from_its_checkpoint(worker: Worker, tmp_path: Path) -> None:
    job = worker.start("rest.do", options={"checkpoint_dir": str(tmp_path)})
    worker.wait_for(JobProgress)
    worker.send(Pause(job))
    assert worker.wait_for_end(job)[-1] == JobPaused(job)
    (saved,) = filter_messages(worker.run("rest.do", options={"checkpoint_dir": str(tmp_path)}), ResultSaved)
    assert "Went on from 7" in Path(saved.path).read_text()


def test_a_job_with_a_checkpoint_pauses_with_a_sentence_where_it_cannot_go_on(worker: Worker, tmp_path: Path) -> None:
    options = {"checkpoint_dir": str(tmp_path)}

    def run(trouble: str) -> JobPaused | JobFailed:
        last = worker.run("rest.do", trouble=trouble, options=options)[-1]
        assert isinstance(last, JobPaused | JobFailed)
        return last

    begun = run("input")
    assert isinstance(begun, JobFailed), "nothing is lost by refusing a job that has just begun"
    full, gone = run("disk"), run("input")
    assert isinstance(full, JobPaused)
    assert full.failure is not None
    assert full.failure.kind is FailureKind.CANNOT_WRITE
    assert full.failure.sentence.startswith("The disk is full: ")
    assert isinstance(gone, JobPaused)
    assert gone.failure == Failure(FailureKind.BAD_INPUT, "There is no folder foxes. Put it back.")
    (saved,) = filter_messages(worker.run("rest.do", options=options), ResultSaved)
    assert "Went on from 7" in Path(saved.path).read_text()


def test_inputs_are_passed_as_paths(worker: Worker, tmp_path: Path) -> None:
    Image.new("RGB", (5, 3)).save(tmp_path / "cat.png")
    files = {"sha256:aa": str(tmp_path / "cat.png"), "sha256:bb": str(tmp_path / "dog.png")}
    values = {"image": "sha256:aa", "others": ["sha256:bb", "sha256:aa"], "folder": str(tmp_path)}
    (saved,) = filter_messages(worker.run("look.do", **values, options={"files": files}), ResultSaved)
    assert f"(5, 3) 2 None {tmp_path.name} {{}}" in Path(saved.path).read_text()
    recipe = recipe_embedding.read_recipe(Path(saved.path))
    assert recipe is not None
    folder = recipe.params["folder"]
    assert recipe.params == values | {"folder": folder}
    assert folder.startswith("folder:"), "the recipe may be shared, so it has no path"
    assert folder.endswith(f"/{tmp_path.name}")
    (failed,) = filter_messages(worker.run("look.do", **values), JobFailed)
    assert failed.failure.sentence == "Image: the file aa… no longer exists. Choose it again."


def test_the_notes_of_an_input_are_read_from_its_recipe(worker: Worker, tmp_path: Path) -> None:
    noise = filter_messages(worker.run("noise.do"), ResultSaved)[0].path
    values = {"image": "sha256:aa", "folder": str(tmp_path)}
    (saved,) = filter_messages(worker.run("look.do", **values, options={"files": {"sha256:aa": noise}}), ResultSaved)
    assert "'part': 1" in Path(saved.path).read_text()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"steps": 0}, "Steps must be between 1 and 10000, not 0."),
        ({"stops": 1}, "Do strict has no parameter stops. Did you mean steps?"),
        ({"low": 10}, "Low must be below high."),
        ({"steps": "many"}, "Steps must be a number, not 'many'."),
    ],
)
def test_invalid_values_are_refused_in_one_sentence(worker: Worker, values: dict[str, object], sentence: str) -> None:
    (failed,) = filter_messages(worker.run("strict.do", **values), JobFailed)
    assert (failed.failure.kind, failed.failure.sentence) == (FailureKind.BAD_INPUT, sentence)


@pytest.mark.parametrize(
    ("how", "kind", "sentence"),
    [
        ("raise", "failed", "Do wrong stopped with an error: ZeroDivisionError: by zero"),
        ("input", "bad_input", "That is no cat. Give a cat."),
        ("memory", "out_of_memory", "Do wrong needs more memory than there is."),
        ("device", "out_of_memory", "Do wrong needs more memory than there is."),
        ("event", "failed", "Do wrong yielded a value of type int, which is no event."),
        ("class", "failed", "Do wrong yielded the class Progress, which is no event."),
        ("shape", "failed", "An image has the shape (2, 2, 7)"),
        ("exit", "failed", "Do wrong tried to end the program, and was stopped."),
        ("note", "failed", "the note 'it' must be a plain JSON value"),
    ],
)
def test_a_failure_is_one_sentence_and_ends_one_job(worker: Worker, how: str, kind: str, sentence: str) -> None:
    (failed,) = filter_messages(worker.run("wrong.do", how=how), JobFailed)
    assert failed.failure.kind is FailureKind(kind)
    assert sentence in failed.failure.sentence
    assert ("Traceback" in failed.failure.details) == (kind != "bad_input")
    assert isinstance(worker.run("wrong.do", how="fine")[-1], JobFinished)


def test_a_tool_that_swallows_its_cancel_still_ends_as_cancelled(worker: Worker) -> None:
    job = worker.start("wrong.do", how="stubborn")
    worker.wait_for(JobProgress)
    worker.send(Cancel(job))
    assert worker.wait_for_end(job)[-1] == JobCancelled(job)


def test_a_tool_without_a_yield_is_reported(worker: Worker) -> None:
    (failed,) = filter_messages(worker.run("empty.do"), JobFailed)
    assert "its run has no yield" in failed.failure.sentence


def test_an_unknown_tool_gets_a_suggestion(worker: Worker) -> None:
    (failed,) = filter_messages(worker.run("noise.du"), JobFailed)
    assert failed.failure.kind is FailureKind.BAD_INPUT
    assert failed.failure.sentence.startswith("There is no tool noise.du. Did you mean noise.do")


def test_the_models_of_a_result_are_in_its_recipe(worker: Worker) -> None:
    folder = worker.home.models / "mine"
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "README.md").write_text("---\nlicense: cc0-1.0\n---\n")
    (saved,) = filter_messages(worker.run("model.do"), ResultSaved)
    recipe = recipe_embedding.read_recipe(Path(saved.path))
    assert recipe is not None
    (model,) = recipe.models
    assert (model.name, model.licence) == ("mine", "cc0-1.0")
    assert model.sha256 == writer.digest_of(folder / "model.safetensors")
    (failed,) = filter_messages(worker.run("model.do", model="mein"), JobFailed)
    assert failed.failure.sentence.startswith("There is no model mein.")
    (failed,) = filter_messages(worker.run("model.do", model="ab" * 32), JobFailed)
    assert failed.failure.sentence.startswith("The trained model ababababab… no longer exists. ")


def test_starters_are_found_by_name_and_recorded(worker: Worker) -> None:
    name = sorted((paths.resources_folder() / "starters").glob("*/"))[0].name
    (saved,) = filter_messages(worker.run("starter.do", name=name), ResultSaved)
    recipe = recipe_embedding.read_recipe(Path(saved.path))
    assert recipe is not None
    assert [model.name for model in recipe.models] == [name]
    for bad in ("nobody", "", "../starters", "."):
        (failed,) = filter_messages(worker.run("starter.do", name=bad), JobFailed)
        assert failed.failure.kind is FailureKind.BAD_INPUT


def test_heartbeats_report_memory_and_device(worker: Worker) -> None:
    worker.run("steps.do")
    while (beat := worker.wait_for(Heartbeat)).device is None:
        pass
    assert beat.memory > 0
    assert beat.device.kind in ("cpu", "cuda", "mps", "xpu")
    assert beat.device.memory_total >= beat.device.memory_free > 0
    assert "torch" in beat.device.versions
