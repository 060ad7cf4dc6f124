"""Every host that we know, by the names and signatures it has: what we do there, and that we find our way."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lib_dreambooth.base.host import ADAPTERS, CHECKPOINTS, EMBEDDINGS
from lib_dreambooth.hosts import registration, webui_settings
from lib_dreambooth.hosts.webui import WebuiHost
from tests.hosts.lines import MadeGuest
from tests.hosts.standins import (
    A1111,
    CARD,
    CLASSIC,
    CPU,
    FORGE,
    FORGES,
    HOSTS,
    NEO,
    REFORGE,
    Network,
    StandIn,
    manager_of,
    stand_in,
)


@pytest.fixture(params=HOSTS)
def around(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    return stand_in(request.param, tmp_path, monkeypatch)


@pytest.fixture
def a1111(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    return stand_in(A1111, tmp_path, monkeypatch)


def load(host: StandIn, *names: str) -> list[Network]:
    """Checkpoints on the card, the first of them chosen."""
    models = [Network(name) for name in names]
    host.sd_models.model_data.loaded_sd_models[:] = models
    host.sd_models.model_data.sd_model = models[0]
    return models


def test_it_says_where_it_lives(around: StandIn) -> None:
    host = WebuiHost()
    assert host.name == ("the WebUI" if around.kind == A1111 else "Forge")
    assert host.busy() == "" and host.language == ""
    around.progress.pending_tasks["task(1)"] = 1.0
    assert host.busy() == "1 waiting"
    around.shared.state.job = "scripts_txt2img"
    assert host.busy() == "scripts_txt2img"


def test_folders_are_where_the_flags_say(around: StandIn, tmp_path: Path) -> None:
    paths = WebuiHost().paths
    assert paths.models == tmp_path / "models" and paths.dreambooth == tmp_path / "models" / "dreambooth"
    assert paths.adapters == tmp_path / "models" / "Lora"
    assert paths.checkpoints == tmp_path / "models" / "Stable-diffusion" and paths.more_checkpoints == ()
    assert paths.embeddings == tmp_path / ("words" if around.kind == NEO else "embeddings")
    other = tmp_path / "other"
    flags = around.shared.cmd_opts
    if around.kind == NEO:
        flags.ckpt_dirs, flags.lora_dirs = [str(other), str(tmp_path / "third")], [str(other)]
    else:
        flags.ckpt_dir, flags.lora_dir = str(other), str(other)
    paths = WebuiHost().paths
    assert (paths.checkpoints, paths.adapters) == (other, other)
    assert paths.more_checkpoints[-1] == tmp_path / "models" / "Stable-diffusion"
    assert len(paths.more_checkpoints) == (2 if around.kind == NEO else 1)


def test_registered_as_often_as_scripts_are_loaded(around: StandIn) -> None:
    shown: list[Any] = []
    pictures: list[Any] = []
    for load_of_scripts in range(2):
        around.callbacks.of.clear()
        found, extras = registration.register(lambda: "page", shown.append, pictures.append)
        assert {name: len(all_) for name, all_ in around.callbacks.of.items()} == {
            "on_ui_tabs": 1, "on_ui_settings": 1, "on_app_started": 1
        }  # fmt: skip
        assert around.callbacks.of["on_ui_tabs"][0]() == [("page", "Dreambooth", "dreambooth")]
        # Under --nowebui there is an app and no page.
        around.callbacks.of["on_app_started"][0](None, f"app {load_of_scripts}")
        around.callbacks.of["on_ui_settings"][0]()
        assert issubclass(found, around.scripts.Script)
        assert found().show(False) is around.scripts.AlwaysVisible
        found().before_process("a picture", 1, 2)
        assert issubclass(extras, around.scripts_postprocessing.ScriptPostprocessing)
        assert extras().ui() == {}
        extras().process_firstpass("a picture that is there", upscale=2)
    assert shown == ["app 0", "app 1"] and pictures == ["a picture", None] * 2
    assert around.shared.opts.labels[webui_settings.TRAINING_FIRST].section == ("dreambooth", "Dreambooth")


def test_settings_before_and_after_there_are_any(around: StandIn) -> None:
    host = WebuiHost()
    found = host.settings
    assert found.device == "cuda:0" and not found.is_training_first and found.may_name_folders
    assert found.pictures["noise_source"] == "GPU" and found.pictures["clip_skip"] == 1
    assert found.pictures["is_zero_terminal"] is False and found.api_users == {}
    around.shared.opts.data |= {
        "randn_source": "NV", "eta_noise_seed_delta": 31337, "CLIP_stop_at_last_layers": 2,
        "emphasis": "No norm", "comma_padding_backtrack": 10, "sd_noise_schedule": "Zero Terminal SNR",
        "eta_ancestral": 0.5, "dreambooth_training_first": True,
    }  # fmt: skip
    around.shared.cmd_opts.api_auth = "one:pass,two:word:with colons"
    found = host.settings
    assert found.is_training_first
    assert found.pictures == {
        "noise_source": "NV", "ensd": 31337, "eta": 0.5, "clip_skip": 2, "emphasis": "No norm",
        "comma_backtrack": 10, "is_zero_terminal": True,
    }  # fmt: skip
    assert found.api_users == {"one": "pass", "two": "word:with colons"}
    assert "pass" not in repr(found)


@pytest.mark.parametrize(
    ("flags", "may"),
    [({}, True), ({"hide_ui_dir_config": True}, False), ({"disable_extension_access": True}, False)],
)
def test_folders_may_not_be_named_from_afar(a1111: StandIn, flags: dict[str, bool], may: bool) -> None:
    vars(a1111.shared.cmd_opts).update(flags)
    assert WebuiHost().settings.may_name_folders is may


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("None", ""), ("ja_JP", "ja-JP"), ("ja", "ja"), ("zh_CN", "zh-CN"), ("zh-Hans (Stable)", "zh-CN"),
        ("zh_TW", "zh-TW"), ("zh-Hant", "zh-TW"), ("ko_KR", "ko-KR"), ("de_DE", "de-DE"), ("", ""),
    ],
)  # fmt: skip
def test_the_language_is_that_of_the_chosen_file(a1111: StandIn, file: str, code: str) -> None:
    a1111.shared.opts.data["localization"] = file
    assert WebuiHost().language == code


def test_a1111_gives_its_models_away_and_takes_them_back(a1111: StandIn) -> None:
    chosen, other = load(a1111, "chosen", "other")
    host = WebuiHost()
    with host.lend_gpu():
        assert chosen.device is other.device is CPU
        assert not a1111.lock.is_free and a1111.sd_models.model_data.lock.locked()
    assert chosen.device is CARD and other.device is CPU
    assert a1111.told.log == ["chosen to cpu", "other to cpu", "gc", "chosen to cuda"]
    assert a1111.lock.is_free and not a1111.sd_models.model_data.lock.locked()


def test_a1111_s_model_that_was_not_on_the_card_does_not_come_there(a1111: StandIn) -> None:
    (model,) = load(a1111, "unloaded")
    model.device = CPU
    with WebuiHost().lend_gpu():
        pass
    assert a1111.told.log == []


def test_a1111_without_a_model_is_not_made_to_load_one(a1111: StandIn) -> None:
    with WebuiHost().lend_gpu():
        pass
    assert a1111.told.log == []


def test_a1111_with_medvram_counts_what_is_on_the_card_alone(
    a1111: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    (model,) = load(a1111, "split")
    model.lowvram = True  # type: ignore[attr-defined]
    lowvram = a1111.add("modules.lowvram", module_in_gpu=None)
    monkeypatch.setitem(sys.modules, "modules.lowvram", lowvram)
    with WebuiHost().lend_gpu():
        pass
    assert a1111.told.log == []
    lowvram.module_in_gpu = "a part"  # type: ignore[attr-defined]
    with WebuiHost().lend_gpu():
        pass
    assert a1111.told.log == ["split to cpu", "gc", "split to cuda"]


def test_a1111_s_other_residents_leave_and_come_back(a1111: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    load(a1111, "chosen")
    pair = (Network(), Network())
    described, tagger, face, finder, decoder, lazy = (Network() for _ in range(6))
    on_cpu = Network(device=CPU)
    shared = a1111.shared
    shared.loaded_hypernetworks.append(SimpleNamespace(layers={320: pair}))
    shared.interrogator.blip_model = described
    shared.interrogator.clip_model = on_cpu
    helper = SimpleNamespace(face_det=finder, face_parse=None)
    shared.face_restorers += [SimpleNamespace(net=face, face_helper=helper), SimpleNamespace(net=None)]
    for name, names in (
        ("modules.deepbooru", {"model": SimpleNamespace(model=tagger)}),
        ("modules.sd_vae_approx", {"sd_vae_approx_models": {"model.pt": decoder}}),
        ("modules.sd_vae_taesd", {"sd_vae_taesd_models": {"taesd": lazy}}),
    ):
        monkeypatch.setitem(sys.modules, name, a1111.add(name, **names))
    others = [*pair, described, tagger, face, finder, decoder, lazy]
    with WebuiHost().lend_gpu():
        assert all(one.device is CPU for one in others)
    assert all(one.device is CARD for one in others) and on_cpu.device is CPU


def test_a1111_s_stand_in_for_a_unet_is_dropped(a1111: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    load(a1111, "chosen", "other")
    unets = a1111.add("modules.sd_unet", current_unet=object())
    unets.apply_unet = lambda option: a1111.told.log.append(f"unet {option}")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "modules.sd_unet", unets)
    with WebuiHost().lend_gpu():
        pass
    assert a1111.told.log == ["unet None", "chosen to cpu", "other to cpu", "gc", "chosen to cuda"]


@pytest.mark.parametrize("kind", FORGES)
def test_a_forge_unloads_by_itself(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    around = stand_in(kind, tmp_path, monkeypatch)
    manager_of(around).current_loaded_models.append("a model")
    host = WebuiHost()
    with host.lend_gpu():
        assert around.told.log == ["unload all", "empty cache"]
        # Nothing is loaded any more: nothing is emptied between steps.
        host.turns.residents.leave()
    assert around.told.log == ["unload all", "empty cache"]


def test_lists_are_read_anew(around: StandIn) -> None:
    host = WebuiHost()
    load(around, "chosen")
    host.refresh(ADAPTERS)
    forgets = around.kind in (FORGE, REFORGE, CLASSIC)
    assert around.told.log == ["forget loras", "list loras"][0 if forgets else 1 :]
    around.told.log.clear()
    host.refresh(CHECKPOINTS)
    assert around.told.log == ["list models"]
    around.told.log.clear()
    if around.kind in (FORGE, NEO):
        engine = SimpleNamespace(embeddings=around.words)
        model = around.sd_models.model_data.sd_model
        model.text_processing_engine_l, model.text_processing_engine_g = (
            engine,
            SimpleNamespace(embeddings=around.words),
        )
    host.refresh(EMBEDDINGS)
    assert around.told.log == ["read words"] * (2 if around.kind in (FORGE, NEO) else 1)


def test_words_are_not_read_for_a_model_that_is_not_there(around: StandIn) -> None:
    WebuiHost().refresh(EMBEDDINGS)
    assert around.told.log == []


def test_what_the_user_chose_stays_chosen_where_a_flag_names_another(a1111: StandIn) -> None:
    data = a1111.shared.opts.data

    def list_models() -> None:
        data["sd_model_checkpoint"] = "the flag's"

    a1111.sd_models.list_models = list_models
    a1111.sd_models.checkpoint_aliases = {"one.safetensors": SimpleNamespace(filename="/one.safetensors")}
    WebuiHost().refresh(CHECKPOINTS)
    assert data["sd_model_checkpoint"] == "one.safetensors"


def test_a_list_that_fails_costs_the_run_nothing(around: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise OSError("a drive is gone")

    around.modules["networks"].list_available_networks = fail  # type: ignore[attr-defined]
    WebuiHost().refresh(ADAPTERS)
    assert "a drive is gone" in caplog.text


def test_lists_are_read_between_two_jobs(a1111: StandIn) -> None:
    host = WebuiHost()
    with host.lend_gpu():
        # By the run itself, which has the lock.
        host.refresh(CHECKPOINTS)
        assert a1111.told.log == ["list models"]
        other = threading.Thread(target=host.refresh, args=(CHECKPOINTS,), daemon=True)
        other.start()
        other.join(0.05)
        assert a1111.told.log == ["list models"]
    other.join(5)
    assert a1111.told.log == ["list models"] * 2


def test_a_changed_checkpoint_is_announced_by_the_change(a1111: StandIn) -> None:
    (model,) = load(a1111, "chosen")
    host, guest = WebuiHost(), MadeGuest(a1111.told)
    with host.lend_gpu():
        a1111.told.log.clear()
        host.yield_point(guest)
        assert a1111.told.log == []
        a1111.shared.opts.data["sd_model_checkpoint"] = "another.safetensors"
        host.yield_point(guest)
        assert a1111.told.log == ["run leaves", "chosen to cuda", "chosen to cpu", "gc", "run takes"]
        a1111.told.log.clear()
        # Its title gets a hash when it is loaded: that is no change.
        known = SimpleNamespace(filename="another.safetensors")
        a1111.sd_models.checkpoint_aliases = {"another.safetensors [0123456789]": known}
        a1111.shared.opts.data["sd_model_checkpoint"] = "another.safetensors [0123456789]"
        host.yield_point(guest)
        assert a1111.told.log == []
    assert model.device is CARD


@pytest.mark.parametrize("kind", [A1111, FORGE])
def test_a_picture_that_waits_shows_why_in_its_bar(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a Forge those of its API, which come in threads of their own."""
    around = stand_in(kind, tmp_path, monkeypatch)
    if kind == FORGE:
        monkeypatch.setitem(sys.modules, "modules_forge.main_thread", around.add("modules_forge.main_thread"))
    host, state = WebuiHost(), around.shared.state
    around.shared.opts.data["dreambooth_training_first"] = True
    state.job, around.progress.current_task = "scripts_txt2img", "task(1)"
    done = threading.Event()
    guest = MadeGuest(around.told)

    def picture() -> None:
        with around.lock:
            host.before_picture(SimpleNamespace())
            assert state.textinfo is None and around.progress.current_task == "task(1)"
        done.set()

    with host.lend_gpu():
        thread = threading.Thread(target=picture, daemon=True)
        thread.start()
        end = time.monotonic() + 30
        while not state.textinfo and time.monotonic() < end:
            host.yield_point(guest)
            time.sleep(0.001)
        assert "training" in state.textinfo and "\n" not in state.textinfo
        assert not done.is_set()
    thread.join(5)
    assert done.is_set() and "begin" in around.told.log


@pytest.mark.parametrize("is_first", [True, False])
def test_where_one_thread_makes_all_pictures_none_waits_in_it(
    is_first: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = stand_in(FORGE, tmp_path, monkeypatch)
    monkeypatch.setitem(sys.modules, "modules_forge.main_thread", around.add("modules_forge.main_thread"))
    around.shared.opts.data["dreambooth_training_first"] = is_first
    host, said = WebuiHost(), []
    with host.lend_gpu():
        host.before_picture(SimpleNamespace(comment=said.append))
        host.before_picture(None)
    assert len(said) == is_first and around.shared.state.interrupted is is_first


def test_the_chosen_checkpoint_is_told(a1111: StandIn, tmp_path: Path) -> None:
    assert WebuiHost().settings.checkpoint == ""
    known = SimpleNamespace(filename=str(tmp_path / "sub" / "one.safetensors"))
    a1111.sd_models.checkpoint_aliases = {"one.safetensors": known}
    a1111.shared.opts.sd_model_checkpoint = "one.safetensors"
    assert WebuiHost().settings.checkpoint == known.filename
