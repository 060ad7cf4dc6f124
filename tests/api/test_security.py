"""A table of every route against every attack: each is refused, or harmless."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fastapi import Request
from PIL import Image

from lib_dreambooth.api import access
from lib_dreambooth.api.access import TOKEN_HEADER, gradio_login, page_token
from lib_dreambooth.api.calls import Route
from lib_dreambooth.api.routes import OLD_PREFIX, OLD_ROUTES, PREFIX, ROUTES
from lib_dreambooth.base.host import HostSettings
from lib_dreambooth.jobs.made_files import id_of
from lib_dreambooth.runs.folder import ModelFolder
from tests.api.made_site import Made
from tests.jobs.made_runs import MadeRun

EVERY = [(PREFIX, route) for route in ROUTES] + [(OLD_PREFIX, route) for route in OLD_ROUTES]
IDS = [f"{route.method} {prefix}{route.path}" for prefix, route in EVERY]
EACH = pytest.mark.parametrize(("prefix", "route"), EVERY, ids=IDS)
WITH_BODY = [row for row in zip(EVERY, IDS, strict=True) if row[0][1].body is not None]
EACH_BODY = pytest.mark.parametrize(
    ("prefix", "route"), [row for row, _ in WITH_BODY], ids=[name for _, name in WITH_BODY]
)
QUESTIONS = [
    (row, name)
    for row, name in zip(EVERY, IDS, strict=True)
    if row[1].method == "GET" and row[1].answer != "events"
]
EACH_QUESTION = pytest.mark.parametrize(
    ("prefix", "route"), [row for row, _ in QUESTIONS], ids=[name for _, name in QUESTIONS]
)
NAME = "riho"
SECRET = "canary-7f3a"
USER = {"ann": "pass:word"}
CLOSED = HostSettings(device="cpu", may_name_folders=False)
TRAVERSALS = (
    "..",
    "../..",
    "../secret",
    "../secret/secret.txt",
    "....//....//secret",
    "..\\..\\secret",
    "/etc/passwd",
    "C:\\Windows\\win.ini",
    "\\\\server\\share",
    "file:///etc/passwd",
    ".queue",
    "~root",
    "con",
    "a\x00b",
    "riho/../../secret",
    "\u202eriho",
    "x" * 5000,
)


def refuse(request: Request) -> bool | None:
    """A page that asks for a login which nobody has."""
    return False


class Place:
    """A model with files, and a secret beside the models that nothing may reach."""

    def __init__(self, root: Path) -> None:
        self.root = root / "webui"
        self.secret = root / "secret"
        self.secret.mkdir(parents=True)
        (self.secret / "secret.txt").write_text(SECRET, encoding="utf-8")
        (self.secret / "secret.toml").write_text(f'[metadata]\nname = "{SECRET}"\n', encoding="utf-8")
        (self.secret / "secret.safetensors").write_text(SECRET, encoding="utf-8")
        Image.new("RGB", (64, 64)).save(self.secret / "secret.png")
        (self.secret / "pictures").mkdir()
        Image.new("RGB", (64, 64)).save(self.secret / "pictures" / "a.png")
        (self.secret / "pictures" / "a.txt").write_text(SECRET, encoding="utf-8")
        self.models = self.root / "models"
        base = self.models / "Stable-diffusion" / "base.safetensors"
        base.parent.mkdir(parents=True)
        base.write_bytes(b"weights")
        self.model = ModelFolder.create(self.models / "dreambooth", NAME, base, "sd1")

    def made(self, **values: Any) -> Made:
        return Made(self.root, **values)

    def run(self) -> MadeRun:
        """A run that ended, with a preview and a result where the host looks."""
        run = MadeRun(self.model)
        run.start("r1")
        run.sample(10, prompts=("a prompt",))
        run.save(10, self.models / "Lora")
        return run

    def snapshot(self) -> dict[str, bytes | str]:
        found: dict[str, bytes | str] = {}
        for path in sorted(self.root.parent.rglob("*")):
            inside = path.relative_to(self.root.parent).as_posix()
            found[inside] = path.read_bytes() if path.is_file() else "folder"
        return found

    def outside(self) -> dict[str, bytes | str]:
        """What lies outside the folders of models and embeddings."""
        inner = ("webui/models", "webui/embeddings")
        return {name: data for name, data in self.snapshot().items() if not name.startswith(inner)}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA", "HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "webui" / "models" / "home"))
    yield Place(tmp_path)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """Refuses everybody, so it is never changed."""
    settings = HostSettings(device="cpu", api_users=USER)
    made = Place(tmp_path_factory.mktemp("guarded")).made(settings=settings, login=refuse)
    with made.client:
        yield made


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """Answers to its own name alone."""
    made = Place(tmp_path_factory.mktemp("named")).made(names=frozenset({"testserver"}))
    with made.client:
        yield made


def path_of(prefix: str, route: Route, part: str = "none", model: str = NAME) -> str:
    """A route's path with its parts filled in."""
    path = route.path.replace("{model}", urllib.parse.quote(model, safe=""))
    for name in route.parts:
        path = path.replace(f"{{{name}}}", urllib.parse.quote(part, safe=""))
    return prefix + path


def example(route: Route, text: str = "x") -> dict[str, Any]:
    """A body with a text in every place that takes one, inside of settings too."""
    assert route.body is not None
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(route.body):
        kind = str(field.type)
        if field.name == "settings":
            concept = {"folder": text, "metadata_file": text}
            found[field.name] = {
                "model": {"base": text, "vae": text},
                "concepts": [concept],
                "saving": {"folder": text},
                "previews": {"file": text},
                "network": {"start_from": text},
                "metadata": {"name": text},
            }
        elif field.name == "changes":
            found[field.name] = {"saving.folder": text, text: text}
        elif field.name == "texts":
            found[field.name] = {text: text}
        elif field.type is str:
            found[field.name] = text
        elif "list" in kind:
            found[field.name] = [text]
    if "to" in {field.name for field in msgspec.structs.fields(route.body)}:
        found["to"] = 0
    return found


def sent(made: Made, prefix: str, route: Route, **headers: str) -> Any:
    body = {"json": example(route)} if route.body is not None else {}
    return made.client.request(route.method, path_of(prefix, route), headers=headers, **body)


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@EACH
def test_nobody_comes_in_without_the_login(guarded: Made, prefix: str, route: Route) -> None:
    answer = sent(guarded, prefix, route)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "not-logged-in"
    assert answer.headers["www-authenticate"] == "Basic"


WRONG_LOGINS = (
    {"authorization": basic("ann", "wrong")},
    {"authorization": basic("", "")},
    {"authorization": basic("ann", "")},
    {"authorization": "Basic ***"},
    {"authorization": "Bearer pass:word"},
    {"cookie": "access-token=wrong; access-token-unsecure=wrong"},
    {TOKEN_HEADER: "wrong"},
)


@pytest.mark.slow
@EACH
def test_a_wrong_login_is_none(guarded: Made, prefix: str, route: Route) -> None:
    for headers in WRONG_LOGINS:
        assert sent(guarded, prefix, route, **headers).status_code == 401, headers


def test_the_right_ones_come_in(guarded: Made) -> None:
    for headers in ({"authorization": basic("ann", "pass:word")}, {TOKEN_HEADER: page_token()}):
        assert guarded.client.get(f"{PREFIX}/about", headers=headers).status_code == 200
    assert guarded.client.get(f"{PREFIX}/about?token={page_token()}").status_code == 200


@pytest.mark.parametrize("cookie", ["access-token", "access-token-unsecure", "access-token-77"])
def test_gradios_login_counts_while_it_lasts(place: Place, cookie: str) -> None:
    made = place.made(login=gradio_login)
    assert made.client.get(f"{PREFIX}/about").status_code == 200
    made.app.auth, made.app.tokens, made.app.cookie_id = {"ann": "x"}, {"good": "ann"}, "77"  # type: ignore[attr-defined]
    assert made.client.get(f"{PREFIX}/about").status_code == 401
    assert made.client.get(f"{PREFIX}/about", headers={"cookie": f"{cookie}=good"}).status_code == 200
    made.app.tokens.clear()  # type: ignore[attr-defined]
    assert made.client.get(f"{PREFIX}/about", headers={"cookie": f"{cookie}=good"}).status_code == 401


FOREIGN = (
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://testserver.evil.example"},
    {"origin": "http://testserver:81"},
    {"origin": "http://[bad"},
    {"sec-fetch-site": "cross-site"},
    {"host": "evil.example", "origin": "http://evil.example"},
)


@EACH
def test_pages_of_others_are_refused(named: Made, prefix: str, route: Route) -> None:
    for headers in FOREIGN:
        answer = sent(named, prefix, route, **headers)
        assert answer.status_code == 403, headers
        assert answer.json()["error"]["code"] in ("foreign-origin", "foreign-host")


def test_the_own_page_is_answered(named: Made) -> None:
    for headers in (
        {"origin": "http://testserver"},
        {"origin": "https://TESTSERVER", "sec-fetch-site": "same-origin"},
        {"origin": "https://my.site", "x-forwarded-host": "my.site"},
        {"host": "testserver:7860", "origin": "http://testserver:7860"},
    ):
        assert named.client.get(f"{PREFIX}/about", headers=headers).status_code == 200


@pytest.mark.slow
@EACH_BODY
def test_oversized_bodies_are_not_read(named: Made, prefix: str, route: Route) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(route.largest // 65536 + 2):
            yield b" " * 65536

    path, json_type = path_of(prefix, route), {"content-type": "application/json"}
    told = {**json_type, "content-length": str(10**12)}
    assert named.client.request(route.method, path, content=b"{}", headers=told).status_code == 413
    assert named.client.request(route.method, path, content=parts(), headers=json_type).status_code == 413


@pytest.mark.slow
@EACH_BODY
def test_bodies_that_are_none(named: Made, prefix: str, route: Route) -> None:
    headers = {"content-type": "application/json"}
    for content in (b"[]", b"{", b"\xff", b'{"x": 1}', b"null", b"[" * 100_000, b'{"model": {}}'):
        answer = named.client.request(route.method, path_of(prefix, route), content=content, headers=headers)
        assert 400 <= answer.status_code < 500, answer.text
        assert answer.json()["error"]["code"] != "internal-error"


@pytest.mark.slow
@EACH_BODY
def test_forms_of_other_pages_are_no_json(named: Made, prefix: str, route: Route) -> None:
    if route.takes_anything:
        return
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        headers = {"content-type": kind}
        answer = named.client.request(route.method, path_of(prefix, route), content=b"{}", headers=headers)
        assert answer.status_code == 415


@pytest.mark.slow
@EACH_QUESTION
def test_asking_changes_nothing(place: Place, prefix: str, route: Route) -> None:
    run = place.run()
    run.log.close()
    made = place.made()
    before = place.snapshot()
    for part in ("none", *(one["id"] for one in made.get(f"/models/{NAME}/samples"))):
        answer = made.client.get(path_of(prefix, route, part), params={"model_name": NAME, "since": 1})
        assert answer.status_code < 500, answer.text
    assert place.snapshot() == before
    paths = [path_of(prefix, other) for prefix, other in EVERY if other.method == "POST"]
    if path_of(prefix, route) not in paths:
        assert made.client.post(path_of(prefix, route), json={}).status_code == 405
    assert made.client.head(path_of(prefix, route)).status_code == 405


@pytest.mark.slow
@EACH
def test_traversal_in_every_part_of_the_path(named: Made, prefix: str, route: Route) -> None:
    if not route.parts:
        return
    for text in TRAVERSALS:
        body = {"json": example(route)} if route.body is not None else {}
        path = path_of(prefix, route, text, model=text)
        answer = named.client.request(route.method, path, **body)
        assert answer.status_code in (404, 405, 409, 422), (text, answer.text)
        assert SECRET not in answer.text


@pytest.mark.slow
@EACH_BODY
def test_traversal_in_every_text_of_a_body(place: Place, prefix: str, route: Route) -> None:
    run = place.run()
    run.log.close()
    made = place.made(settings=CLOSED)
    before = place.outside()
    secrets = [str(path) for path in (place.secret, place.secret / "pictures", place.secret / "secret.toml")]
    for text in (*TRAVERSALS, *secrets):
        answer = made.client.request(route.method, path_of(prefix, route), json=example(route, text))
        assert answer.status_code < 500, (text, answer.text)
        assert SECRET not in answer.text
    assert place.outside() == before


def test_folders_of_this_machine_only_where_they_may_be_named(place: Place) -> None:
    made = place.made(settings=CLOSED)
    outside = {"folder": str(place.secret / "pictures")}
    assert made.post("/dataset/captions", outside, 403)["error"]["code"] == "not-allowed"
    run = {"concepts": [outside], "saving": {"folder": str(place.secret)}}
    found = made.post("/settings/validate", {"settings": run})
    assert [(one["where"], one["code"]) for one in found["problems"]] == [
        ("concepts.0.folder", "not-allowed"),
        ("saving.folder", "not-allowed"),
    ]
    for path in ("/plan", "/queue", "/dataset/scan"):
        refused = made.post(
            path, {"model": NAME, "settings": run} if path != "/dataset/scan" else {"settings": run}, 422
        )
        assert {one["code"] for one in refused["error"]["problems"]} == {"not-allowed"}
    refused = made.post(
        "/queue", {"model": NAME, "action": "resume", "changes": {"saving.folder": "/x"}}, 422
    )
    assert refused["error"]["problems"][0]["code"] == "not-allowed"
    inside = place.models / "pictures"
    inside.mkdir()
    Image.new("RGB", (64, 64)).save(inside / "b.png")
    assert len(made.post("/dataset/captions", {"folder": str(inside)})["captions"]) == 1
    (place.models / "link").symlink_to(place.secret / "pictures", target_is_directory=True)
    assert made.post("/dataset/captions", {"folder": str(place.models / "link")}, 403)
    assert made.post("/dataset/captions", {"folder": str(inside / ".." / ".." / ".." / "secret")}, 403)


def test_links_in_a_model_folder_lead_nowhere(place: Place) -> None:
    run = place.run()
    samples, lora = place.model.samples_dir, place.models / "Lora"
    (samples / "link.png").symlink_to(place.secret / "secret.png")
    (lora / "link.safetensors").symlink_to(place.secret / "secret.safetensors")
    inner = place.model.path / "linked"
    inner.symlink_to(place.secret, target_is_directory=True)
    told = ["samples/link.png", "linked/secret.png", "../../../../secret/secret.png"]
    told += [str(place.secret / "secret.png")]
    from lib_dreambooth.runs.events import Sampled, Saved

    outside = place.secret / "secret.safetensors"
    run.tell(Sampled(files=tuple(told), step=11, prompts=("",) * len(told)))
    for path in (lora / "link.safetensors", outside, inner / "secret.safetensors", place.secret):
        run.tell(Saved(paths=(str(path),), what="result", step=11))
    run.log.close()
    made = place.made(settings=CLOSED)
    before = place.snapshot()
    assert [one["step"] for one in made.get(f"/models/{NAME}/samples")] == [10]
    for text in told:
        assert made.get(f"/models/{NAME}/pictures/{id_of(text)}", 404)["error"]["code"] == "no-such-file"
    results = made.get(f"/models/{NAME}/results")
    assert [one["is_ours"] for one in results] == [True, False, False, False, False]
    for one in results[1:]:
        path = f"/models/{NAME}/results/{one['id']}"
        assert made.get(f"{path}/file", 404) and made.get(f"{path}/send", 404)
        assert made.post(f"{path}/promote", {"name": "mine"}, 404)
        assert made.call("DELETE", path, status=404)
    assert place.snapshot() == before


def test_a_model_that_is_a_link_out_gives_none_of_what_lies_there(place: Place) -> None:
    (place.models / "dreambooth" / "linked").symlink_to(place.secret, target_is_directory=True)
    made = place.made()
    assert [one["name"] for one in made.get("/models")] == [NAME]
    assert made.get("/models/linked", 404)


def test_an_error_of_ours_says_nothing_of_the_machine(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    made = place.made()

    def broken(root: Path) -> list[Any]:
        raise RuntimeError(f"{SECRET} in /home/ann")

    monkeypatch.setattr(ModelFolder, "all_below", staticmethod(broken))
    error = made.get("/models", 500)["error"]
    assert error == {
        "code": "internal-error",
        "what": "something went wrong that should not (RuntimeError).",
        "where": "",
        "todo": "The log has the details.",
    }


def test_answers_are_not_guessed_at_framed_or_kept(place: Place) -> None:
    run = place.run()
    run.log.close()
    made = place.made()
    sample = made.get(f"/models/{NAME}/samples")[0]["id"]
    for path in ("/about", "/models/none", f"/models/{NAME}/pictures/{sample}"):
        headers = made.client.get(PREFIX + path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "SAMEORIGIN"
        assert headers["cache-control"] == "no-store"
    result = made.get(f"/models/{NAME}/results")[0]["id"]
    answer = made.client.get(f"{PREFIX}/models/{NAME}/results/{result}/file")
    assert answer.headers["content-disposition"].startswith("attachment")


def test_passwords_do_not_show() -> None:
    assert "word" not in repr(HostSettings(api_users=USER))
    assert page_token() not in repr(access.Access(refuse))
    assert "owner" not in json.dumps(asdict(HostSettings()))
