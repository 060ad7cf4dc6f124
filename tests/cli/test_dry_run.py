from __future__ import annotations

import io
import json

from lib_dreambooth import settings
from lib_dreambooth.cli.dry_run import say, words_text
from lib_dreambooth.cli.output import Out
from lib_dreambooth.settings.length import plan_epoch, plan_length
from lib_dreambooth.settings.schema import Run

EPOCH = plan_epoch([25, 14], batch_size=4, accumulation=2)


def test_the_plan_for_people() -> None:
    run = settings.replace(Run(), {"saving.every": "2 epochs", "previews.every": "3 steps"})
    out = Out(io.StringIO(), io.StringIO())
    plan = plan_length(EPOCH, run.length.train_for)
    say(out, run, plan, pictures=13, repeats=3, forecast={"memory": "3.0 of 8 GB"})
    assert out.stdout.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "13 pictures x 3 repeats = 39 visits, in 2 buckets of 25 and 14; batch 4 gives 7 + 4 = 11 batches; "
        "accumulation 2 gives 6 steps an epoch, the last of 1 batch; 10 epochs = 60 steps",
        "files during training:  after steps 12, 24, 36, 48",
        "previews:               after steps 3, 6, 9, 12, 15, 18, 21, 24 ... (19 times)",
        "files:                  5 x LoRA, 1 x state",
        "memory:                 3.0 of 8 GB",
    ]


def test_the_plan_of_an_endless_run_for_programs() -> None:
    changes = {"length.train_for": "until stopped", "saving.every": "1 epochs", "previews.every": "never"}
    run = settings.replace(Run(), changes)
    out = Out(io.StringIO(), io.StringIO(), as_json=True)
    say(out, run, plan_length(EPOCH, run.length.train_for), pictures=13, repeats=3)
    found = json.loads(out.stdout.getvalue())  # type: ignore[attr-defined]
    assert (found["total_steps"], found["saves"], found["previews"]) == (None, None, [])
    assert found["steps_per_epoch"] == 6 and found["arithmetic"].endswith("until stopped")


def test_the_words_of_a_plan() -> None:
    words = [{"name": "zwx", "vectors": 1}, {"name": "wug", "vectors": 3}]
    assert words_text(settings.read({"words": words}).run) == "zwx of 1 vector, wug of 3 vectors"
