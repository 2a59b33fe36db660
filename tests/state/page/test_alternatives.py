"""Alternatives of each token in generated text, and branches that begin with one."""

from __future__ import annotations

from typing import Any

import pytest
from pytestqt.qtbot import QtBot

from studio.core.descriptor import Catalogue, PluginDescriptor
from studio.core.recipe import PluginRef, Recipe
from studio.library.storage import writer
from studio.state.page.alternatives import Alternatives, Choice
from studio.state.page.page import Page
from studio.state.session import Session
from tests.fixtures.engine import FakeEngine, make_catalogue, make_property, make_tool

TALE = make_tool("writer.tale", "Write on", {"text": make_property("string", "page", default="")}, output="text")
CHOICES = [[" fox", [[" fox", 0.5], [" owl", 0.25]]], [" r", [[" s", 0.4], [" r", 0.3]]], ["an", [["an", 0.9]]]]


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(Catalogue((*make_catalogue().plugins, PluginDescriptor(name="writer", tools=(TALE,)))))


@pytest.fixture
def page(qtbot: QtBot, session: Session) -> Page:
    session.workspace.choose("writer.tale")
    qtbot.waitUntil(lambda: session.page.is_ready)
    session.page.write(0, 0, "A red")
    session.page.set_cursor(5)
    return session.page


def write(qtbot: QtBot, session: Session, engine: FakeEngine, choices: Any) -> None:
    """Let a job write " fox ran" at the end of the page."""
    with qtbot.waitSignal(session.generation.submitted) as submitted:
        session.generation.generate()
    job = submitted.args[0][0].id
    recipe = Recipe(tool="writer.tale", plugin=PluginRef("writer", "1"), seed=1, notes={"choices": choices})
    creation = session.library.add(writer.save_text(session.home, f"{session.page.text} fox ran", recipe))
    engine.run(job)
    engine.finish(job, creation)
    qtbot.waitUntil(lambda: not session.page.tree.requests and not session.page.jobs.is_writing)


def find_choice(qtbot: QtBot, alternatives: Alternatives, place: int) -> Choice | None:
    choices: list[Choice | None] = []
    alternatives.find(place, choices.append)
    qtbot.waitUntil(lambda: bool(choices))
    return choices[0]


def test_each_token_has_its_alternatives(qtbot: QtBot, session: Session, engine: FakeEngine, page: Page) -> None:
    write(qtbot, session, engine, CHOICES)
    assert page.text == "A red fox ran"
    find = session.alternatives
    fox = find_choice(qtbot, find, 7)
    assert fox is not None
    assert (fox.position, fox.length, fox.prefix, fox.offers) == (5, 4, "red", ((" fox", 0.5), (" owl", 0.25)))
    an = find_choice(qtbot, find, 12)
    assert an is not None
    assert (an.position, an.length, an.prefix) == (11, 2, "r")
    assert find_choice(qtbot, find, 2) is None
    assert find_choice(qtbot, find, 13) is None


def test_another_word_begins_a_branch_with_alternatives_of_its_own(
    qtbot: QtBot, session: Session, engine: FakeEngine, page: Page
) -> None:
    write(qtbot, session, engine, CHOICES)
    fox = find_choice(qtbot, session.alternatives, 6)
    assert fox is not None
    session.alternatives.use(fox, " owl")
    assert page.text == "A red owl"
    assert page.cursor == 9
    assert page.alternatives == (2, 2)
    again = find_choice(qtbot, session.alternatives, 8)
    assert again is not None
    assert (again.position, again.length) == (5, 4)
    with qtbot.waitSignal(session.generation.submitted):
        session.generation.generate()
    assert engine.calls[-1][1].params["text"] == "A red owl"


def test_edited_text_has_no_alternatives(qtbot: QtBot, session: Session, engine: FakeEngine, page: Page) -> None:
    write(qtbot, session, engine, CHOICES)
    page.write(7, 1, "0")
    assert find_choice(qtbot, session.alternatives, 6) is None
    assert find_choice(qtbot, session.alternatives, 10) is not None


@pytest.mark.parametrize("notes", [None, [], "x", [["a"]], [[1, 2]], [["nothing of it", [["a", 0.5]]]]])
def test_malformed_notes_give_no_alternatives(
    qtbot: QtBot, session: Session, engine: FakeEngine, page: Page, notes: Any
) -> None:
    write(qtbot, session, engine, notes)
    assert find_choice(qtbot, session.alternatives, 6) is None


def test_regenerate_uses_another_seed_than_the_fixed_one(
    qtbot: QtBot, session: Session, engine: FakeEngine, page: Page
) -> None:
    session.workspace.set_seed(5, fixed=True)
    seeds = []
    for new in (False, True, True):
        with qtbot.waitSignal(session.generation.submitted):
            session.generation.generate(new_seed=new)
        seeds.append(engine.calls[-1][1].seed)
    assert seeds[0] == 5
    assert len(set(seeds)) == 3
    assert (session.workspace.seed, session.workspace.seed_fixed) == (5, True)
