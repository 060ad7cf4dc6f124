"""A training and a live WebUI on one card: neither disturbs the other.

Start the WebUI with `--api --no-half` and this folder among its extensions, run `python run.py mini --into
WEBUI`, then `WEBUI_URL=http://127.0.0.1:7860 WEBUI_MODELS=WEBUI/models python run.py test tests/hosts`.
Models, results and a second checkpoint are put below its folders, and removed afterwards.
"""

from __future__ import annotations

import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lib_dreambooth.assets.shapes import subject
from lib_dreambooth.tools.mini import MODEL_NAME
from tests.hosts import trainings, webui
from tests.hosts.trainings import ROOT, Run, Timed, choose, chosen, count_tokens, idle, picture
from tests.training.made_runs import assert_same, tensors_of

pytestmark = pytest.mark.skipif(
    not (webui.WEBUI_URL and webui.WEBUI_MODELS), reason="needs WEBUI_URL and WEBUI_MODELS of a running WebUI"
)

STEPS = 80
OTHER = "dreambooth-sharing-test"
MAX_ANSWER_S = 1.0


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    subject.write_subject(folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def second_checkpoint() -> Iterator[None]:
    """The miniature under another name; the first is chosen before and after."""
    base = trainings.base()
    copies = [base.with_name(OTHER + suffix) for suffix in (".safetensors", ".yaml")]
    for copy in copies:
        shutil.copyfile(base.with_suffix(copy.suffix), copy)
    webui.select_checkpoint(MODEL_NAME)
    try:
        yield
    finally:
        webui.select_checkpoint(MODEL_NAME)
        for copy in copies:
            copy.unlink()
        webui.call("/sdapi/v1/refresh-checkpoints", {})


@pytest.fixture
def run() -> Iterator[Run]:
    made = Run(f"sharing-{uuid.uuid4().hex[:6]}")
    yield made
    remove(made)


@pytest.fixture(scope="module")
def made(pictures: Path) -> Iterator[Callable[[int], Path]]:
    """The file of a run that nobody disturbed, by its number of steps."""
    found: dict[int, tuple[Run, Path]] = {}

    def undisturbed(num_steps: int) -> Path:
        if num_steps not in found:
            run = Run(f"sharing-{uuid.uuid4().hex[:6]}")
            run.order(trainings.settings(pictures, num_steps))
            assert run.ended() == "done"
            idle()
            found[num_steps] = (run, file_of(run))
        return found[num_steps][1]

    yield undisturbed
    for run, _ in found.values():
        remove(run)


def remove(run: Run) -> None:
    """Everything of a run."""
    models = Path(webui.WEBUI_MODELS)
    if run.order_id and not run.has_ended:
        run.tell("discard")
    idle()
    shutil.rmtree(models / "dreambooth" / run.name, ignore_errors=True)
    for path in (models / "Lora").glob(f"{run.name}*"):
        path.unlink()


def file_of(run: Run) -> Path:
    """What it wrote last."""
    found = (Path(webui.WEBUI_MODELS) / "Lora").glob(f"{run.name}*.safetensors")
    return max(found, key=lambda path: path.stat().st_mtime_ns)


def assert_same_file(run: Run, other: Path) -> None:
    assert_same(tensors_of(file_of(run)), tensors_of(other))


def test_the_whole_way(run: Run, pictures: Path, made: Callable[[int], Path]) -> None:
    """Train, watch, pause, txt2img, go on, cancel, go on, finish, txt2img with what was trained."""
    before = picture()
    run.order(trainings.settings(pictures, STEPS))
    run.at_step(5)
    run.tell("pause")
    run.until(lambda found: found["is_paused"])
    begun = time.monotonic()
    assert np.array_equal(picture(), before)
    print(f"picture in a pause: {time.monotonic() - begun:.1f} s")
    stood = run.progress()["step"]
    run.tell("go-on")
    run.at_step(stood + 3)
    run.tell("cancel")
    assert run.ended() == "cancelled"
    idle()
    run.resume()
    assert run.ended() == "done"
    idle()
    assert_same_file(run, made(STEPS))
    assert np.array_equal(picture(), before)
    with_it = picture(f"{trainings.PROMPT} <lora:{file_of(run).stem}:1>")
    assert webui.psnr(with_it, before) < 40
    assert file_of(run).stem in [one["name"] for one in webui.call("/sdapi/v1/loras")]


def test_pictures_during_a_run_are_the_same_and_so_is_what_it_trains(
    run: Run, pictures: Path, made: Callable[[int], Path]
) -> None:
    before = picture()
    other = made(STEPS)
    run.order(trainings.settings(pictures, STEPS))
    run.at_step(2)
    drawn, seconds = [], []
    while not run.has_ended:
        begun = time.monotonic()
        drawn.append(picture())
        seconds.append(time.monotonic() - begun)
        time.sleep(1.0)
    idle()
    print(f"{len(drawn)} pictures during {STEPS} steps, {min(seconds):.1f} to {max(seconds):.1f} s each")
    assert len(drawn) >= 3 and all(np.array_equal(one, before) for one in drawn)
    assert_same_file(run, other)
    assert np.array_equal(picture(), before)


def test_small_things_are_answered_within_a_second(
    run: Run, pictures: Path, made: Callable[[int], Path]
) -> None:
    other = made(STEPS)
    words = count_tokens(trainings.PROMPT)
    run.order(trainings.settings(pictures, STEPS))
    run.at_step(2)
    timed = Timed()

    def count() -> None:
        assert count_tokens(trainings.PROMPT) == words

    def ask() -> None:
        assert "samples_save" in webui.call("/sdapi/v1/options")

    works: list[Callable[[], object]] = [count, count, lambda: choose(samples_save=True), ask] * 20
    timed.all(works, spread_s=4.0)
    assert not run.has_ended, "the run was too short for this"
    print(f"80 calls: median {sorted(timed.seconds)[40]:.3f} s, slowest {max(timed.seconds):.3f} s")
    assert not timed.errors and len(timed.seconds) == 80
    assert max(timed.seconds) < MAX_ANSWER_S
    assert run.ended() == "done"
    idle()
    assert_same_file(run, other)


def test_another_checkpoint_and_extras_during_a_run(
    run: Run, pictures: Path, made: Callable[[int], Path]
) -> None:
    before, other = picture(), made(STEPS)
    large = trainings.upscaled(before)
    run.order(trainings.settings(pictures, STEPS))
    run.at_step(2)
    webui.select_checkpoint(OTHER)
    assert webui.call("/sdapi/v1/options")["sd_model_checkpoint"].startswith(OTHER)
    assert np.array_equal(picture(), before)
    assert np.array_equal(trainings.upscaled(before), large)
    webui.select_checkpoint(MODEL_NAME)
    assert np.array_equal(picture(), before)
    assert run.ended() == "done"
    idle()
    assert_same_file(run, other)
    assert webui.call("/sdapi/v1/options")["sd_model_checkpoint"].startswith(MODEL_NAME)
    assert np.array_equal(picture(), before)


def test_training_first(run: Run, pictures: Path) -> None:
    before = picture()
    # The page's table of buttons is read once, and is large.
    count_tokens("a ring")
    with chosen(dreambooth_training_first=True):
        run.order(trainings.settings(pictures, STEPS))
        run.at_step(2)
        task, drawn = f"task(test-{uuid.uuid4().hex[:6]})", []
        thread = threading.Thread(target=lambda: drawn.append(picture(force_task_id=task)), daemon=True)
        thread.start()
        why = shown(task)
        assert why is not None and "training" in why
        timed = Timed()
        timed.all([lambda: count_tokens("a ring")] * 5)
        assert not drawn and not timed.errors and max(timed.seconds) < MAX_ANSWER_S
        run.at_step(STEPS // 2)
        assert not drawn
        assert run.ended() == "done"
        thread.join(trainings.SLOW_S)
        assert np.array_equal(drawn[0], before)


def shown(task: str) -> str | None:
    """What the progress bar of a picture says once it says something of the training."""
    for _ in range(100):
        told = webui.call(
            "/internal/progress", {"id_task": task, "id_live_preview": -1, "live_preview": False}
        )
        if told["active"] and told["textinfo"]:
            return str(told["textinfo"])
        time.sleep(trainings.LOOK_S)
    return None


def test_a_run_goes_on_over_reload_ui(run: Run, pictures: Path, made: Callable[[int], Path]) -> None:
    other = made(STEPS)
    run.order(trainings.settings(pictures, STEPS))
    run.at_step(5)
    trainings.press("settings_restart_gradio")
    time.sleep(3.0)
    end = time.monotonic() + trainings.SLOW_S
    while not trainings.answers():
        assert time.monotonic() < end, "the WebUI does not come back"
        time.sleep(0.2)
    trainings.handler.cache_clear()
    found: dict[str, Any] = webui.call(f"{ROOT}/status")
    print(f"after Reload UI: at step {found['progress']['step'] if found['progress'] else 'the end'}")
    assert run.ended() == "done"
    idle()
    assert_same_file(run, other)
    page = webui.call("/config")["components"]
    assert [one["props"].get("elem_id") for one in page].count("tab_dreambooth") == 1


def test_a_run_that_fails_gives_the_card_back_and_the_next_begins(run: Run, pictures: Path) -> None:
    before = picture()
    run.order(trainings.settings(pictures, 30))
    following = Run(f"{run.name}-next")
    following.order(trainings.settings(pictures, 5))
    assert following.entry()["status"] in ("waiting", "running")
    run.at_step(2)
    # Its last state finds no room: where its folder should be there is a file.
    states = Path(webui.WEBUI_MODELS) / "dreambooth" / run.name / "states"
    shutil.rmtree(states, ignore_errors=True)
    states.write_text("in the way", encoding="utf-8")
    assert run.ended() == "failed" and run.entry()["problem"]["what"]
    assert following.ended() == "done"
    idle()
    assert np.array_equal(picture(), before)
    remove(following)
