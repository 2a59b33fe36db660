"""Queue, plugins, notices and variations, as lists."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from studio.core.job import Job, JobState
from studio.core.messages import JobProgress
from studio.core.recipe import PluginRef, Recipe
from studio.engine.interface import Created
from studio.library.creation import Creation
from studio.state.jobs.queue_model import QueueModel
from studio.state.jobs.variations import Variations
from studio.state.notices import MAX_NOTICES, Notices
from studio.state.plugins import PluginsModel, PluginStanding
from tests.fixtures import engine

RECIPE = Recipe(tool="a.b", plugin=PluginRef("a"))


def job(number: int, state: JobState = JobState.QUEUED) -> Job:
    return Job(id=f"{number:020x}", recipe=RECIPE, state=state, position=float(number))


def test_the_queue_is_in_order_and_ended_jobs_come_last(qtbot: QtBot, qtmodeltester: ModelTester) -> None:
    queue = QueueModel()
    for number in (3, 1, 2):
        queue.put(job(number))
    queue.put(job(1, JobState.RUNNING))
    queue.put(job(4, JobState.DONE))
    queue.put(job(5, JobState.FAILED))
    assert [int(known.id, 16) for known in queue.jobs()] == [1, 2, 3, 5, 4]
    queue.put(replace(job(3), position=1.5))
    assert [int(known.id, 16) for known in queue.jobs()] == [1, 3, 2, 5, 4]
    qtmodeltester.check(queue)


def test_progress_ends_with_the_job(qtbot: QtBot) -> None:
    queue = QueueModel()
    queue.put(job(1, JobState.RUNNING))
    queue.set_progress(JobProgress(job(1).id, 3, 10))
    assert queue.progress(job(1).id) == JobProgress(job(1).id, 3, 10)
    queue.put(job(1, JobState.DONE))
    queue.set_progress(JobProgress(job(1).id, 4, 10))
    assert queue.progress(job(1).id) is None


def test_a_hidden_job_stays_hidden_until_it_is_shown_again(qtbot: QtBot) -> None:
    queue = QueueModel()
    done = job(1, JobState.DONE)
    queue.put(done)
    queue.hide(done)
    queue.put(done)
    assert queue.jobs() == ()
    queue.unhide(done)
    assert queue.jobs() == (done,)


def test_a_failed_plugin_comes_first_and_one_that_is_off_is_still_listed(
    qtbot: QtBot, qtmodeltester: ModelTester
) -> None:
    plugins = PluginsModel()
    plugins.reset(engine.catalogue(engine.BROKEN), disabled=("gone", "style"))
    names = [plugin.name for plugin in plugins.plugins()]
    assert names[0] == "sepia"
    assert set(names[-2:]) == {"style", "gone"}
    assert plugins.failed == 1
    assert plugins.standing(engine.BROKEN) is PluginStanding.FAILED
    qtmodeltester.check(plugins)


def test_notices_do_not_repeat_and_do_not_grow_for_ever(qtbot: QtBot) -> None:
    notices = Notices()
    for number in range(MAX_NOTICES + 5):
        notices.info(f"number {number}")
    notices.info("number 7")
    texts = [notice.text for notice in notices.items]
    assert len(texts) == MAX_NOTICES
    assert texts[-1] == "number 7"
    assert texts.count("number 7") == 1
    notices.dismiss(notices.items[-1].id)
    assert "number 7" not in [notice.text for notice in notices.items]


def test_results_of_the_latest_generate_are_looked_through(qtbot: QtBot) -> None:
    variations = Variations()
    shown: list[Creation] = []
    variations.shown.connect(shown.append)
    made = [engine.creation(Path(f"{number}.png"), number) for number in range(3)]
    variations.add(Created(job(1).id, made[0]))
    assert list(variations.items) == []
    variations.begin([job(1), job(2)])
    assert variations.items == (made[0],)
    variations.add(Created(job(2).id, made[1]))
    variations.add(Created(job(9).id, made[2]))
    assert variations.chosen == made[1]
    variations.step(1)
    assert variations.chosen == made[0]
    assert shown == [made[0], made[1], made[0]]


def test_keep_goes_on_to_what_is_undecided_and_discard_can_be_put_back(qtbot: QtBot) -> None:
    variations = Variations()
    made = [engine.creation(Path(f"{number}.png"), number) for number in range(3)]
    variations.begin([job(1)])
    for creation in made:
        variations.add(Created(job(1).id, creation))
    variations.choose(0)
    variations.keep()
    assert variations.is_kept(made[0])
    assert variations.chosen == made[1]
    at = variations.take_out(made[1])
    assert variations.chosen == made[2]
    variations.put_back(made[1], at)
    assert variations.items == tuple(made)
    assert variations.chosen == made[1]
