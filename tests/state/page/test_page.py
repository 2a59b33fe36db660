"""The page without widgets: typing, jobs that write, saving and restarts."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from studio.core.descriptor import Catalogue, PluginDescriptor
from studio.core.job import JobState
from studio.core.messages import PreviewFrame
from studio.core.page.edits import Author
from studio.core.page.revisions import AuthorRun
from studio.core.paths import Home
from studio.core.recipe import PluginRef, Recipe
from studio.core.settings import Settings
from studio.library.creation import Creation
from studio.library.library import Library
from studio.library.pages.store import PageStore
from studio.library.storage import writer
from studio.state.page.page import SAVE_MS, Page
from studio.state.page.page_jobs import page_field
from studio.state.session import Session
from tests.fixtures.engine import STYLE, WORDS, FakeEngine, make_catalogue, make_property, make_tool

TALE = make_tool(
    "writer.tale",
    "Write on",
    {"text": make_property("string", "page", default=""), "heat": make_property("number", default=0.8)},
    output="text",
)


@pytest.fixture
def engine() -> FakeEngine:
    plugin = PluginDescriptor(name="writer", title="Writer", tools=(TALE,))
    return FakeEngine(Catalogue((plugin, *make_catalogue().plugins)))


@pytest.fixture
def page(qtbot: QtBot, session: Session) -> Page:
    session.workspace.choose("writer.tale")
    qtbot.waitUntil(lambda: session.page.is_ready)
    return session.page


def generate(qtbot: QtBot, session: Session, count: int = 1) -> list[str]:
    session.workspace.set_count(count)
    with qtbot.waitSignal(session.generation.submitted) as submitted:
        assert session.generation.generate()
    return [job.id for job in submitted.args[0]]


def stream(qtbot: QtBot, session: Session, engine: FakeEngine, job: str, text: str) -> None:
    engine.run(job)
    engine.emit(PreviewFrame(job=job, text=text))
    book = session.page.tree

    def is_there() -> bool:
        node = book.find_node_of_job(job)
        return node is not None and book.text_of(node.parent)[: node.at] + node.text == text

    qtbot.waitUntil(is_there)


def finish(session: Session, engine: FakeEngine, job: str, text: str, seed: int = 1) -> Creation:
    recipe = Recipe(tool="writer.tale", plugin=PluginRef("writer", "1.0"), seed=seed)
    creation = session.library.add(writer.save_text(session.home, text, recipe))
    engine.finish(job, creation)
    return creation


def type_in(page: Page, text: str) -> None:
    page.write(len(page.text), 0, text)
    page.set_cursor(len(page.text))


def test_only_a_tool_with_a_field_for_the_page_writes_on_it(page: Page, session: Session) -> None:
    field = page_field(TALE)
    assert field is not None
    assert field.name == "text"
    assert page.has_writing_tool
    assert (page_field(WORDS), page_field(STYLE), page_field(None)) == (None, None, None)
    session.workspace.choose("style.transfer")
    assert not page.has_writing_tool


def test_generate_gives_the_words_before_the_cursor(
    qtbot: QtBot, session: Session, engine: FakeEngine, page: Page
) -> None:
    type_in(page, "A fox. The end.")
    page.set_cursor(6)
    (job,) = generate(qtbot, session)
    assert engine.calls[-1][1].params["text"] == "A fox."
    assert session.workspace.values() == {}, "the words go into the request, not into the form"
    stream(qtbot, session, engine, job, "A fox. It ran.")
    assert page.text == "A fox. It ran. The end."
    assert page.runs == [
        AuthorRun("A fox.", Author.HUMAN),
        AuthorRun(" It ran.", Author.MACHINE),
        AuthorRun(" The end.", Author.HUMAN),
    ]
    assert page.cursor == len("A fox. It ran.")
    assert page.jobs.streaming == job
    assert not session.variations.items


def test_the_finished_text_replaces_the_streamed_text(
    qtbot: QtBot, session: Session, engine: FakeEngine, page: Page
) -> None:
    type_in(page, "Once")
    (job,) = generate(qtbot, session)
    stream(qtbot, session, engine, job, "Once upon")
    creation = finish(session, engine, job, "Once upon a time.")
    qtbot.waitUntil(lambda: not page.jobs.is_writing and not page.tree.requests)
    assert page.text == "Once upon a time."
    assert page.tree.nodes[page.tree.current].creation == creation.id
    assert session.history.rowCount() == 1


def test_regenerate_adds_an_alternative_and_steps_switch_between_them(
    qtbot: QtBot, session: Session, engine: FakeEngine, page: Page
) -> None:
    type_in(page, "A")
    (first,) = generate(qtbot, session)
    stream(qtbot, session, engine, first, "A fox")
    finish(session, engine, first, "A fox")
    qtbot.waitUntil(lambda: not page.jobs.is_writing)
    type_in(page, " ran.")
    page.set_cursor(3)
    assert page.jobs.write_again_next()
    (second,) = generate(qtbot, session)
    assert engine.calls[-1][1].params["text"] == "A"
    assert page.text == "A"
    stream(qtbot, session, engine, second, "A owl")
    assert page.alternatives == (2, 2)
    page.step_alternative(1)
    assert page.text == "A fox ran."
    assert page.cursor == 5
    page.step_alternative(-1)
    assert page.text == "A owl"


def test_several_jobs_at_one_place_are_alternatives(
    qtbot: QtBot, session: Session, engine: FakeEngine, page: Page
) -> None:
    jobs = generate(qtbot, session, count=3)
    for job, words in zip(jobs, ["One", "Two", "Three"], strict=True):
        stream(qtbot, session, engine, job, words)
        finish(session, engine, job, words)
    qtbot.waitUntil(lambda: not page.jobs.is_writing)
    assert page.text == "One"
    assert page.alternatives == (1, 3)


def test_a_job_continues_in_a_branch_that_is_not_shown(
    qtbot: QtBot, session: Session, engine: FakeEngine, page: Page
) -> None:
    type_in(page, "A")
    first, second, _ = generate(qtbot, session, count=3)
    place = page.find_insertion_point()
    assert place is not None
    assert page.has_alternatives
    stream(qtbot, session, engine, first, "A fox")
    engine.fail(first, "Enough.")
    stream(qtbot, session, engine, second, "An owl")
    assert page.jobs.writes_elsewhere
    assert page.find_insertion_point() == place
    assert [passage.is_streaming for passage in page.jobs.list_passages(place)] == [False, True, False]
    page.step_alternative(1)
    assert page.jobs.streaming == second
    page.step_alternative(1)
    stream(qtbot, session, engine, second, "An owl sat")
    assert page.text == "A fox"
    assert ("cancel", second) not in engine.calls
    page.show_passage(page.tree.find_generations(place)[1])
    assert page.text == "An owl sat"
    page.undo()
    assert ("cancel", second) in engine.calls


def test_typing_at_the_place_of_a_job_stops_it_and_keeps_its_text(
    qtbot: QtBot, session: Session, engine: FakeEngine, page: Page
) -> None:
    (job,) = generate(qtbot, session)
    stream(qtbot, session, engine, job, "A fox")
    type_in(page, "!")
    qtbot.waitUntil(lambda: not page.jobs.is_writing)
    assert ("cancel", job) in engine.calls
    assert page.text == "A fox!"


def test_a_failed_job_keeps_the_text_it_has_written(
    qtbot: QtBot, session: Session, engine: FakeEngine, page: Page
) -> None:
    type_in(page, "Once")
    (job,) = generate(qtbot, session)
    stream(qtbot, session, engine, job, "Once upon")
    engine.fail(job, "Out of memory.")
    qtbot.waitUntil(lambda: not page.jobs.is_writing and not page.tree.requests)
    assert page.text == "Once upon"


def test_the_page_its_undo_steps_and_branches_survive_a_restart(
    qtbot: QtBot, session: Session, engine: FakeEngine, page: Page, home: Home
) -> None:
    type_in(page, "Once 🦊")
    (job,) = generate(qtbot, session)
    stream(qtbot, session, engine, job, "Once 🦊 ran")
    session.close()
    other = Session(home, engine, Library(home), Settings())
    other.begin()
    with qtbot.waitSignal(other.library_ready):
        other.start()
    qtbot.waitUntil(lambda: other.page.is_ready)
    assert other.page.text == "Once 🦊 ran"
    other.page.undo()
    assert other.page.text == "Once 🦊"
    other.page.undo()
    assert other.page.text == ""
    other.close()


def test_text_of_a_job_that_ended_meanwhile_is_added_when_its_page_opens(
    qtbot: QtBot, session: Session, engine: FakeEngine, page: Page
) -> None:
    type_in(page, "Once")
    (job,) = generate(qtbot, session)
    first = page.page_id
    qtbot.waitUntil(lambda: not page._unsaved)
    page.new_page()
    assert page.text == ""
    type_in(page, "Another.")
    finish(session, engine, job, "Once more.")
    with qtbot.waitSignal(page.opened):
        page.open_page(first)
    qtbot.waitUntil(lambda: page.text == "Once more.")
    listed: list[str] = []
    page.list_pages(lambda pages: listed.extend(info.opening for info in pages))
    qtbot.waitUntil(lambda: bool(listed))
    assert sorted(listed) == ["Another.", "Once more."]


def test_the_page_is_saved_without_a_request(
    qtbot: QtBot, session: Session, page: Page, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with qtbot.waitSignal(page.saved):
        type_in(page, "Once")
    assert SAVE_MS < 500
    again = PageStore(home.pages).find_newest()
    assert again is not None
    assert again.load().text == "Once"


def test_a_failed_save_is_reported_and_the_text_is_kept(qtbot: QtBot, session: Session, page: Page, home: Home) -> None:
    home.pages.write_text("in the way")
    type_in(page, "Once")
    qtbot.waitUntil(lambda: bool(session.notices.items))
    home.pages.unlink()
    page._save()
    with qtbot.waitSignal(page.saved):
        pass
    again = PageStore(home.pages).find_newest()
    assert again is not None
    assert again.load().text == "Once"


def test_control_characters_in_generated_text_are_replaced(
    qtbot: QtBot, session: Session, engine: FakeEngine, page: Page
) -> None:
    (job,) = generate(qtbot, session)
    engine.run(job)
    engine.emit(PreviewFrame(job=job, text="One\r\ntwo\x00\u2029שלום"))
    qtbot.waitUntil(lambda: page.text == "One\ntwo\ufffd\nשלום")


def test_control_characters_in_a_replacement_are_replaced(page: Page) -> None:
    page.replace([(0, 0, "One\u2028two\x00")])
    assert page.text == "One\ntwo\ufffd"


def test_a_cancelled_job_no_longer_writes_on_the_page(
    qtbot: QtBot, session: Session, engine: FakeEngine, page: Page
) -> None:
    (job,) = generate(qtbot, session)
    assert page.jobs.is_writing
    engine.set_state(job, JobState.CANCELLED)
    qtbot.waitUntil(lambda: not page.jobs.is_writing)
    assert page.text == ""


def read_text(home: Home, page_id: str) -> str:
    return PageStore(home.pages).get(page_id).load().text


def wait_for_save(qtbot: QtBot, page: Page) -> None:
    """Save the page, and wait until that has succeeded or failed."""
    page._save()
    done: list[None] = []
    page._tasks.run(lambda: None, done.append)
    qtbot.waitUntil(lambda: bool(done))


def test_text_typed_while_another_page_opens_stays_on_its_page(qtbot: QtBot, page: Page, home: Home) -> None:
    type_in(page, "One.")
    first = page.page_id
    page.new_page()
    type_in(page, "Two.")
    second = page.page_id
    with qtbot.waitSignal(page.opened):
        page.open_page(first)
        type_in(page, " Still two.")
    type_in(page, " One more.")
    wait_for_save(qtbot, page)
    assert read_text(home, first) == page.text == "One. One more."
    assert read_text(home, second) == "Two. Still two."


def test_an_open_page_is_not_read_again(qtbot: QtBot, page: Page, home: Home) -> None:
    with qtbot.waitSignal(page.saved):
        type_in(page, "One.")
    book = page.tree
    page.open_page(page.page_id)
    with qtbot.waitSignal(page.saved):
        type_in(page, " Two.")
    assert page.tree is book
    assert read_text(home, page.page_id) == page.text == "One. Two."


def test_a_job_of_one_page_does_not_write_on_another(
    qtbot: QtBot, session: Session, engine: FakeEngine, page: Page
) -> None:
    with qtbot.waitSignal(session.generation.submitted) as submitted:
        assert session.generation.generate()
        page.new_page()
    assert not page.jobs.owns(submitted.args[0][0].id)
    type_in(page, "One.")
    with qtbot.waitSignal(session.generation.submitted):
        assert session.generation.generate()
        page.new_page()
    assert not page.jobs.is_writing


def test_text_that_could_not_be_saved_is_saved_later_in_order(
    qtbot: QtBot, session: Session, page: Page, home: Home
) -> None:
    home.pages.write_text("in the way")
    for text in ("One. ", "Two. "):
        page.tree.end_step()
        type_in(page, text)
        page._save()  # the second before it is known that the first could not be done
    wait_for_save(qtbot, page)
    home.pages.unlink()
    type_in(page, "Three.")
    wait_for_save(qtbot, page)
    assert read_text(home, page.page_id) == page.text == "One. Two. Three."
