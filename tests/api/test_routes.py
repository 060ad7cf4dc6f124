"""What every route answers, without a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from lib_dreambooth.api.describing import schema_of
from lib_dreambooth.api.routes import OLD_PREFIX, OLD_ROUTES, PREFIX, ROUTES, operation_id
from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.settings.fields import all_fields
from tests.api.made_site import Made
from tests.jobs.made_work import short_run

EVERY = [(PREFIX, route) for route in ROUTES] + [(OLD_PREFIX, route) for route in OLD_ROUTES]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def with_base(made: Made) -> Path:
    """The miniature where the host lists it."""
    folder = made.host.paths.checkpoints / "sub"
    folder.mkdir(parents=True)
    path = folder / "mini.safetensors"
    path.write_bytes(MINI_CHECKPOINT.read_bytes())
    (folder / "mini.vae.safetensors").write_bytes(b"")
    return path


def test_openapi_has_every_route_with_its_body_and_answer(made: Made) -> None:
    paths = made.client.get("/openapi.json").json()["paths"]
    seen = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert seen == {(route.method, prefix + route.path) for prefix, route in EVERY}
    for prefix, route in EVERY:
        told = paths[prefix + route.path][route.method.lower()]
        assert told["summary"] == route.about
        assert told["operationId"] == operation_id(route, prefix)
        assert ("requestBody" in told) == (route.body is not None)
        if route.body is not None:
            schema = told["requestBody"]["content"]["application/json"]["schema"]
            assert set(schema["properties"]) == {
                one.encode_name for one in msgspec.structs.fields(route.body)
            }
        assert {one["name"] for one in told.get("parameters", [])} == {
            *route.parts,
            *(one.name for one in route.query),
        }
        assert str(route.status) in told["responses"]
    ids = [operation_id(route, prefix) for prefix, route in EVERY]
    assert len(set(ids)) == len(ids)


def test_every_schema_stands_alone() -> None:
    for _, route in EVERY:
        for kind in (route.body, route.answer):
            if kind is not None and not isinstance(kind, str):
                assert "$ref" not in repr(schema_of(kind))


def test_about_and_status(made: Made) -> None:
    assert made.get("/about")["host"] == "plain folders"
    status = made.get("/status")
    assert (status["job"], status["waiting"], status["host_is"]) == (None, 0, "")


def test_a_model_is_made_from_a_listed_base(made: Made) -> None:
    path = with_base(made)
    (base,) = made.get("/bases")
    assert (base["name"], base["path"]) == ("sub/mini.safetensors", str(path))
    model = made.post("/models", {"name": "my 猫", "base": base["id"]}, 201)
    assert (model["name"], model["family"], model["base"]) == ("my 猫", "sd1", str(path))
    assert made.get("/models") == [model] == [made.get("/models/my 猫")]
    assert made.post("/models", {"name": "my 猫", "base": base["id"]}, 409)["error"]["code"] == "name-taken"
    assert made.post("/models", {"name": "a/b", "base": base["id"]}, 422)["error"]["code"] == "bad-name"
    assert made.post("/models", {"name": "b", "base": ""}, 422)["error"]["where"] == "base"
    assert made.get("/models/other", 404)["error"]["code"] == "no-such-model"


def test_settings_come_as_one_value_and_every_problem_at_once(made: Made, tmp_path: Path) -> None:
    defaults = made.get("/settings/defaults")
    assert len(made.get("/settings/fields")) == len(all_fields())
    assert made.get("/settings/schema")["properties"].keys() == defaults.keys()
    found = made.post("/settings/validate", {"settings": defaults})
    assert (found["settings"], found["problems"]) == (defaults, [])
    bad = {"network": {"rank": "x"}, "lenght": {}, "rates": {"learning_rate": -1}}
    found = made.post("/settings/validate", {"settings": bad, "changes": {"network.alpha": "y"}})
    assert [problem["where"] for problem in found["problems"]] == [
        "network.rank", "lenght", "rates.learning_rate", "network.alpha",
    ]  # fmt: skip
    text = made.post("/settings/text", {"settings": short_run(tmp_path / "p")})["text"]
    again = made.post("/settings/validate", {"settings": text})
    assert again["problems"] == []
    assert again["settings"]["network"]["rank"] == 2
    assert made.post("/settings/text", {"settings": bad}, 422)["error"]["code"] == "bad-settings"
    assert made.post("/settings/validate", {"settings": {}, "x": 1}, 422)["error"]["code"] == "bad-body"


def test_presets_are_shown_applied_and_kept(made: Made) -> None:
    names = {one["name"] for one in made.get("/settings/presets")}
    assert "Person" in names
    applied = made.post("/settings/presets/apply", {"preset": "person", "pictures": 12})
    changed = {change["path"]: change["after"] for change in applied["changes"]}
    assert changed["length.train_for"].endswith("steps")
    made.post("/settings/presets", {"name": "Mine", "settings": applied["settings"]}, 201)
    mine = {"id": "Mine", "name": "Mine", "about": "", "is_own": True}
    assert mine in made.get("/settings/presets")
    taken = made.post("/settings/presets", {"name": "mine", "settings": applied["settings"]}, 409)
    assert taken["error"]["code"] == "name-taken"
    made.post("/settings/presets", {"name": "Mine", "settings": {}, "replaces": True}, 201)
    renamed = made.post("/settings/presets/Mine/rename", {"name": "Yours", "about": "x"})
    assert renamed == {"id": "Yours", "name": "Yours", "about": "x", "is_own": True}
    assert made.client.delete(f"{PREFIX}/settings/presets/person").status_code == 403
    left = made.client.delete(f"{PREFIX}/settings/presets/Yours").json()
    assert {one["name"] for one in left} == names
    assert (
        made.post("/settings/presets/apply", {"preset": "../x.toml"}, 404)["error"]["code"]
        == "unknown-preset"
    )


def test_recipes_come_in_and_go_out(made: Made) -> None:
    body = {
        "name": "kohya.toml",
        "text": 'network_dim = 8\nlearning_rate = 0.0002\npretrained_model_name_or_path = "/x"\n',
    }
    found = made.post("/settings/import", body)
    assert found["settings"]["network"]["rank"] == 8
    assert {key["key"] for key in found["report"]["keys"]} >= {"network_dim", "learning_rate"}
    assert made.post("/settings/import", {"name": "x", "base64": "***"}, 422)["error"]["code"] == "bad-body"
    out = made.post("/settings/export", {"settings": found["settings"], "family": "sd1"})
    assert "network_dim = 8" in out["files"]["config.toml"]


def test_settings_of_a_model_are_kept(made: Made) -> None:
    with_base(made)
    made.post("/models", {"name": "a", "base": made.get("/bases")[0]["id"]}, 201)
    assert made.get("/models/a/settings") == made.get("/settings/defaults")
    kept = made.call("PUT", "/models/a/settings", {"changes": {"network.rank": 7}})
    assert kept["network"]["rank"] == 7
    assert made.get("/models/a/settings") == kept


def test_a_plan_in_a_line(made: Made, tmp_path: Path) -> None:
    plan = made.post("/plan", {"settings": short_run(tmp_path / "p")})
    assert plan["line"].startswith("4 pictures x 1 repeat = 4 visits; batch 2 gives 2 batches")
    assert (plan["total_steps"], plan["family"], plan["disk_is_enough"]) == (2, "sd1", True)
    assert plan["counts"]["LoRA"] == 1
    assert not made.host.paths.models.exists()
    lost = short_run(tmp_path / "p") | {"concepts": [{"folder": "/nowhere"}]}
    assert made.post("/plan", {"settings": lost}, 422)["error"]["code"] == "folder-missing"


def test_a_forecast_of_a_run(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA", "HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    found = made.post("/forecast", {"settings": short_run(tmp_path / "p")})
    assert (found["memory"], found["room"], found["fits"]) == ("cpu", None, None)
    assert found["peak"] >= max(phase["total"] for phase in found["phases"].values()) > 40_000_000
    assert sum(found["phases"]["step"]["parts"].values()) == found["phases"]["step"]["total"]
    assert found["seconds"] > 0
    assert not made.host.paths.models.exists()


def test_what_would_fit_is_asked_for_apart(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA", "HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setattr("lib_dreambooth.jobs.memory.room_on", lambda device: 330_000_000)
    asked = {"settings": {**short_run(tmp_path / "p"), "network": {"kind": "none"}}}
    at_first = made.post("/forecast", {**asked, "offers": False})
    assert (at_first["fits"], at_first["offers"]) == (False, [])
    found = made.post("/forecast", asked)
    assert found["offers"] and {**found, "offers": [], "own": at_first["own"]} == at_first


def test_a_dataset_is_looked_at(made: Made, tmp_path: Path) -> None:
    found = made.post("/dataset/scan", {"settings": short_run(tmp_path / "p"), "thumbnails": True})
    assert (found["pictures"], len(found["captions"]), found["total_steps"]) == (4, 4, 2)
    assert all(text.startswith("data:image/") for text in found["thumbnails"].values())


def test_captions_are_read_edited_and_taken_back(made: Made, tmp_path: Path, monkeypatch: Any) -> None:
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA", "HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    short_run(tmp_path / "p")
    folder = {"folder": str(tmp_path / "p")}
    before = made.post("/dataset/captions", folder)["captions"]
    assert len(before) == 4
    wish = {**folder, "kind": "add", "tags": ["new tag"]}
    assert len(made.post("/dataset/captions/edit", wish)["files"]) == 4
    assert made.post("/dataset/captions", folder)["captions"] == before
    done = made.post("/dataset/captions/edit", {**wish, "apply": True})
    assert done["is_applied"] and done["failed"] == []
    one = before[0]["id"]
    made.post("/dataset/captions/edit", {**folder, "kind": "write", "texts": {one: "猫"}, "apply": True})
    after = {row["id"]: row["text"] for row in made.post("/dataset/captions", folder)["captions"]}
    assert after.pop(one) == "猫"
    assert all(text.startswith("new tag, ") for text in after.values())
    assert [edit["action"] for edit in made.post("/dataset/captions/history", folder)] == [
        "Write captions", "Add new tag",
    ]  # fmt: skip
    made.post("/dataset/captions/undo", folder)
    assert made.post("/dataset/captions/undo", folder)["action"] == "Add new tag"
    assert made.post("/dataset/captions", folder)["captions"] == before
    assert made.post("/dataset/captions/undo", folder, 409)["error"]["code"] == "nothing-to-undo"
    for kind in ("replace", "replace-tag", "remove", "reorder", "prune"):
        assert made.post("/dataset/captions/edit", {**folder, "kind": kind, "old": "ring", "new": "disc"})
    assert made.post("/dataset/captions/edit", {**folder, "kind": "eat"}, 422)["error"]["where"] == "kind"
    assert isinstance(made.post("/dataset/captions/proposals", folder), list)
