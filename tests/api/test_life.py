"""The whole life of a run over HTTP: made, trained, watched, paused, cancelled, gone on with, used."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import pytest
import torch
import uvicorn
from starlette.middleware.gzip import GZipMiddleware

from lib_dreambooth.api.application import application
from lib_dreambooth.api.describing import schema_of
from lib_dreambooth.api.routes import PREFIX, ROUTES
from lib_dreambooth.api.streaming import lines, stream
from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.base.host import ADAPTERS
from lib_dreambooth.jobs.entries import RUNNING, new_entry, this_process
from lib_dreambooth.jobs.queue import Queue
from lib_dreambooth.jobs.worker import Worker
from lib_dreambooth.runs.events import Step
from tests.api.made_site import Made
from tests.jobs.made_host import PlainHost
from tests.jobs.made_runs import MadeRun, a_folder
from tests.jobs.made_work import short_run, wait_until
from tests.jobs.test_stopped import killed

MODEL = "a 猫"


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Served:
    """A real server on this machine; answers are held against the types that describe them."""

    def __init__(self, host: PlainHost) -> None:
        self.host = host
        self.worker = Worker(host)
        config = uvicorn.Config(application(self.worker, host), host="127.0.0.1", port=0, log_level="error")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        wait_until(lambda: self.server.started, "the server")
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}{PREFIX}", timeout=60)
        self.types = {(route.method, route.path): route.answer for route in ROUTES}

    def call(self, method: str, path: str, body: Any = None, **parts: str) -> Any:
        """The answer to a route with its parts filled in; it has to be of the type that is documented."""
        sent = {"json": body or {}} if method in ("POST", "PUT") else {}
        answer = self.client.request(method, path.format(model=MODEL, **parts), **sent)
        assert answer.status_code < 400, answer.text
        found = answer.json()
        msgspec.convert(found, self.types[method, path])
        return found

    def get(self, path: str, **parts: str) -> Any:
        return self.call("GET", path, **parts)

    def post(self, path: str, body: Any = None, **parts: str) -> Any:
        return self.call("POST", path, body, **parts)

    def watch(self, since: int, is_last: Any) -> list[dict[str, Any]]:
        """Events as they come, up to one; their ids are their numbers."""
        found: list[dict[str, Any]] = []
        headers = {"last-event-id": str(since)}
        with self.client.stream("GET", f"/models/{MODEL}/events/stream", headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    found.append(json.loads(line.removeprefix("data: ")))
                    if is_last(found[-1]):
                        break
        return found

    def close(self) -> None:
        self.worker.close()
        self.client.close()
        self.server.should_exit = True
        self.thread.join(10)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    found = Served(PlainHost(tmp_path))
    yield found
    found.close()


def kind(name: str) -> Any:
    return lambda event: event["kind"] == name


@pytest.mark.slow
def test_the_whole_life_of_a_run(served: Served, tmp_path: Path) -> None:
    host = served.host
    host.paths.checkpoints.mkdir(parents=True)
    (host.paths.checkpoints / "mini.safetensors").write_bytes(MINI_CHECKPOINT.read_bytes())
    (base,) = served.get("/bases")
    served.post("/models", {"name": MODEL, "base": base["id"]})
    settings = {**short_run(tmp_path / "pictures", "400 steps"), "model": {}}
    settings["previews"] |= {"prompts": ["a ring"], "at_start": True}
    planned = served.post("/plan", {"model": MODEL, "settings": settings, "base": base["id"]})
    assert planned["total_steps"] == 400
    ordered = served.post("/queue", {"model": MODEL, "settings": settings})
    assert ordered["plan"]["line"] == planned["line"]
    first = ordered["entry"]["id"]

    told = served.watch(0, kind("step"))
    assert [event["sequence"] for event in told] == list(range(1, len(told) + 1))
    status = served.get("/status")
    assert (status["job"]["id"], status["progress"]["num_steps"]) == (first, 400)
    assert served.get("/models/{model}")["in_use_here"] is True
    refused = served.client.request("DELETE", f"/queue/{first}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "is-running")

    tell = "/models/{model}/commands"
    last = told[-1]["sequence"]
    for command, awaited in (
        ("pause", "paused"),
        ("go-on", "resumed"),
        ("save", "saved"),
        ("sample", "sampled"),
    ):
        served.post(tell, {"command": command})
        told = served.watch(last, kind(awaited))
        assert told[0]["sequence"] == last + 1
        last = told[-1]["sequence"]
        if command == "pause":
            assert served.get("/models/{model}/progress")["is_paused"] is True

    second = served.post("/queue", {"model": MODEL, "settings": settings, "starts": False})["entry"]
    copy = served.post(
        "/queue/{entry_id}/duplicate",
        {"changes": {"network.rank": 3}, "starts": False},
        entry_id=second["id"],
    )
    assert copy["is_held"] is True
    served.post("/queue/{entry_id}/move", {"to": 0}, entry_id=copy["id"])
    waiting = [one["id"] for one in served.get("/queue")["entries"] if one["status"] == "waiting"]
    assert waiting == [copy["id"], second["id"]]
    for one in waiting:
        served.call("DELETE", "/queue/{entry_id}", entry_id=one)

    served.post(tell, {"command": "cancel"})
    end = served.watch(last, kind("finished"))[-1]
    assert end["outcome"] == "cancelled"
    assert served.worker.wait(60)
    model = served.get("/models/{model}")
    assert (model["standing"]["outcome"], model["standing"]["step"]) == ("cancelled", end["step"])
    refused = served.client.post("/queue", json={"model": MODEL, "settings": settings})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "unfinished-run")
    ended = served.get("/queue")["entries"][-1]
    again = f"/queue/{ended['id']}/duplicate"
    refused = served.client.post(again, json={})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "unfinished-run")
    given = served.get("/queue/{entry_id}/settings", entry_id=ended["id"])
    assert given["network"]["rank"] == settings["network"]["rank"]
    refused = served.client.post(tell.format(model=MODEL), json={"command": "pause"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "not-running")

    served.post("/queue", {"model": MODEL, "action": "resume", "more_steps": 2})
    assert served.worker.wait(60)
    ended = served.get("/queue")["entries"][-1]
    assert (ended["outcome"], ended["step"], ended["problem"]) == ("done", end["step"] + 2, None)
    events = served.client.get(f"/models/{MODEL}/events", params={"since": end["sequence"]}).json()
    assert events["events"][-1]["outcome"] == "done"
    assert events["last"] == events["events"][-1]["sequence"]

    use_results(served, end["step"] + 2)
    make_files(served, end["step"] + 2)
    assert host.lent == 3 and not host.is_lent


def make_files(served: Served, step: int) -> None:
    """A checkpoint from the last state: no step is taken, and the run stands as it stood."""
    before = served.get("/models/{model}/settings")
    refused = served.client.post("/queue", json={"model": MODEL, "action": "files", "makes": ["state"]})
    assert refused.json()["error"]["where"] == "makes"
    served.post("/queue", {"model": MODEL, "action": "files", "makes": ["checkpoint"]})
    assert served.worker.wait(60)
    ended = served.get("/queue")["entries"][-1]
    assert (ended["outcome"], ended["step"], ended["makes"]) == ("done", step, ["checkpoint"])
    made = served.get("/models/{model}/results")[-1]
    assert (made["kind"], made["step"], made["reason"]) == ("checkpoint", step, "asked for")
    assert made["preview_id"]
    assert served.get("/models/{model}")["standing"]["is_unfinished"] is False
    assert served.get("/models/{model}/settings") == before


def use_results(served: Served, step: int) -> None:
    """Previews, files, sending, promoting, deleting."""
    host = served.host
    result = served.get("/models/{model}/results")[-1]
    assert (result["kind"], result["step"], result["is_ours"]) == ("adapter", step, True)
    samples = served.get("/models/{model}/samples")
    assert {sample["prompt"] for sample in samples} == {"a ring"}
    picture = served.client.get(f"/models/{MODEL}/pictures/{samples[0]['id']}")
    assert picture.content.startswith(b"\x89PNG")
    sending = served.get("/models/{model}/results/{file_id}/send", file_id=result["id"])
    assert sending["prompt"].endswith(f"<lora:{result['name']}:1>")
    assert sending["text"].startswith(f"a ring <lora:{result['name']}:1>\n")
    assert "Steps: 1, " in sending["text"]
    refreshed = len(host.refreshed)
    path = "/models/{model}/results/{file_id}"
    assert (
        served.post(f"{path}/promote", {"name": "mine"}, file_id=result["id"])["file"] == "mine.safetensors"
    )
    assert (host.paths.adapters / "mine.safetensors").is_file()
    taken = served.client.post(
        f"{path.format(model=MODEL, file_id=result['id'])}/promote", json={"name": "mine"}
    )
    assert (taken.status_code, taken.json()["error"]["code"]) == (409, "exists")
    gone = served.call("DELETE", path, file_id=result["id"])
    assert gone["files"][-1] == result["file"]
    assert not (host.paths.adapters / result["file"]).exists()
    assert host.refreshed[refreshed:] == [ADAPTERS, ADAPTERS]
    assert [one["id"] for one in served.get("/models/{model}/results")].count(result["id"]) == 0
    assert len(served.get("/models/{model}/states")) >= 1


def test_a_crash_is_found_and_nothing_starts_by_itself(tmp_path: Path) -> None:
    host = PlainHost(tmp_path)
    folder = killed(tmp_path)
    folder.path.parent.rename(host.paths.models.parent / "moved")
    host.paths.models.mkdir()
    (tmp_path / "moved").rename(host.paths.dreambooth)
    dead = replace(this_process(), pid=2**22 + 4711, process_start="never")
    queue = Queue(host.paths.dreambooth)
    queue.add(replace(new_entry("riho", "train"), status=RUNNING, owner=dead))
    queue.add(replace(new_entry("riho", "train"), owner=dead))
    made = Made(tmp_path)
    (found,) = made.get("/stopped")
    assert (found["model"], found["step"], found["state_step"]) == ("riho", 70, 60)
    assert "It can go on after step 60." in found["sentence"]
    lost, waiting = made.get("/queue")["entries"]
    assert (lost["status"], lost["outcome"]) == ("ended", "broken-off")
    assert (waiting["status"], waiting["is_held"]) == ("waiting", True)
    assert made.worker.current is None
    assert made.post("/stopped/riho/discard")["state_step"] == 60
    assert made.get("/stopped") == []
    assert made.post("/stopped/riho/discard", status=409)["error"]["code"] == "nothing-stopped"


def test_a_stream_is_taken_up_by_number(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    run = MadeRun(folder)
    run.tell(*(Step(step=number, loss=0.1) for number in range(1, 6)))

    async def look() -> list[str]:
        found, stream = [], lines(folder.events_path, 3)
        found.append(await anext(stream))
        found.append(await anext(stream))
        run.tell(Step(step=6, loss=0.1))
        found.append(await anext(stream))
        return found

    opening, kept, new = asyncio.run(look())
    assert opening == "retry: 15000\n\n"
    assert [line for line in kept.split("\n") if line.startswith("id:")] == ["id: 4", "id: 5"]
    assert new.startswith('id: 6\ndata: {"kind":"step","sequence":6,')
    run.log.close()


def test_old_scripts_are_answered(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.host.paths.checkpoints.mkdir(parents=True)
    (made.host.paths.checkpoints / "mini.safetensors").write_bytes(MINI_CHECKPOINT.read_bytes())
    old = made.client
    assert old.get("/dreambooth/checkpoints").json() == ["mini.safetensors"]
    query = {"new_model_name": "a", "new_model_src": "mini.safetensors"}
    assert old.post("/dreambooth/createModel", params=query).json()["model"] == "a"
    assert old.get("/dreambooth/models").json() == ["a"]
    assert old.get("/dreambooth/status").json()["active"] is False
    assert old.get("/dreambooth/model_config", params={"model_name": "a"}).json()["network"]["rank"] > 0
    assert old.get("/dreambooth/concepts", params={"model_name": "a"}).json() == []
    refused = old.get("/dreambooth/cancel")
    assert (refused.status_code, refused.json()["error"]["todo"]) == (405, "Send POST /dreambooth/cancel.")
    refused = old.post("/dreambooth/cancel")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "not-running")
    refused = old.post("/dreambooth/start_training", json={"model_name": "a"})
    assert refused.status_code == 422, refused.text


def test_answers_have_a_description() -> None:
    undescribed = [route.path for route in ROUTES if schema_of_answer(route.answer) == {}]
    assert undescribed == []


def schema_of_answer(answer: Any) -> dict[str, Any]:
    return {"type": answer} if isinstance(answer, str) else schema_of(answer)


def test_a_host_that_zips_does_not_hold_the_stream_back(tmp_path: Path) -> None:
    # AUTOMATIC1111's WebUI has this around every route; a zip of small events comes out when it is full.
    folder = a_folder(tmp_path)
    run = MadeRun(folder)
    run.tell(Step(step=7, loss=0.1))
    sent: list[bytes] = []

    async def heard() -> None:
        async def receive() -> Any:
            await asyncio.sleep(60)

        async def send(message: Any) -> None:
            sent.append(message.get("body", b""))

        async def program(scope: Any, receive: Any, send: Any) -> None:
            await stream(folder, 0)(scope, receive, send)

        scope = {"type": "http", "method": "GET", "headers": [(b"accept-encoding", b"gzip")]}
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(GZipMiddleware(program)(scope, receive, send), 0.2)

    asyncio.run(heard())
    run.log.close()
    assert b'"step":7' in b"".join(sent)


def test_a_stream_ends_with_the_server_of_a_webui(tmp_path: Path) -> None:
    # gradio ends its server for Reload UI, and waits for all that is still open.
    folder = a_folder(tmp_path)
    MadeRun(folder).log.close()
    server = SimpleNamespace(should_exit=False)
    app = SimpleNamespace(blocks=SimpleNamespace(server=server))
    sent: list[dict[str, Any]] = []

    async def reload() -> None:
        async def receive() -> Any:
            await asyncio.sleep(60)

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)
            server.should_exit = message["type"] == "http.response.body"

        await asyncio.wait_for(stream(folder, 0)({"type": "http", "app": app}, receive, send), 10)

    asyncio.run(reload())
    assert sent[-1]["more_body"] is False
