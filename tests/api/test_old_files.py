"""Old scripts and files: pictures in, pictures and checkpoints out, a model gone."""

from __future__ import annotations

import base64
import io
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lib_dreambooth import settings
from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.jobs import trying
from lib_dreambooth.jobs.entries import TRAIN, new_entry
from lib_dreambooth.jobs.trying import Wish
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.runs.lock import held
from lib_dreambooth.settings.files import write_file
from tests.api.made_site import Made
from tests.jobs.made_runs import MadeRun, sourced
from tests.jobs.made_work import short_run

NAME = "riho"
QUERY = {"model_name": NAME}


@pytest.fixture
def made(tmp_path: Path) -> Made:
    site = Made(tmp_path / "webui")
    base = site.host.paths.checkpoints / "base.safetensors"
    base.parent.mkdir(parents=True)
    shutil.copyfile(MINI_CHECKPOINT, base)
    ModelFolder.create(site.host.paths.dreambooth, NAME, base, "sd1")
    return site


def model_of(made: Made) -> ModelFolder:
    return ModelFolder(made.host.paths.dreambooth / NAME)


def ended(made: Made) -> Path:
    """A run that drew two previews twice, and saved a LoRA."""
    run = MadeRun(model_of(made))
    run.start("r1")
    run.sample(10, prompts=("a", "b"))
    run.sample(20, prompts=("a", "b"))
    run.save(20, made.host.paths.adapters)
    run.log.close()
    return next(made.host.paths.adapters.glob("*.safetensors"))


def call(made: Made, method: str, path: str, status: int = 200, **more: Any) -> Any:
    answer = made.client.request(method, f"/dreambooth{path}", **more)
    assert answer.status_code == status, answer.text
    return answer


def png(colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(file, "PNG")
    return file.getvalue()


def sent(*pictures: tuple[str, bytes, str]) -> dict[str, Any]:
    rows = [
        {"name": name, "data": base64.b64encode(data).decode(), "txt": text} for name, data, text in pictures
    ]
    return {"imageList": rows}


def names_in(answer: Any) -> list[str]:
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"].startswith("attachment")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        return archive.namelist()


def test_pictures_become_a_concept_of_the_model(made: Made) -> None:
    first, second = png((200, 0, 0)), png((0, 200, 0))
    body = sent(("a.png", first, "a riho, red"), ("../../b.png", b"", ""))
    body["imageList"][1]["data"] = "data:image/png;base64," + base64.b64encode(second).decode()
    told = call(made, "POST", "/upload", params=QUERY | {"instance_name": "riho"}, json=body).json()
    folder = Path(told["folder"])
    assert folder.parent == made.host.paths.dreambooth / ".pictures"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "a.png": first,
        "a.txt": b"a riho, red",
        "b.png": second,
    }
    (concept,) = call(made, "GET", "/concepts", params=QUERY).json()
    assert (concept["folder"], concept["name"]) == (str(folder), "riho")
    call(made, "POST", "/upload", params=QUERY | {"create_concept": "false"}, json=sent(("c.png", first, "")))
    assert len(call(made, "GET", "/concepts", params=QUERY).json()) == 1
    for rows in ([], [{"name": "a.exe", "data": ""}], [{"name": "a.png", "data": "?"}], [{"name": 1}], "x"):
        refused = call(made, "POST", "/upload", 422, params=QUERY, json={"imageList": rows}).json()["error"]
        assert refused["code"] in ("bad-body", "bad-file")


def test_nothing_is_fetched_for_a_caller(made: Made) -> None:
    body = {"imageList": [{"name": "a.png", "data": "http://127.0.0.1/secret.png"}]}
    told = call(made, "POST", "/upload_url", 410, params=QUERY, json=body).json()["error"]
    assert told["code"] == "not-offered" and "/dreambooth/upload" in told["todo"]
    assert call(made, "POST", "/upload", 422, params=QUERY, json=body).json()["error"]["code"] == "bad-body"


def test_what_runs_made_is_given(made: Made) -> None:
    assert call(made, "GET", "/status_images", 404, params=QUERY).json()["error"]["code"] == "no-such-file"
    lora = ended(made)
    assert names_in(call(made, "GET", "/status_images", params=QUERY)) == [
        "step-00000020-01-42.png",
        "step-00000020-02-42.png",
    ]
    assert call(made, "GET", "/models_lora", params=QUERY).json() == [lora.stem]
    refused = call(made, "GET", "/checkpoint", 404, params=QUERY).json()["error"]
    assert refused["code"] == "no-such-file" and "models_lora" in refused["todo"]
    run = MadeRun(model_of(made), sourced(**{"network.kind": "none"}))
    run.start("r2")
    run.save(30, made.host.paths.checkpoints)
    run.log.close()
    assert call(made, "GET", "/checkpoint", params=QUERY).content == b"weights of 30" * 1000


def test_class_pictures_are_given_and_no_link(made: Made, tmp_path: Path) -> None:
    folder = model_of(made).class_images_dir
    folder.mkdir()
    (tmp_path / "secret.png").write_bytes(png((1, 2, 3)))
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "half.part").write_bytes(b"")
    assert call(made, "GET", "/classifiers", 404, params=QUERY)
    (folder / "a.png").write_bytes(png((0, 0, 9)))
    one = call(made, "GET", "/classifiers", params=QUERY)
    assert (one.headers["content-type"], one.content) == ("image/png", png((0, 0, 9)))
    (folder / "b.png").write_bytes(png((0, 9, 9)))
    assert names_in(call(made, "GET", "/classifiers", params=QUERY)) == ["a.png", "b.png"]


@pytest.mark.slow
def test_class_pictures_are_drawn_without_a_training(made: Made, tmp_path: Path) -> None:
    folder = model_of(made)
    classes = {"relation": "mixed", "draw": True, "total": 2, "steps": 1}
    values = short_run(tmp_path / "pictures", class_pictures=classes)
    values["model"]["base"] = folder.card().base.path
    values["concepts"][0]["class_prompt"] = "a circle"
    write_file(folder.settings_path, settings.read(values))
    told = call(made, "POST", "/classifiers", data=QUERY).json()
    assert made.worker.tasks.wait(60)
    task = made.get(f"/tasks/{told['task']}")
    assert (task["status"], task["problem"]) == ("done", None)
    assert (task["answer"]["drawn"], task["answer"]["there"]) == (2, 2)
    assert len(names_in(call(made, "GET", "/classifiers", params=QUERY))) == 2
    # A training finds them, and there is nothing left to draw.
    again = call(made, "POST", "/classifiers", 409, data=QUERY).json()["error"]
    assert again["code"] == "nothing-to-draw"
    assert made.post("/plan", {"model": folder.name, "settings": values})["new_class_pictures"] == 0


def test_pictures_are_drawn_with_what_was_trained_last(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wishes: list[Wish] = []

    def try_out(host: object, wish: Wish) -> Path:
        wishes.append(wish)
        path = tmp_path / f"{len(wishes)}.png"
        path.write_bytes(png((len(wishes), 0, 0)))
        return path

    monkeypatch.setattr(trying, "try_out", try_out)
    lora = ended(made)
    values = QUERY | {"sample_prompt": "a riho", "seed": 7, "steps": 3, "width": 128, "height": 64}
    answer = call(made, "POST", "/samples", data=values)
    assert (answer.headers["content-type"], answer.content) == ("image/png", png((1, 0, 0)))
    base = made.host.paths.checkpoints / "base.safetensors"
    assert wishes == [
        Wish(f"a riho <lora:{lora.stem}:1>", base, steps=3, guidance=7.5, seed=7, size_wh=(128, 64))
    ]
    assert names_in(call(made, "POST", "/samples", json=QUERY | {"num_images": 2})) == ["2.png", "3.png"]
    assert wishes[2].seed == wishes[1].seed + 1
    assert call(made, "POST", "/samples", 422, json=QUERY | {"num_images": 99})
    assert call(made, "GET", "/samples", 405, params=QUERY).json()["error"]["code"] == "wrong-method"


@pytest.mark.parametrize("old", [False, True])
def test_a_model_goes_with_its_folder_and_its_results_stay(made: Made, old: bool) -> None:
    def remove(status: int = 200) -> Any:
        if old:
            return call(made, "DELETE", "/model", status, data=QUERY).json()
        return call(made, "DELETE", f"/v1/models/{NAME}", status).json()

    lora, folder = ended(made), model_of(made).path
    with held(folder):
        assert remove(409)["error"]["code"] == "model-in-use"
    entry = made.worker.queue.add(new_entry(NAME, TRAIN))
    assert remove(409)["error"]["code"] == "model-in-use"
    made.worker.queue.remove(entry.id)
    assert folder.is_dir() and remove()["name" if not old else "model"] == NAME
    assert not folder.exists() and lora.is_file()
    assert remove(404)["error"]["code"] == "no-such-model"


def test_a_link_in_place_of_a_model_is_not_followed(made: Made, tmp_path: Path) -> None:
    folder = model_of(made).path
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert made.call("DELETE", f"/models/{NAME}", status=403)["error"]["code"] == "not-allowed"
    assert (tmp_path / "elsewhere" / "model.toml").is_file()
