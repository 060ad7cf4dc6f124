"""What a page needs: pictures that are dropped, a run to draw again, and a picture to try."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from lib_dreambooth.api.tables.settings import known_place
from lib_dreambooth.jobs.uploads import FOLDER
from lib_dreambooth.runs.events import Started, Step
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.runs.log import EventLog
from tests.api.made_site import Made


def code(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_dropped_files_come_together(tmp_path: Path) -> None:
    made = Made(tmp_path)
    first = made.post("/pictures", {"name": "a.png", "base64": code(b"ab"), "is_last": False})
    same = {"upload": first["upload"], "name": "a.png", "base64": code(b"cd"), "begin": 2}
    made.post("/pictures", same)
    last = made.post("/pictures", {"upload": first["upload"], "name": "a.txt", "base64": code(b"words")})
    folder = made.host.paths.dreambooth / FOLDER / first["upload"]
    assert last["folder"] == str(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "a.png": b"abcd",
        "a.txt": b"words",
    }


def test_a_zip_alone_is_trained_from_itself(tmp_path: Path) -> None:
    made = Made(tmp_path)
    answer = made.post("/pictures", {"name": "all.zip", "base64": code(b"PK")})
    assert Path(answer["folder"]).name == "all.zip"


@pytest.mark.parametrize(
    "body",
    [
        {"name": "../../a.py", "base64": ""},
        {"name": "a.png", "base64": "%%"},
        {"name": "a.png", "base64": "", "begin": -1},
        {"name": "a.png", "base64": "", "upload": "../.."},
        {"name": "a.png", "base64": "", "upload": "20260101-000000-00000000", "begin": 5},
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, body: dict[str, object]) -> None:
    made = Made(tmp_path)
    answer = made.client.post("/dreambooth/v1/pictures", json=body)
    assert answer.status_code in (404, 422), answer.text
    assert answer.json()["error"]["what"]
    assert [path for path in tmp_path.rglob("*.p*") if path.is_file()] == []


def test_a_run_is_drawn_again(tmp_path: Path) -> None:
    made = Made(tmp_path)
    base = tmp_path / "base.safetensors"
    base.write_bytes(b"")
    folder = ModelFolder.create(made.host.paths.dreambooth, "one", base, "sd1")
    with EventLog(folder.events_path) as log:
        log.emit(Started(run_id="old"))
        log.emit(Started(run_id="new"))
        log.emit(Step(step=1, loss=0.5))
    answer = made.get("/models/one/run")
    assert answer["last"] == 3
    assert [event["sequence"] for event in answer["events"]] == [2, 3]


def test_a_picture_of_nothing_is_refused(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.get("/drawn/nothing", status=404)
    problem = made.post("/draw", {"prompt": "x", "base": ""}, status=422)
    assert problem["error"]["code"] == "missing-setting"


@pytest.mark.parametrize("is_open", [True, False])
def test_a_recipe_finds_only_what_its_reader_may_name(tmp_path: Path, is_open: bool) -> None:
    for path in (str(tmp_path), "/no/such/place", "//server/share", "\\\\server\\share"):
        found = known_place(path, set(), is_open=is_open)
        assert found == (path if is_open and path == str(tmp_path) else "")
    assert known_place("/listed.safetensors", {"/listed.safetensors"}, is_open=is_open)
