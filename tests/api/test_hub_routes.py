"""A base of the hub by the routes: asked about, fetched as a task, trained from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.base.host import HostSettings
from tests.api.made_site import Made
from tests.jobs.made_hub import Hub, serving

NAME = "me/mini"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving() as found:
        found.models[NAME] = {"mini-of-mine.safetensors": MINI_CHECKPOINT.read_bytes()}
        monkeypatch.setattr("lib_dreambooth.jobs.hub.hub_of", lambda endpoint: (found.address, {}))
        yield found


def test_it_is_fetched_when_that_is_said_and_trained_from(hub: Hub, tmp_path: Path) -> None:
    made = Made(tmp_path)
    refused = made.post("/models", {"name": "cat", "base": NAME}, 422)
    assert refused["error"]["code"] == "hub-name"
    found = made.post("/bases/fetch", {"name": NAME})
    size = MINI_CHECKPOINT.stat().st_size
    assert (found["num_bytes"], found["is_there"], found["task"]) == (size, False, None)
    assert not Path(found["path"]).exists()
    task = made.post("/bases/fetch", {"name": NAME, "may_download": True})["task"]
    assert made.worker.tasks.wait(60)
    ended = made.get(f"/tasks/{task['id']}")
    assert (ended["status"], ended["done"], ended["total"]) == ("done", size, size)
    assert ended["answer"]["id"] in [base["id"] for base in made.get("/bases")]
    assert made.post("/models", {"name": "cat", "base": ended["answer"]["path"]}, 201)["family"] == "sd1"
    again = made.post("/bases/fetch", {"name": NAME, "may_download": True})
    assert (again["is_there"], again["task"]) == (True, None)


def test_who_comes_from_outside_fetches_nothing(hub: Hub, tmp_path: Path) -> None:
    made = Made(tmp_path, HostSettings(may_name_folders=False))
    made.post("/bases/fetch", {"name": NAME, "may_download": True}, 403)
    assert hub.asked == []
