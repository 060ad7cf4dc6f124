"""The worker: runs one after the other in one thread, obeys, survives what fails, and leaves nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.base.errors import SettingsError, UserError
from lib_dreambooth.base.host import ADAPTERS
from lib_dreambooth.jobs import orders, registry
from lib_dreambooth.jobs.entries import ENDED, TRAIN, WAITING, new_entry
from lib_dreambooth.jobs.worker import NAME, Worker
from lib_dreambooth.runs.commands import GoOn, Pause, SampleNow, SaveNow, StopAfterStep
from lib_dreambooth.runs.events import Finished, Paused, Resumed, Sampled, Saved, Step
from lib_dreambooth.settings.files import review_text
from tests.jobs.made_host import PlainHost
from tests.jobs.made_work import sourced, told, wait_until

ROOT = Path(__file__).resolve().parents[2]
HOLDER = """
import sys, time
from pathlib import Path
from lib_dreambooth.runs.lock import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == NAME]


def test_nothing_runs_where_nothing_is_asked_for(tmp_path: Path) -> None:
    worker = Worker(PlainHost(tmp_path))
    worker.wake()
    assert worker.wait(5)
    assert threads() == []
    model = orders.create_model(worker.host.paths, "a", MINI_CHECKPOINT)
    with pytest.raises(UserError) as error:
        worker.tell(model, Pause())
    assert error.value.code == "not-running"


def test_the_registry_gives_the_same_worker_to_a_reloaded_script(tmp_path: Path) -> None:
    first, second = PlainHost(tmp_path), PlainHost(tmp_path)
    worker = registry.worker_for(first)
    try:
        assert registry.worker_for(second) is worker
        assert worker.host is second
        assert registry.worker_for(PlainHost(tmp_path / "other")) is not worker
        # As if the package were taken out of sys.modules and imported anew.
        kept = sys.modules.pop("lib_dreambooth.jobs.registry")
        import importlib

        anew = importlib.import_module("lib_dreambooth.jobs.registry")
        assert anew is not kept
        assert anew.worker_for(second) is worker
        sys.modules["lib_dreambooth.jobs.registry"] = kept
    finally:
        registry.forget(first)
        registry.forget(PlainHost(tmp_path / "other"))


def test_orders_say_everything_at_once_and_make_nothing(tmp_path: Path) -> None:
    host = PlainHost(tmp_path)
    with pytest.raises(UserError) as error:
        orders.order_new(host, "a/b", sourced(tmp_path / "pictures"))
    assert error.value.code == "bad-name"
    with pytest.raises(UserError) as error:
        orders.order_rest(host, "../x", {})
    assert error.value.code == "no-such-model"
    assert not host.paths.models.exists()


def test_a_changed_copy_of_an_order(tmp_path: Path) -> None:
    host = PlainHost(tmp_path)
    order = orders.order_new(host, "a", sourced(tmp_path / "pictures"))
    assert order.plan is not None and order.plan.length.total_steps == 2
    changed = orders.changed_order(order.entry, {"rates.learning_rate": 5e-5, "network.rank": 3})
    run = review_text(changed.settings).sourced.run
    assert (run.rates.learning_rate, run.network.rank, run.length.batch_size) == (5e-5, 3, 2)
    with pytest.raises(SettingsError) as error:
        orders.changed_order(order.entry, {"rates.learning_rte": 1, "network.rank": "x"})
    assert len(error.value.problems) == 2


@pytest.mark.slow
def test_runs_follow_each_other_whatever_becomes_of_one(tmp_path: Path) -> None:
    host = PlainHost(tmp_path)
    worker = Worker(host)
    lost = tmp_path / "lost"
    ids = [
        worker.queue.add(orders.order_new(host, name, sourced(folder)).entry).id
        for name, folder in (("bad", lost), ("good", tmp_path / "pictures"))
    ]
    ids.insert(1, worker.queue.add(new_entry("never made", TRAIN, settings="")).id)
    shutil.rmtree(lost)
    worker.wake()
    assert worker.wait(60)
    bad, unmade, good = (worker.queue.entry(one) for one in ids)
    assert (bad.status, bad.outcome) == (ENDED, "failed")
    assert bad.problem is not None and bad.problem["code"] == "folder-missing"
    assert unmade.problem is not None and unmade.problem["code"] == "no-such-model"
    assert (good.outcome, good.step, good.problem) == ("done", 2, None)
    assert host.lent == 2 and not host.is_lent
    assert host.threads == {NAME}
    assert host.refreshed == [ADAPTERS]
    assert len(list(host.paths.adapters.glob("good-*.safetensors"))) == 1
    assert threads() == []
    assert told(host, "bad", Finished)[-1].code == "folder-missing"


@pytest.mark.slow
def test_a_run_obeys_and_is_gone_on_with(tmp_path: Path) -> None:
    host = PlainHost(tmp_path)
    worker = Worker(host)
    order = orders.order_new(host, "a", sourced(tmp_path / "pictures", "200 steps"))
    first = worker.add(order.entry)
    model = orders.require_model(host.paths.dreambooth, "a")
    wait_until(lambda: told(host, "a", Step), "a step")
    assert worker.current is not None and worker.current.run_id
    for command, kind in ((Pause(), Paused), (GoOn(), Resumed), (SaveNow(), Saved), (SampleNow(), Sampled)):
        worker.tell(model, command)
        wait_until(lambda kind=kind: told(host, "a", kind), kind.__name__)
    second = worker.queue.add(orders.order_rest(host, "a", {"logging.every": 2}, 1, waits=True).entry)
    with pytest.raises(UserError) as error:
        worker.queue.remove(first.id)
    assert error.value.code == "is-running"
    worker.tell(model, StopAfterStep())
    assert worker.wait(60)
    assert worker.queue.entry(first.id).outcome == "cancelled"
    again = worker.queue.entry(second.id)
    assert again.outcome == "done", again.problem
    assert again.step == worker.queue.entry(first.id).step + 1
    assert again.run_id == worker.queue.entry(first.id).run_id
    assert host.yields > 4
    with pytest.raises(UserError) as refused:
        orders.order_rest(host, "a", {})
    assert refused.value.code == "run-finished"


@pytest.mark.slow
def test_a_model_in_use_elsewhere_is_refused_and_can_be_told(tmp_path: Path) -> None:
    host = PlainHost(tmp_path)
    worker = Worker(host)
    entry = orders.order_new(host, "a", sourced(tmp_path / "pictures")).entry
    model = orders.require_model(host.paths.dreambooth, "a")
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(model.path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        worker.tell(model, StopAfterStep())
        assert len(list(model.inbox_dir.iterdir())) == 1
        worker.add(entry)
        assert worker.wait(60)
    finally:
        other.kill()
        other.wait()
        assert other.stdout is not None
        other.stdout.close()
    problem = worker.queue.entry(entry.id).problem
    assert problem is not None and problem["code"] == "model-in-use"
    assert f"process {other.pid} since" in problem["what"]
    assert host.lent == 1 and not host.is_lent


@pytest.mark.slow
def test_closing_stops_the_run_and_leaves_what_waits(tmp_path: Path) -> None:
    host = PlainHost(tmp_path)
    worker = Worker(host)
    pictures = tmp_path / "pictures"
    first = worker.add(
        orders.order_new(host, "a", sourced(pictures, "until stopped", rates={"schedule": "constant"})).entry
    )
    second = worker.add(orders.order_new(host, "b", sourced(pictures)).entry)
    wait_until(lambda: told(host, "a", Step), "a step")
    assert worker.close()
    assert worker.queue.entry(first.id).outcome == "cancelled"
    left = worker.queue.entry(second.id)
    assert (left.status, left.is_held) == (WAITING, True)
