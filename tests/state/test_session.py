"""A session without widgets: generate, drafts, discard, undo, settings of a creation."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec.structs import replace
from pytestqt.qtbot import QtBot

from studio.core.errors import FailureKind
from studio.core.job import JobState, Lane
from studio.core.messages import JobNotice
from studio.core.notices import NoticeLevel
from studio.core.paths import Home
from studio.core.settings import Settings
from studio.engine.interface import WorkerChanged, WorkerState
from studio.library.library import Library
from studio.state.form import draft_store
from studio.state.session import Session
from tests.fixtures.engine import FakeEngine


def generate(qtbot: QtBot, session: Session, picture: Path, count: int = 1) -> list[str]:
    """Generate with the style tool, and return the ids of the jobs."""
    session.workspace.choose("style.transfer")
    session.workspace.set_value("image", str(picture))
    session.workspace.set_count(count)
    with qtbot.waitSignal(session.generation.submitted) as submitted:
        assert session.generation.generate()
    return [job.id for job in submitted.args[0]]


def test_generate_submits_a_recipe_that_refers_to_the_image_by_digest(
    qtbot: QtBot, session: Session, engine: FakeEngine, picture: Path
) -> None:
    generate(qtbot, session, picture, count=3)
    (_, recipe, count, _) = engine.calls[-1]
    assert recipe.tool == "style.transfer"
    assert recipe.params["image"].startswith("sha256:")
    assert count == 3
    assert session.queue.status().queued == 3
    assert session.library.get(recipe.parents[0]) is not None


def test_an_invalid_value_is_reported_at_its_field_and_nothing_is_queued(
    qtbot: QtBot, session: Session, engine: FakeEngine
) -> None:
    with qtbot.waitSignal(session.generation.fields_refused) as refused:
        assert not session.generation.generate()
    assert refused.args == [{"image": "Image is missing."}]
    assert engine.calls == []


def test_an_image_that_cannot_be_read_is_refused(qtbot: QtBot, session: Session, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    session.workspace.set_value("image", str(broken))
    with qtbot.waitSignal(session.generation.refused) as refused:
        session.generation.generate()
    assert "broken.png" in refused.args[0]


def test_results_appear_in_the_variations_and_the_history(
    qtbot: QtBot, session: Session, engine: FakeEngine, picture: Path, pictures: list[Path]
) -> None:
    jobs = generate(qtbot, session, picture, count=2)
    for job, path in zip(jobs, pictures, strict=False):
        engine.run(job)
        engine.finish(job, session.library.import_file(path))
    qtbot.waitUntil(lambda: len(session.variations.items) == 2)
    qtbot.waitUntil(lambda: session.history.rowCount() == 3)
    assert session.workspace.seconds is not None


def test_discard_moves_a_result_to_the_trash_and_undo_restores_it(
    qtbot: QtBot, session: Session, engine: FakeEngine, picture: Path, pictures: list[Path]
) -> None:
    (job,) = generate(qtbot, session, picture)
    result = session.library.import_file(pictures[0])
    engine.finish(job, result)
    qtbot.waitUntil(lambda: len(session.variations.items) == 1)

    def is_trashed() -> bool:
        stored = session.library.get(result.id)
        return stored is not None and stored.trashed

    session.undoable.discard(result)
    assert list(session.variations.items) == []
    qtbot.waitUntil(is_trashed)
    session.undo.undo()
    assert [item.id for item in session.variations.items] == [result.id]
    qtbot.waitUntil(lambda: not is_trashed())


def test_cancel_and_forget_can_be_undone(qtbot: QtBot, session: Session, engine: FakeEngine, picture: Path) -> None:
    jobs = generate(qtbot, session, picture, count=2)
    session.undoable.cancel(session.queue.jobs())
    qtbot.waitUntil(lambda: all(job.state is JobState.CANCELLED for job in session.queue.jobs()))
    session.undoable.forget(session.queue.jobs())
    assert session.queue.jobs() == ()
    session.undo.undo()
    assert {job.id for job in session.queue.jobs()} == set(jobs)
    session.undo.undo()
    qtbot.waitUntil(lambda: session.queue.status().queued == 2)


def test_cleared_jobs_are_forgotten_when_the_session_closes(
    qtbot: QtBot, session: Session, engine: FakeEngine, picture: Path
) -> None:
    (job,) = generate(qtbot, session, picture)
    engine.finish(job)
    qtbot.waitUntil(lambda: session.queue.status().queued == 0)
    session.undoable.forget(session.queue.jobs())
    assert ("forget", job) not in engine.calls
    session.close()
    assert ("forget", job) in engine.calls


def test_clearing_the_form_can_be_undone(session: Session, picture: Path) -> None:
    session.workspace.set_value("image", str(picture))
    session.workspace.set_value("strength", 0.1)
    session.undoable.clear_form()
    assert session.workspace.values() == {}
    session.undo.undo()
    assert session.workspace.values() == {"image": str(picture), "strength": 0.1}


def test_a_live_tool_submits_a_draft_of_the_newest_values(qtbot: QtBot, session: Session, engine: FakeEngine) -> None:
    session.workspace.choose("gan.explore")
    for value in range(10):
        session.workspace.set_value("truncation", value / 10)
    qtbot.waitUntil(lambda: len(engine.drafts) == 1)
    assert engine.drafts[0].params == {"truncation": 0.9}


def test_previews_are_shown_until_the_artist_opens_a_creation(
    qtbot: QtBot, session: Session, engine: FakeEngine, picture: Path
) -> None:
    (job,) = generate(qtbot, session, picture)
    engine.run(job)
    with qtbot.waitSignal(session.router.preview_ready):
        engine.send_preview(job)
    session.open(session.library.import_file(picture))
    previews: list[object] = []
    session.router.preview_ready.connect(previews.append)
    engine.send_preview(job)
    engine.run(job, 1, 2)
    qtbot.waitUntil(lambda: session.queue.progress(job) is not None)
    assert previews == []


def test_a_resumed_job_shows_its_previews_again(
    qtbot: QtBot, session: Session, engine: FakeEngine, picture: Path
) -> None:
    (job,) = generate(qtbot, session, picture)
    generate(qtbot, session, picture)
    earlier = session.queue.job(job)
    assert earlier is not None
    previews: list[object] = []
    session.router.preview_ready.connect(previews.append)
    engine.send_preview(job)
    assert not previews
    session.controls.resume(earlier)
    assert engine.calls[-1] == ("resume", job)
    with qtbot.waitSignal(session.router.preview_ready):
        engine.send_preview(job)


def test_a_failure_is_a_notice_with_details_and_a_retry(
    qtbot: QtBot, session: Session, engine: FakeEngine, picture: Path
) -> None:
    (job,) = generate(qtbot, session, picture)
    engine.fail(job, "The device ran out of memory.", FailureKind.OUT_OF_MEMORY, "trace")
    qtbot.waitUntil(lambda: len(session.notices.items) == 1)
    (notice,) = session.notices.items
    assert (notice.text, notice.level, notice.details) == ("The device ran out of memory.", NoticeLevel.ERROR, "trace")
    assert notice.action is not None
    notice.action()
    assert ("resume", job) in engine.calls


def test_messages_of_the_worker_and_of_tools_become_notices(qtbot: QtBot, session: Session, engine: FakeEngine) -> None:
    engine.emit(WorkerChanged(Lane.INTERACTIVE, WorkerState.RESTARTING, sentence="The worker ended and starts again."))
    engine.emit(JobNotice("j", "No face was found.", NoticeLevel.WARNING))
    qtbot.waitUntil(lambda: len(session.notices.items) == 2)
    assert session.worker_status.state is WorkerState.RESTARTING


def test_the_settings_of_a_creation_fill_the_form(
    qtbot: QtBot, session: Session, engine: FakeEngine, picture: Path, pictures: list[Path]
) -> None:
    generate(qtbot, session, picture)
    recipe = engine.calls[-1][1]
    result = replace(
        session.library.import_file(pictures[0]), recipe=replace(recipe, params={**recipe.params, "strength": 0.4})
    )
    session.workspace.choose("writer.continue")
    session.generation.use_settings(result)
    qtbot.waitUntil(lambda: session.workspace.seed_fixed)
    assert session.workspace.tool is not None
    assert session.workspace.tool.id == "style.transfer"
    assert session.workspace.value("strength") == 0.4
    assert Path(session.workspace.value("image")).is_file()
    assert session.workspace.seed == recipe.seed


def test_the_form_survives_a_restart(qtbot: QtBot, home: Home, session: Session, engine: FakeEngine) -> None:
    session.workspace.choose("writer.continue")
    session.workspace.set_value("prompt", "The lantern fox")
    session.close()
    saved = draft_store.load(home.root / "workspace.json")
    assert saved.tool == "writer.continue"
    again = Session(home, FakeEngine(engine.catalogue), Library(home), Settings())
    again.begin()
    assert again.workspace.value("prompt") == "The lantern fox"
    again.close()


def test_the_form_is_saved_soon_after_a_change(qtbot: QtBot, home: Home, session: Session) -> None:
    session.workspace.set_value("strength", 0.25)
    file = home.root / "workspace.json"
    qtbot.waitUntil(file.is_file)
    assert msgspec.json.decode(file.read_bytes())["values"]["style.transfer"] == {"strength": 0.25}


def test_a_disabled_plugin_is_stored_in_the_settings(
    qtbot: QtBot, home: Home, session: Session, engine: FakeEngine
) -> None:
    session.switch_plugin("gan", on=False)
    assert engine.settings is not None
    assert list(engine.settings.disabled_plugins) == ["gan"]
    qtbot.waitUntil(home.settings.is_file)
    session.switch_plugin("gan", on=True)
    assert list(engine.settings.disabled_plugins) == []


def test_an_unexpected_error_in_a_task_is_a_notice_and_other_tasks_continue(qtbot: QtBot, session: Session) -> None:
    def fail() -> None:
        raise RuntimeError("deep inside")

    done: list[int] = []
    session.tasks.run(fail)
    session.tasks.run(lambda: 7, done.append)
    qtbot.waitUntil(lambda: done == [7])
    (notice,) = session.notices.items
    assert "deep inside" in notice.details


def test_paths_in_the_settings_of_a_creation_wait_for_consent(
    qtbot: QtBot, session: Session, engine: FakeEngine, picture: Path, pictures: list[Path]
) -> None:
    generate(qtbot, session, picture)
    recipe = engine.calls[-1][1]
    hostile = replace(recipe, tool="gan.train", params={"folder": "~/.ssh", "steps": 3}, inputs={})
    creation = replace(session.library.import_file(pictures[0]), recipe=hostile)
    session.workspace.choose("gan.train")
    with qtbot.waitSignal(session.generation.path_consent_required) as asked:
        session.generation.use_settings(creation)
    assert "Folder ~/.ssh" in asked.args[0].sentence
    assert session.workspace.values() == {}
    asked.args[0].decline()
    assert session.workspace.values() == {"steps": 3}
    asked.args[0].accept()
    assert session.workspace.values() == {"folder": "~/.ssh", "steps": 3}
    session.generation.use_settings(replace(creation, recipe=replace(recipe, params={"image": "/etc/passwd"})))
    qtbot.waitUntil(lambda: any("names a file by its path" in notice.text for notice in session.notices.items))
