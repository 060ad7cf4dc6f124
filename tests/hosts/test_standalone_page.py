"""The page without a WebUI: its files, its head, its door."""

from __future__ import annotations

import argparse
import base64
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.testclient import TestClient

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.hosts import ui_command
from lib_dreambooth.hosts.door import Door
from lib_dreambooth.hosts.standalone_page import FILES, InHead, head_of, page_files

USERS = {"aki": "a long password"}


def client(**more: object) -> TestClient:
    app = FastAPI()
    app.get("/")(lambda: HTMLResponse("<html><head><title>x</title></head><body>y</body></html>"))
    app.get("/json")(lambda: JSONResponse({"a": 1}))
    app.add_middleware(InHead, files=page_files())
    if more:
        app.add_middleware(Door, **more)
    return TestClient(app)


def test_the_page_loads_every_script_and_the_style() -> None:
    answer = client().get("/")
    head = answer.text.split("</head>")[0]
    assert answer.headers["content-length"] == str(len(answer.content))
    assert "connect-src 'self'" in answer.headers["content-security-policy"]
    for name in page_files():
        assert f"{FILES}/{name}?" in head
    assert answer.text.endswith("<body>y</body></html>")


def test_other_answers_stay_as_they_are() -> None:
    answer = client().get("/json")
    assert answer.json() == {"a": 1}
    assert "content-security-policy" not in answer.headers


def test_a_changed_file_has_another_address(tmp_path: Path) -> None:
    path = tmp_path / "a.js"
    path.write_text("1", encoding="utf-8")
    before = head_of({"a.js": path})
    path.write_text("2", encoding="utf-8")
    import os

    os.utime(path, ns=(1, 1))
    assert head_of({"a.js": path}) != before


def basic(text: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize(
    "sent", [{}, basic("aki:wrong"), basic("aki"), basic(":"), {"Authorization": "Basic %%"}]
)
@pytest.mark.parametrize("path", ["/", "/json", "/nothing"])
def test_the_door_is_closed(path: str, sent: dict[str, str]) -> None:
    answer = client(users=USERS).get(path, headers=sent)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic")


def test_the_door_opens() -> None:
    assert client(users=USERS).get("/json", headers=basic("aki:a long password")).json() == {"a": 1}


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    ui_command.add(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (["--listen"], "--listen"),
        (["--listen", "--user", "aki"], "--user"),
        (["--password", "a long password"], "--user"),
        (["--listen", "--user", "aki", "--password", "short"], "--password"),
    ],
)
def test_nobody_listens_without_a_password(words: list[str], where: str) -> None:
    with pytest.raises(UserError) as caught:
        ui_command.users_of(arguments(*words))
    assert caught.value.where == where


def test_users_are_those_named() -> None:
    assert ui_command.users_of(arguments()) == {}
    assert ui_command.users_of(arguments("--user", "aki", "--password", "a long password")) == USERS


def test_the_next_free_port_is_taken() -> None:
    first = ui_command.bound("127.0.0.1", 18930)
    first.listen()
    second = ui_command.bound("127.0.0.1", first.getsockname()[1])
    assert second.getsockname()[1] > first.getsockname()[1]
    first.close()
    second.close()
