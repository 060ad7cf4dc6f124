"""Pictures as they are trained, class pictures, folders to choose from, and taggers."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.base.host import HostSettings, HostTagger
from lib_dreambooth.data.class_pictures import picture_path, requests
from lib_dreambooth.data.tags import download
from lib_dreambooth.jobs import showing, taggers
from lib_dreambooth.jobs.tasks import Tasks, Watching
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.settings import read
from tests.api.made_site import Made
from tests.data_tags.onnx_bytes import tagger_model

CLOSED = HostSettings(device="cpu", may_name_folders=False)


def picture(path: Path, size: tuple[int, int], left: tuple[int, int, int] = (200, 30, 30)) -> Path:
    """The left half of one colour, the right one white."""
    found = Image.new("RGB", size, (255, 255, 255))
    found.paste(left, (0, 0, size[0] // 2, size[1]))
    path.parent.mkdir(parents=True, exist_ok=True)
    found.save(path)
    return path


def opened(address: str) -> Image.Image:
    head, _, data = address.partition(",")
    assert head in ("data:image/jpeg;base64", "data:image/png;base64")
    return Image.open(io.BytesIO(base64.b64decode(data)))


def settings_of(folder: Path, concept: dict[str, Any] | None = None, **sections: Any) -> dict[str, Any]:
    return {
        "model": {"family": "sd1"},
        "pictures": {"resolution": "64"},
        "concepts": [{"folder": str(folder), "token": "sks", **(concept or {})}],
        **sections,
    }


def scanned(made: Made, settings: dict[str, Any]) -> dict[str, Any]:
    found = made.post("/dataset/scan", {"settings": settings})
    assert isinstance(found, dict)
    return found


def test_a_picture_as_its_visits_are_trained(tmp_path: Path) -> None:
    made, folder = Made(tmp_path / "webui"), tmp_path / "set"
    path = picture(folder / "a.png", (128, 64))
    path.with_suffix(".txt").write_text("red, white", encoding="utf-8")
    mask = Image.new("L", (128, 64), 0)
    mask.paste(255, (0, 0, 128, 32))
    mask.save(folder / "a-mask.png")
    settings = settings_of(
        folder, {"repeats": 2}, pictures={"resolution": "64", "flip": True, "buckets": False}
    )
    [(_, picture_id)] = scanned(made, settings)["ids"].items()
    seen = set()
    for visit in range(12):
        body = {"settings": settings, "picture": picture_id, "visit": visit}
        found = made.post("/dataset/trained", body)
        assert (found["size"], found["bucket"], found["scaled"]) == ([128, 64], [64, 64], [128, 64])
        assert found["epoch"] == visit // 2 + 1
        assert "red, white" in found["caption"] and "sks" in found["caption"]
        pixels = np.asarray(opened(found["picture"]))
        assert pixels.shape == (64, 64, 3)
        # The middle: half of each colour; mirrored, the red is on the right.
        red_left = pixels[32, 5, 1] < 128
        assert bool(red_left) != found["flipped"]
        seen.add(found["flipped"])
        shade = np.asarray(opened(found["mask"]))
        assert shade.shape == (64, 64, 4)
        assert shade[:32, :, 3].max() == 0 and shade[32:, :, 3].min() > 100
    assert seen == {True, False}
    made.post("/dataset/trained", {"settings": settings, "picture": "none"}, 404)
    made.post("/dataset/trained", {"settings": settings, "picture": picture_id, "visit": -1}, 422)


def test_class_pictures_are_counted_for_each_concept(tmp_path: Path) -> None:
    made = Made(tmp_path / "webui")
    for number in range(3):
        picture(tmp_path / "set" / f"{number}.png", (64, 64), (10 * number, 0, 0))
    for number in range(5):
        path = picture(tmp_path / "class" / f"{number}.png", (64, 64), (0, 20 * number, 9))
        path.with_suffix(".txt").write_text("a green half", encoding="utf-8")
    concept = {"class_folder": str(tmp_path / "class"), "class_prompt": "a thing"}
    settings = settings_of(tmp_path / "set", concept)
    settings["class_pictures"] = {"relation": "mixed", "draw": True, "total": 8}
    reviewed = made.post("/settings/validate", {"settings": settings})
    assert reviewed["problems"] == []
    expected = [{"concept": 0, "folder": str(tmp_path / "class"), "found": 5, "to_draw": 3}]
    assert made.post("/dataset/class-pictures", {"settings": settings}) == expected
    # What was drawn for a model is there.
    dataset = showing.dataset_of(read(settings))
    base = tmp_path / "base.safetensors"
    base.write_bytes(b"weights")
    folder = ModelFolder.create(made.host.paths.dreambooth, "riho", base, "sd1", sha256="ab" * 32)
    drawn = requests(dataset.run, dataset.items, "ab" * 32)[0]
    picture(picture_path(drawn, folder.class_images_dir), (64, 64))
    [other] = made.post("/dataset/class-pictures", {"settings": settings, "model": "riho"})
    assert (other["found"], other["to_draw"]) == (6, 2)
    found = scanned(made, settings)
    assert found["class_counts"] == expected
    assert "class-captions-unused" in [one["code"] for one in found["findings"]]


def test_folders_are_looked_into(tmp_path: Path) -> None:
    made = Made(tmp_path / "webui")
    picture(tmp_path / "mine" / "10_cat" / "a.png", (8, 8))
    picture(tmp_path / "mine" / "10_cat" / "b.JPG", (8, 8))
    (tmp_path / "mine" / ".hidden").mkdir()
    (tmp_path / "mine" / "all.zip").write_bytes(b"zip")
    (tmp_path / "mine" / "notes.txt").write_bytes(b"x")
    starts = made.post("/folders")
    assert starts["folder"] == "" and starts["places"]
    found = made.post("/folders", {"folder": f' "{tmp_path / "mine"}" '})
    assert found["above"] == str(tmp_path)
    assert found["pictures"] == 0
    assert [(one["name"], one["pictures"], one["is_archive"]) for one in found["places"]] == [
        ("10_cat", 2, False),
        ("all.zip", None, True),
    ]
    made.post("/folders", {"folder": str(tmp_path / "none")}, 404)


def test_only_own_folders_where_the_page_is_open_to_others(tmp_path: Path) -> None:
    made = Made(tmp_path / "webui", CLOSED)
    models = tmp_path / "webui" / "models"
    picture(models / "dreambooth" / "set" / "a.png", (8, 8))
    (tmp_path / "secret").mkdir()
    (models / "way out").symlink_to(tmp_path / "secret", target_is_directory=True)
    starts = made.post("/folders")
    assert [one["path"] for one in starts["places"]] == [str(models)]
    found = made.post("/folders", {"folder": str(models)})
    assert found["above"] == ""
    assert [one["name"] for one in found["places"]] == ["dreambooth"]
    inner = made.post("/folders", {"folder": str(models / "dreambooth")})
    assert (inner["above"], inner["places"][0]["pictures"]) == (str(models), 1)
    for folder in (tmp_path, tmp_path / "secret", models / "way out", models / ".." / ".."):
        assert made.post("/folders", {"folder": str(folder)}, 403)["error"]["code"] == "not-allowed"


@pytest.fixture
def tagging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Made, Path]:
    """A tagger that knows red and white, and two pictures of which one has a caption."""
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "data"))
    made, folder = Made(tmp_path / "webui"), tmp_path / "set"
    picture(folder / "a.png", (64, 64))
    picture(folder / "b.png", (64, 64)).with_suffix(".txt").write_text("by hand", encoding="utf-8")
    place = tmp_path / "webui" / "models" / "taggers"
    place.mkdir(parents=True)
    # From blue, green, red of 0 to 1: how white it is, and how red.
    weights = np.array([[3.0, -9.0], [3.0, -9.0], [3.0, 20.0]], dtype=np.float32)
    (place / "small.onnx").write_bytes(tagger_model(weights, np.zeros(2, dtype=np.float32)))
    (place / "small.csv").write_text("tag_id,name,category,count\n0,white,0,1\n1,red,0,1\n", encoding="utf-8")
    return made, folder


@pytest.mark.needs("onnxruntime")
def test_a_tagger_writes_what_is_missing_and_it_is_taken_back(tagging: tuple[Made, Path]) -> None:
    made, folder = tagging
    [tagger] = made.get("/dataset/taggers")["taggers"]
    assert tagger["name"] == "small"
    body = {"folder": str(folder), "tagger": tagger["id"]}
    planned = made.post("/dataset/tag", body)
    assert (planned["to_write"], planned["kept"], planned["task"]) == (1, 1, None)
    assert not (folder / "a.txt").exists()
    task = made.post("/dataset/tag", {**body, "apply": True, "front": ["sks"]})["task"]
    assert made.worker.tasks.wait(30)
    done = made.get(f"/tasks/{task['id']}")
    assert (done["status"], done["answer"]["written"]) == ("done", 1), done
    assert (folder / "a.txt").read_text(encoding="utf-8").startswith("sks, ")
    assert (folder / "b.txt").read_text(encoding="utf-8") == "by hand"
    made.post("/dataset/captions/undo", {"folder": str(folder)})
    assert not (folder / "a.txt").exists()


def test_captions_of_a_person_need_a_yes(tagging: tuple[Made, Path]) -> None:
    made, folder = tagging
    [tagger] = made.get("/dataset/taggers")["taggers"]
    body = {"folder": str(folder), "tagger": tagger["id"], "existing": "replace", "apply": True}
    assert made.post("/dataset/tag", body, 422)["error"]["code"] == "would-change-captions"
    made.post("/dataset/tag", {**body, "hand_made": True, "tagger": "none"}, 404)
    made.post("/dataset/tag", {**body, "existing": "sometimes"}, 422)
    made.post("/dataset/tag", {**body, "threshold": 2.0}, 422)
    assert made.get("/tasks") == []


def test_nothing_is_fetched_unasked(tagging: tuple[Made, Path]) -> None:
    made, _ = tagging
    found = made.post("/dataset/taggers/download", {}, 422)
    assert found["error"]["code"] == "download-not-allowed" and "326 MB" in found["error"]["what"]
    assert made.get("/tasks") == []


def test_what_is_fetched_has_to_be_what_is_known(
    tagging: tuple[Made, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = tagging

    def pinned(name: str, data: bytes) -> download.Pinned:
        return download.Pinned(name, f"https://example/{name}", hashlib.sha256(data).hexdigest(), len(data))

    monkeypatch.setattr(taggers, "MODEL", pinned("new.onnx", b"weights"))
    monkeypatch.setattr(taggers, "TAG_LIST", pinned("new.csv", b"tags"))
    sent = {"https://example/new.onnx": b"weights", "https://example/new.csv": b"other"}

    def fetch(url: str, target: Path) -> None:
        target.write_bytes(sent[url])

    watching = Watching(Tasks(), "none")
    with pytest.raises(UserError, match="not the expected file"):
        taggers.fetch_tagger(made.host.paths, watching, fetch)
    sent["https://example/new.csv"] = b"tags"
    assert taggers.fetch_tagger(made.host.paths, watching, fetch)["name"] == "new"
    assert [one["name"] for one in made.get("/dataset/taggers")["taggers"]] == ["new", "small"]


def test_the_hosts_own_tagger_is_fetched_when_somebody_says_so(tagging: tuple[Made, Path]) -> None:
    made, folder = tagging
    said: list[str] = []

    @contextlib.contextmanager
    def opened() -> Iterator[Callable[[Any], Mapping[str, float]]]:
        assert made.host.is_lent
        yield lambda picture: {"1girl": 0.9, "smile": 0.2, "rating:safe": 0.8}
        said.append("closed")

    made.post("/dataset/taggers/download", {"tagger": "host", "may_download": True}, 422)
    own = HostTagger(
        "DeepBooru", False, "https://example", 640_000_000, lambda: said.append("fetched"), opened
    )
    made.host.tagger = own
    told = made.get("/dataset/taggers")
    assert [one["name"] for one in told["taggers"]] == ["small"]
    assert told["of_host"] == {
        "name": "DeepBooru", "is_here": False, "num_bytes": 640_000_000, "source": "https://example"
    }  # fmt: skip
    found = made.post("/dataset/taggers/download", {"tagger": "host"}, 422)
    assert found["error"]["code"] == "download-not-allowed" and "640 MB" in found["error"]["what"]
    body = {"folder": str(folder), "tagger": "host", "apply": True, "rating": True}
    assert "Download it" in made.post("/dataset/tag", body, 422)["error"]["todo"]
    assert said == []
    made.post("/dataset/taggers/download", {"tagger": "host", "may_download": True}, 202)
    assert made.worker.tasks.wait(30) and said == ["fetched"]
    made.host.tagger = dataclasses.replace(own, is_here=True)
    assert [one["id"] == "host" for one in made.get("/dataset/taggers")["taggers"]] == [True, False]
    task = made.post("/dataset/tag", body)["task"]
    assert made.worker.tasks.wait(30)
    done = made.get(f"/tasks/{task['id']}")
    assert (done["status"], done["answer"]["written"]) == ("done", 1), done
    assert (folder / "a.txt").read_text(encoding="utf-8") == "safe, 1girl"
    assert said == ["fetched", "closed"] and not made.host.is_lent
