"""Tools asked for by a page: tasks, what they make, and what they refuse."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.formats.container import open_tensors
from lib_dreambooth.formats.embedding import Embedding, write_embedding
from lib_dreambooth.formats.lora import read_adapter
from lib_dreambooth.formats.safetensors_write import write_safetensors
from lib_dreambooth.jobs.made_files import id_of
from lib_dreambooth.jobs.orders import create_model
from lib_dreambooth.jobs.tool_files import note
from lib_dreambooth.models.read import read_model
from tests.api.made_site import Made
from tests.jobs.made_runs import MadeRun

KEY = "model.diffusion_model.middle_block.1.proj_in.weight"
NAME = "lora_unet_middle_block_1_proj_in"


def write_lora(path: Path, seed: int = 1, rank: int = 4) -> Path:
    with open_tensors(MINI_CHECKPOINT) as file:
        width = file.shape(KEY)[0]
    generator = torch.Generator().manual_seed(seed)
    parts = {
        f"{NAME}.lora_down.weight": torch.randn((rank, width, 1, 1), generator=generator),
        f"{NAME}.lora_up.weight": torch.randn((width, rank, 1, 1), generator=generator),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_safetensors(path, parts, {"ss_network_dim": str(rank)})
    return path


class Place:
    """A model on the miniature whose run made one LoRA."""

    def __init__(self, root: Path) -> None:
        self.made = Made(root)
        paths = self.made.host.paths
        base = paths.checkpoints / "mini.safetensors"
        base.parent.mkdir(parents=True)
        shutil.copy(MINI_CHECKPOINT, base)
        self.base = base
        self.folder = create_model(paths, "riho", base)
        run = MadeRun(self.folder)
        run.start("r1")
        run.save(10, paths.adapters)
        run.log.close()
        [self.result] = self.made.get("/models/riho/results")
        self.lora = next(paths.adapters.glob("*.safetensors"))
        write_lora(self.lora)

    def at(self, tail: str) -> str:
        return f"/models/riho/results/{self.result['id']}/{tail}"

    def done(self, task: dict[str, Any]) -> dict[str, Any]:
        assert self.made.worker.tasks.wait(60)
        found = self.made.get(f"/tasks/{task['id']}")
        assert isinstance(found, dict)
        return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.slow
def test_a_merge_becomes_a_result(place: Place) -> None:
    other = write_lora(place.lora.with_name("style.safetensors"), seed=2)
    body = {"name": "with both", "weight": 0.5, "others": {id_of(other): -1.0}}
    task = place.made.post(place.at("merge"), body, 202)
    assert (task["kind"], task["model"], task["title"]) == ("merge", "riho", "with both")
    done = place.done(task)
    assert (done["status"], done["done"], done["total"]) == ("done", 1, 1)
    target = place.base.with_name("with both.safetensors")
    with open_tensors(target) as after, open_tensors(place.base) as before:
        assert not torch.equal(after.read(KEY), before.read(KEY))
    found = {one["name"]: one for one in place.made.get("/models/riho/results")}
    new = found["with both"]
    assert (new["kind"], new["reason"], new["step"], new["is_ours"]) == ("checkpoint", "merged", 10, True)
    assert new["id"] == done["answer"]["id"]
    assert place.made.get(f"/models/riho/results/{new['id']}/send")["checkpoint"] == "with both"
    assert "checkpoints" in place.made.host.refreshed
    place.made.post(place.at("merge"), body, 409)
    place.made.call("DELETE", f"/models/riho/results/{new['id']}")
    assert not target.exists()
    assert [one["name"] for one in place.made.get("/models/riho/results")] == [place.lora.stem]


def test_a_smaller_one_keeps_its_card(place: Place) -> None:
    place.lora.with_suffix(".json").write_text('{"activation text": "riho"}', encoding="utf-8")
    done = place.done(place.made.post(place.at("resize"), {"name": "small", "rank": 2}, 202))
    assert (done["status"], done["answer"]["ranks"]) == ("done", "2")
    small = place.lora.with_name("small.safetensors")
    assert {one.rank for one in read_adapter(small).modules.values()} == {2}
    found = {one["name"]: one for one in place.made.get("/models/riho/results")}["small"]
    assert (found["kind"], found["reason"]) == ("adapter", "resized")
    sent = place.made.get(f"/models/riho/results/{found['id']}/send")
    assert sent["prompt"] == "riho, <lora:small:1>"


@pytest.mark.slow
def test_a_comparison_is_kept(place: Place) -> None:
    write_lora(place.lora.with_name("style.safetensors"), seed=2)
    body = {
        "files": [place.result["id"]],
        "strengths": [0, 1],
        "prompt": f"a red circle, <lora:{place.lora.stem}:0.3>, <lora:style:0.2>",
        "steps": 1,
        "width": 64,
        "height": 64,
    }
    done = place.done(place.made.post("/models/riho/compare", body, 202))
    assert done["status"] == "done", done
    [sheet] = place.made.get("/models/riho/comparisons")
    assert sheet["id"] == done["answer"]["id"] and "Strengths: 0 1" in sheet["text"]
    # What is compared counts once, other networks of the prompt act on all.
    assert sheet["text"].startswith("a red circle <lora:style:0.2>\n")
    answer = place.made.client.get(f"/dreambooth/v1/models/riho/comparisons/{sheet['id']}")
    assert answer.headers["content-type"] == "image/png"
    assert place.made.host.lent == 1
    assert place.made.call("DELETE", f"/models/riho/comparisons/{sheet['id']}") == []


@pytest.mark.slow
def test_checkpoints_and_words_are_compared_too(place: Place) -> None:
    [width] = {encoder.width for encoder in read_model(place.base).encoders}
    word = place.made.host.paths.embeddings / "ohwx.safetensors"
    word.parent.mkdir(parents=True, exist_ok=True)
    write_embedding(word, Embedding("ohwx", {"text_encoder": torch.ones(1, width)}))
    files = [place.result["id"], id_of(word), id_of(place.base)]
    body = {"files": files, "strengths": [1], "prompt": "ohwx", "steps": 1, "width": 64, "height": 64}
    done = place.done(place.made.post("/models/riho/compare", body, 202))
    assert done["status"] == "done", done
    assert (done["done"], done["total"]) == (3, 3)
    [sheet] = place.made.get("/models/riho/comparisons")
    assert f"Compared: {place.lora.stem} / ohwx / mini" in sheet["text"]


@pytest.mark.parametrize(
    ("tail", "body", "status"),
    [
        ("merge", {"name": ""}, 422),
        ("merge", {"name": "mini", "replaces": True}, 202),
        ("merge", {"name": "x", "base": "/etc/passwd"}, 202),
        ("merge", {"name": "x", "others": {"nothing": 1.0}}, 404),
        ("merge", {"name": "x", "precision": "int8"}, 422),
        ("resize", {"name": "x"}, 422),
        ("resize", {"name": "x", "rank": 2, "of": "odd"}, 422),
    ],
)
def test_wishes_that_cannot_be_met(place: Place, tail: str, body: dict[str, Any], status: int) -> None:
    before = place.base.read_bytes()
    found = place.made.post(place.at(tail), body, status)
    if status == 202:
        assert place.done(found)["status"] == "failed"
    else:
        assert found["error"]["todo"]
    assert place.base.read_bytes() == before
    assert [path.name for path in place.base.parent.glob("*.safetensors")] == [place.base.name]


def test_other_kinds_are_refused_and_names_stay_names(place: Place, tmp_path: Path) -> None:
    note(place.folder, place.base, "checkpoint", "merged")
    body = {"name": "x", "rank": 1}
    found = place.made.post(f"/models/riho/results/{id_of(place.base)}/resize", body, 422)
    assert found["error"]["code"] == "wrong-kind"
    done = place.done(place.made.post(place.at("resize"), {"name": "../../out", "rank": 1}, 202))
    assert done["status"] == "done"
    assert not list(tmp_path.glob("out*")) and list(place.lora.parent.glob("*out.safetensors"))


def test_a_list_leads_nowhere_else(place: Place, tmp_path: Path) -> None:
    secret = tmp_path / "secret.safetensors"
    shutil.copy(place.lora, secret)
    note(place.folder, secret, "adapter", "resized")
    found = {one["name"]: one for one in place.made.get("/models/riho/results")}["secret"]
    assert found["is_ours"] is False
    place.made.call("DELETE", f"/models/riho/results/{found['id']}", status=404)
    place.made.post(f"/models/riho/results/{found['id']}/resize", {"name": "x", "rank": 1}, 404)
    assert secret.exists()


def test_tasks_are_listed_and_forgotten(place: Place) -> None:
    task = place.made.post(place.at("resize"), {"name": "small", "rank": 2}, 202)
    place.done(task)
    assert [one["id"] for one in place.made.get("/tasks")] == [task["id"]]
    place.made.call("DELETE", f"/tasks/{task['id']}")
    assert place.made.get("/tasks") == []
    place.made.get("/tasks/none", 404)


def test_a_picture_waits_for_a_training(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from lib_dreambooth.jobs.entries import TRAIN, new_entry
    from lib_dreambooth.jobs.worker import Worker

    monkeypatch.setattr(Worker, "current", property(lambda self: new_entry("miku", TRAIN)))
    body = {"files": [place.result["id"]], "strengths": [1], "prompt": "x"}
    found = place.made.post("/models/riho/compare", body, 409)
    assert (found["error"]["code"], found["error"]["where"]) == ("is-running", "miku")
