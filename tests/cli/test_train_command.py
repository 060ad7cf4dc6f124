"""`new`, `train` and `resume` as people and programs call them; a run serves several tests."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.jobs.training import TrainingJob
from lib_dreambooth.runs.events import Event, Step
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.runs.lock import held
from lib_dreambooth.runs.reading import read_events
from tests.cli.made_settings import NAME, Shelf
from tests.models.tiny import save, sd1_tensors


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shelf, tuple[int, str, str]]:
    """A finished run of two steps, and what was said of it."""
    shelf = Shelf(tmp_path_factory.mktemp("trained"))
    return shelf, shelf.call("train", "--name", NAME)


def snapshot(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_new_makes_a_folder_that_knows_its_base(shelf: Shelf) -> None:
    code, (said,) = shelf.stream("new", NAME, "--base", str(MINI_CHECKPOINT))
    assert code == 0
    assert said == {
        "name": NAME,
        "path": str(shelf.folder()),
        "base": str(MINI_CHECKPOINT.absolute()),
        "family": "sd1",
    }
    assert ModelFolder.open(NAME, shelf.models / "dreambooth").card().base.path == said["base"]
    assert [path.name for path in shelf.folder().iterdir()] == ["model.toml"]


def test_new_of_a_name_that_is_taken(shelf: Shelf) -> None:
    assert shelf.call("new", NAME, "--base", str(MINI_CHECKPOINT))[0] == 0
    code, answer, remark = shelf.call("new", NAME, "--base", str(MINI_CHECKPOINT))
    assert (code, answer) == (2, "") and "there is a model or folder of this name already" in remark


def test_new_from_what_cannot_be_trained(shelf: Shelf) -> None:
    inpainting = shelf.root / "inpainting.safetensors"
    save(inpainting, sd1_tensors(in_channels=9), torch.float16)
    code, _, remark = shelf.call("new", NAME, "--base", str(inpainting))
    assert code == 2
    assert remark.startswith(f"{inpainting}: is an inpainting model") and "Choose the plain model" in remark
    assert not shelf.models.exists()


@pytest.mark.slow
def test_class_pictures_without_a_training(shelf: Shelf) -> None:
    code, _, remark = shelf.call("class-pictures", "--name", NAME)
    assert code == 2 and "class pictures are off" in remark
    wanted = (
        "--class_pictures.relation",
        "mixed",
        "--class_pictures.total",
        "2",
        "--class_pictures.steps",
        "1",
    )
    code, answer, _ = shelf.call("class-pictures", "--name", NAME, *wanted)
    assert code == 0 and answer.startswith("2 class pictures were drawn; 2 lie in ")
    assert len(list(ModelFolder(shelf.folder()).class_images_dir.glob("*.png"))) == 2
    code, answer, _ = shelf.call("class-pictures", "--name", NAME, *wanted)
    assert code == 0 and answer.startswith("0 class pictures were drawn; 2 lie in ")


def test_a_dry_run_says_the_plan_and_writes_nothing(shelf: Shelf) -> None:
    before = snapshot(shelf.root)
    code, answer, _ = shelf.call("train", "--name", NAME, "--dry-run")
    assert code == 0 and snapshot(shelf.root) == before
    assert answer.splitlines()[0] == (
        "4 pictures x 1 repeat = 4 visits; batch 2 gives 2 batches; 2 steps an epoch; 1 epoch = 2 steps"
    )
    assert f"{shelf.folder()} (would be made)" in answer


def test_a_dry_run_counts_class_pictures_that_are_not_drawn_yet(shelf: Shelf) -> None:
    drawn = ["--set", "class_pictures.relation=mixed", "--set", "class_pictures.draw=true"]
    own = ["--set", "class_pictures.total=4", "--set", "concepts.0.class_prompt=a shape"]
    code, (said,) = shelf.stream("train", "--name", NAME, "--dry-run", *drawn, *own)
    assert code == 0
    assert said["arithmetic"].startswith("4 pictures x 1 repeat = 4 visits, with 4 class pictures 8;")
    assert said["forecast"]["class pictures"] == "4 to be drawn"


def test_a_preset_counts_the_pictures_itself(shelf: Shelf) -> None:
    code, (said,) = shelf.stream("train", "--name", NAME, "--dry-run", "--preset", "Person")
    told, (told_said,) = shelf.stream(
        "train", "--name", NAME, "--dry-run", "--preset", "Person", "--pictures", "4"
    )
    assert (code, told) == (0, 0) and said["total_steps"] == told_said["total_steps"]
    assert (
        shelf.stream("train", "--name", NAME, "--dry-run", "--preset", "Person", "--pictures", "9")[1][0][
            "total_steps"
        ]
        > said["total_steps"]
    )


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], "missing-setting", "--name NAME"),
        (["--name", "a/b"], "bad-name", "`/` cannot be in a name"),
        (["--name", "x", "--model.base", "/nowhere/x.safetensors"], "bad-file", "there is no such file"),
        (["--name", "x", "--concepts.0.folder", "/nowhere"], "folder-missing", "there is no such folder"),
        (["--name", "x", "--optimizer.name", "Nonsense"], None, "no optimizer"),
        (["--name", "x", "--memory.device", "cuda:7"], None, "PyTorch finds no NVIDIA"),
        (["--name", "x", "--precision.weights", "half", "--precision.mixed", "no"], None, "half-precision"),
        (["--name", "x", "--network.include", "nothing-like-it"], None, "nothing-like-it"),
    ],
)
def test_what_stands_in_the_way_is_said_before_anything_is_made(
    shelf: Shelf, words: list[str], code: str | None, said: str
) -> None:
    if "cuda:7" in words and torch.cuda.is_available():
        said = "cuda:7"
    found, answer, remark = shelf.call("train", *words)
    assert (found, answer) == (2, "") and said in remark, remark
    assert not shelf.models.exists()


def test_a_run_says_what_it_did(trained: tuple[Shelf, tuple[int, str, str]]) -> None:
    shelf, (code, answer, remark) = trained
    assert code == 0
    lines = answer.splitlines()
    lora = shelf.models / "Lora" / NAME / f"{NAME}-000002.safetensors"
    report = next((shelf.folder() / "report").glob("*.html"))
    assert lines[1:] == [
        "Done after 2 steps.",
        f"  {lora.with_name(f'{NAME}-000001.safetensors')}",
        f"  {lora}",
        f"In a prompt: <lora:{NAME}-000002:1>",
        f"Report: {report}",
    ]
    assert shelf.loras == [f"{NAME}/{NAME}-000001.safetensors", f"{NAME}/{NAME}-000002.safetensors"]
    assert re.search(r"step 1 of 2: loss 0\.\d{4}, rate 0.0001", remark)
    assert "Training." not in remark.split("step 1 of 2")[1]


def test_the_plan_names_the_files_that_come(trained: tuple[Shelf, tuple[int, str, str]]) -> None:
    shelf, _ = trained
    _, (said,) = shelf.stream("train", "--name", "other", "--dry-run")
    names = [Path(path).name for path in said["paths"]]
    assert names == ["other-000001.safetensors", "other-000002.safetensors"]
    files = list(shelf.models.glob("Lora/*/*.safetensors"))
    state = shelf.folder() / "states" / "step-00000002" / "tensors.safetensors"
    needed = sum(path.stat().st_size for path in files) + 2 * state.stat().st_size
    # Less than the spare room that is reckoned for each file.
    assert needed <= said["disk_bytes"] <= needed + 5_000_000


def test_a_finished_run_has_no_rest(trained: tuple[Shelf, tuple[int, str, str]]) -> None:
    shelf, _ = trained
    before = snapshot(shelf.models)
    code, answer, remark = shelf.call("resume", NAME)
    assert (code, answer) == (2, "") and "the last run is finished, after 2 steps" in remark
    assert "--steps N" in remark and "--over" in remark
    assert snapshot(shelf.models) == before


def test_a_dry_run_of_going_on_says_the_rest_and_writes_nothing(
    trained: tuple[Shelf, tuple[int, str, str]],
) -> None:
    shelf, _ = trained
    before = snapshot(shelf.models)
    code, answer, _ = shelf.call("resume", NAME, "--steps", "3", "--dry-run")
    assert code == 0 and "goes on after step 2 of 5" in answer and "memory:" in answer
    assert snapshot(shelf.models) == before


def test_unsafe_changes_are_refused_before_anything_is_read(
    trained: tuple[Shelf, tuple[int, str, str]],
) -> None:
    shelf, _ = trained
    before = snapshot(shelf.models)
    code, _, remark = shelf.call("resume", NAME, "--steps", "1", "--network.rank", "8", "--draws.seed", "9")
    assert code == 2 and "network.rank: it was 4" in remark and "draws.seed: it was 1" in remark
    assert snapshot(shelf.models) == before


def test_a_model_in_use_is_left_alone(trained: tuple[Shelf, tuple[int, str, str]]) -> None:
    shelf, _ = trained
    with held(shelf.folder()):
        for command, words in (("train", ["--name", NAME]), ("resume", [NAME])):
            code, _, remark = shelf.call(command, *words)
            assert code == 2 and f"{NAME}: this model is in use by this program" in remark


def test_another_base_is_refused(trained: tuple[Shelf, tuple[int, str, str]], tmp_path: Path) -> None:
    shelf, _ = trained
    other = tmp_path / "other.safetensors"
    save(other, sd1_tensors(), torch.float16)
    code, _, remark = shelf.call("train", "--name", NAME, "--model.base", str(other))
    assert code == 2 and "the settings are for another base than this model" in remark


def test_more_steps_go_on_in_the_same_place(
    trained: tuple[Shelf, tuple[int, str, str]], tmp_path: Path
) -> None:
    """Files of one run stay together and saves count on; the schedule's new end is said."""
    shelf, _ = trained
    logs = tmp_path / "curves"
    words = ["--steps", "2", "--set", "logging.tensorboard=true", "--set", f"logging.folder={logs}"]
    code, answer, remark = shelf.call("resume", f"{shelf.folder()}", *words)
    assert code == 0, remark
    lines = answer.splitlines()
    assert lines[0] == f"{NAME}: goes on after step 2 of 4."
    changed = [line.strip().split(":")[0] for line in lines if line.startswith("  ")]
    assert changed[:3] == ["length.train_for", "logging.tensorboard", "logging.folder"]
    # The old schedule had come to its end; the new one is at two thirds of its way.
    assert "4 steps long: the rate goes on at 2.5e-05, after 0 at the step before, and ends at 0." in answer
    assert "changed" not in remark and "logging.folder: " not in remark
    assert shelf.loras == [f"{NAME}/{NAME}-00000{number}.safetensors" for number in (1, 2, 3, 4)]
    starts = [event for event in read_events(shelf.folder() / "events.jsonl") if hasattr(event, "run_id")]
    assert len(starts) == 2 and starts[0].run_id == starts[1].run_id
    assert list(logs.glob(f"{NAME}/*/events.out.tfevents*"))
    assert shelf.call("resume", NAME)[0] == 2


def test_a_finished_run_whose_state_was_removed(
    trained: tuple[Shelf, tuple[int, str, str]], tmp_path: Path
) -> None:
    """It is finished all the same, and there is nothing to add steps to."""
    shelf, _ = trained
    states = (shelf.folder() / "states").rename(tmp_path / "states")
    try:
        for words, said in (([], "the last run is finished"), (["--steps", "3"], "there is no state")):
            code, _, remark = shelf.call("resume", NAME, *words)
            assert code == 2 and said in remark
    finally:
        states.rename(shelf.folder() / "states")


def pressing(monkeypatch: pytest.MonkeyPatch, step: int, times: int = 1) -> None:
    """Ctrl+C, so often, when a step is told."""
    real = TrainingJob.run

    def run(job: TrainingJob) -> Any:
        def press(event: Event) -> None:
            if isinstance(event, Step) and event.step == step:
                for _ in range(times):
                    signal.raise_signal(signal.SIGINT)

        job.listeners = [*job.listeners, press]
        return real(job)

    monkeypatch.setattr(TrainingJob, "run", run)


@pytest.mark.slow
def test_ctrl_c_cancels_and_the_three_ways_are_offered(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patched:
        pressing(patched, 1)
        code, answer, remark = shelf.call("train", "--name", NAME, "--length.train_for", "30 steps")
    assert code == 130 and "Cancelling" in remark
    step = int(re.search(r"Cancelled after (\d+) steps", answer)[1])  # type: ignore[index]
    assert 1 <= step < 30 and f'Go on with it: resume "{NAME}" --models' in answer
    assert signal.getsignal(signal.SIGINT) == handler
    before = snapshot(shelf.models)
    code, _, remark = shelf.call("train", "--name", NAME)
    assert code == 2 and f"an unfinished run, which is at step {step} of 30" in remark
    assert all(way in remark for way in (f'resume "{NAME}"', "--steps N", "--over"))
    assert snapshot(shelf.models) == before
    # Over: another run in a folder of its own, beside the first one's files.
    code, said = shelf.stream("train", "--name", NAME, "--over", "--set", "length.train_for=1 steps")
    assert code == 0 and said[-1]["outcome"] == "done" and said[-1]["step"] == 1
    assert said[0]["kind"] == "phase" and "finished" in [line.get("kind") for line in said]
    assert [Path(file["path"]).parent.name for file in said[-1]["files"]] == [f"{NAME}-2"]
    assert shelf.call("resume", NAME)[0] == 2


@pytest.mark.slow
def test_ctrl_c_twice_ends_at_once_and_the_run_begins_again(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        pressing(patched, 1, times=2)
        code, _, remark = shelf.call("train", "--name", NAME, "--set", "saving.every=never")
    assert code == 130 and "Ended at once" in remark
    assert shelf.loras == [] and not list(shelf.folder().glob("states/*"))
    code, answer, _ = shelf.call("resume", NAME)
    assert code == 0 and f"{NAME}: it has no state yet and begins again." in answer
    starts = [event for event in read_events(shelf.folder() / "events.jsonl") if hasattr(event, "run_id")]
    assert len({start.run_id for start in starts}) == 1
    assert shelf.loras == [f"{NAME}/{NAME}-000002.safetensors"]
