"""List models of the queue, the plugins, the notices and the variations."""

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
from studio.state.plugins import PluginsModel, PluginState
from tests.fixtures import engine

RECIPE = Recipe(tool="a.b", plugin=PluginRef("a"))


def make_job(number: int, state: JobState = JobState.QUEUED) -> Job:
    return Job(id=f"{number:020x}", recipe=RECIPE, state=state, position=float(number))


def test_the_queue_is_in_order_and_ended_jobs_come_last(qtbot: QtBot, qtmodeltester: ModelTester) -> None:
    queue = QueueModel()
    for number in (3, 1, 2):
        queue.put(make_job(number))
    queue.put(make_job(1, JobState.RUNNING))
    queue.put(make_job(4, JobState.DONE))
    queue.put(make_job(5, JobState.FAILED))
    assert [int(known.id, 16) for known in queue.jobs()] == [1, 2, 3, 5, 4]
    queue.put(replace(make_job(3), position=1.5))
    assert [int(known.id, 16) for known in queue.jobs()] == [1, 3, 2, 5, 4]
    qtmodeltester.check(queue)


def test_jobs_that_need_a_creation_are_counted(qtbot: QtBot) -> None:
    model, image = "a" * 64, "b" * 64
    values: list[dict[str, object]] = [{"model": model}, {"loras": ["x", model]}, {"model": "other"}, {"steps": 3}]
    jobs = [
        replace(make_job(number), recipe=replace(make_job(number).recipe, params=one))
        for number, one in enumerate(values)
    ]
    jobs.append(replace(make_job(5), recipe=replace(make_job(5).recipe, inputs={"image": f"sha256:{image}"})))
    queue = QueueModel()
    queue.put(*jobs)
    assert (queue.count_users([model]), queue.count_users([image]), queue.count_users([model, image])) == (2, 1, 3)
    queue.put(replace(jobs[0], state=JobState.DONE))
    assert queue.count_users([model]) == 1
    assert queue.count_users(["c" * 64]) == 0


def test_progress_is_dropped_with_the_end_of_a_job(qtbot: QtBot) -> None:
    queue = QueueModel()
    queue.put(make_job(1, JobState.RUNNING))
    queue.set_progress(JobProgress(make_job(1).id, 3, 10))
    assert queue.progress(make_job(1).id) == JobProgress(make_job(1).id, 3, 10)
    queue.put(make_job(1, JobState.DONE))
    queue.set_progress(JobProgress(make_job(1).id, 4, 10))
    assert queue.progress(make_job(1).id) is None


def test_a_hidden_job_stays_hidden_until_it_is_shown_again(qtbot: QtBot) -> None:
    queue = QueueModel()
    done = make_job(1, JobState.DONE)
    queue.put(done)
    queue.hide([done])
    queue.put(done)
    assert queue.jobs() == ()
    queue.unhide([done])
    assert queue.jobs() == (done,)


def test_many_jobs_that_change_together_are_one_change(qtbot: QtBot) -> None:
    queue = QueueModel()
    changes = []
    queue.changed.connect(lambda: changes.append(queue.status()))
    jobs = [make_job(number) for number in range(2_000)]
    queue.put(*jobs)
    queue.put(*(replace(job, state=JobState.CANCELLED) for job in jobs))
    queue.remove(*(job.id for job in jobs[:1_800]))
    assert [status.queued for status in changes] == [2_000, 0, 0]
    assert [job.id for job in queue.jobs()] == [job.id for job in reversed(jobs[1_800:])]
    queue.hide(queue.jobs())
    assert queue.jobs() == ()
    assert queue.job(jobs[-1].id) is None


def test_failed_plugins_come_first_and_disabled_ones_are_listed(qtbot: QtBot, qtmodeltester: ModelTester) -> None:
    plugins = PluginsModel()
    plugins.reset(engine.make_catalogue(engine.BROKEN), disabled=("gone", "style"))
    names = [plugin.name for plugin in plugins.plugins()]
    assert names[0] == "sepia"
    assert set(names[-2:]) == {"style", "gone"}
    assert plugins.failed == 1
    assert plugins.state_of(engine.BROKEN) is PluginState.FAILED
    qtmodeltester.check(plugins)


def test_notices_do_not_repeat_and_are_limited_in_number(qtbot: QtBot) -> None:
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


def test_variations_hold_the_results_of_the_latest_jobs(qtbot: QtBot) -> None:
    variations = Variations()
    shown: list[Creation] = []
    variations.shown.connect(shown.append)
    results = [engine.make_creation(Path(f"{number}.png"), number) for number in range(3)]
    variations.add(Created(make_job(1).id, results[0]))
    assert list(variations.items) == []
    variations.begin([make_job(1), make_job(2)])
    assert variations.items == (results[0],)
    variations.add(Created(make_job(2).id, results[1]))
    variations.add(Created(make_job(9).id, results[2]))
    assert variations.chosen == results[1]
    variations.step(1)
    assert variations.chosen == results[0]
    assert shown == [results[0], results[1], results[0]]


def test_keep_goes_to_the_next_undecided_result_and_discard_can_be_undone(qtbot: QtBot) -> None:
    variations = Variations()
    results = [engine.make_creation(Path(f"{number}.png"), number) for number in range(3)]
    variations.begin([make_job(1)])
    for creation in results:
        variations.add(Created(make_job(1).id, creation))
    variations.choose(0)
    variations.keep()
    assert variations.is_kept(results[0])
    assert variations.chosen == results[1]
    at = variations.take_out(results[1])
    assert variations.chosen == results[2]
    variations.put_back(results[1], at)
    assert variations.items == tuple(results)
    assert variations.chosen == results[1]
