"""The command `forecast`: memory, time and disk of a run, before any weight is read."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from lib_dreambooth.base.showing import shown_bytes, shown_seconds
from lib_dreambooth.cli import run_settings
from lib_dreambooth.cli.output import Out
from lib_dreambooth.cli.running import add_models, say_findings

if TYPE_CHECKING:
    from lib_dreambooth.forecast.forecast import Forecast
    from lib_dreambooth.jobs.memory import Told
    from lib_dreambooth.jobs.plan import RunPlan

GIB = 1 << 30
MOST_GB = 1000


def add(parser: argparse.ArgumentParser) -> None:
    run_settings.add(parser)
    parser.add_argument("--name", metavar="NAME", default="forecast", help="the model that would be trained")
    parser.add_argument(
        "--room", metavar="GB", type=float, help="the device's memory in GiB, in place of what is free here"
    )
    parser.add_argument(
        "--card",
        metavar="GB",
        type=card_size,
        help="settings for a card sold with so much memory, such as 8GB; it need not be here",
    )
    add_models(parser)


def run(args: argparse.Namespace, out: Out) -> int:
    sourced = run_settings.accepted(args, out)
    # Only here, so that wrong settings are said at once.
    from lib_dreambooth.jobs.memory import forecast_of
    from lib_dreambooth.jobs.places import library
    from lib_dreambooth.jobs.plan import plan_run
    from lib_dreambooth.runs.folder import ModelFolder

    place = library(args.models)
    folder = ModelFolder.find(place.dreambooth, args.name)
    with out.counting("Reading pictures") as tell:
        plan = plan_run(sourced, args.name, place.results(), folder, progress=tell)
    if args.card is not None:
        say_card(plan, args.card, out)
        return 0
    room = None if args.room is None else round(args.room * GIB)
    told = forecast_of(plan, room=room, offering=False)
    say(plan, told, out)
    if told.fits is False:
        # These take as long again: nobody waits for them to read the rest.
        told = forecast_of(plan, room=room)
        say_offers(told, out)
    out.result({**told.to_json(), "disk": plan.disk.total, "disk_free": plan.disk.free})
    return 0


def card_size(text: str) -> float:
    """The GB in 8, 8GB or 8 GB."""
    size = float(text.lower().removesuffix("gb"))
    if not 0 < size < MOST_GB:
        raise ValueError(text)
    return size


def say_card(plan: RunPlan, size_gib: float, out: Out) -> None:
    """What to set for a card of this size, with what it would cost."""
    from lib_dreambooth.jobs.memory import numbers_of
    from lib_dreambooth.jobs.suiting import room_of_card, suited

    found = suited(plan.sourced, room_of_card(size_gib), may_change=True, numbers=numbers_of(plan))
    out.table(rows(found.told.forecast))
    out.line()
    for change in found.changes:
        out.line(change.line())
    for offer in found.learned:
        out.line(f"changes what is learned: {', '.join(path for path, _ in offer.changes)} ({offer.about})")
    room = shown_bytes(found.told.room or 0)
    out.line(f"peak: {shown_bytes(found.told.forecast.bytes)} of {room}: {verdict(found.told)}")
    out.result(found.to_json())


def say(plan: RunPlan, told: Told, out: Out) -> None:
    """The table."""
    say_findings(plan, out)
    forecast = told.forecast
    out.table(rows(forecast))
    out.line()
    is_card = forecast.kind != "cpu"
    lines = [
        ("peak:", f"{shown_bytes(forecast.bytes)} {'allocated on the card' if is_card else beside(told)}"),
        *([("room:", f"{shown_bytes(told.room)}: {verdict(told)}")] if told.room is not None else []),
        *([("system memory:", shown_bytes(forecast.host_bytes))] if is_card else []),
        ("disk:", plan.disk.text() + ("" if plan.disk.is_enough else ": too little")),
        ("computed twice:", forecast.manner.level),
        *([("weights move:", "in the backward pass")] if forecast.manner.is_fused else []),
        *([("optimizer state:", "in system memory")] if forecast.manner.is_state_away else []),
        *time_lines(forecast),
        ("rests on:", ", ".join(forecast.rests_on)),
    ]
    out.table(lines)
    if told.drawing.size_wh is not None:
        out.line("previews of {} x {} fit the card".format(*told.drawing.size_wh))


def say_offers(told: Told, out: Out) -> None:
    """What would fit, a line for each."""
    for offer in told.offers:
        time = "" if offer.seconds is None else f", about {shown_seconds(offer.seconds)}"
        out.line(f"would fit with {offer.text()}: {shown_bytes(offer.bytes)}{time} ({offer.about})")


def rows(forecast: Forecast) -> list[tuple[str, ...]]:
    """Phases by line, parts by column; gaps where there are any, and what the process grows by itself."""
    from lib_dreambooth.forecast.meter import PARTS

    more = ["gaps"] if any(need.gaps for need in forecast.phases.values()) else []
    head = ("", *PARTS, *more, "together")
    body = [
        (
            name,
            *(shown_bytes(one) if one else "-" for one in (*need.parts, *([need.gaps] if more else []))),
            shown_bytes(need.bytes),
        )
        for name, need in forecast.phases.items()
    ]
    return [head, *body]


def beside(told: Told) -> str:
    """Which memory is meant, where there is no card."""
    whole = shown_bytes(told.own + told.forecast.bytes)
    return f"of resident memory beside the {shown_bytes(told.own)} of this process: {whole} in all"


def verdict(told: Told) -> str:
    """Whether it fits."""
    return "it fits" if told.fits else "it does not fit"


def time_lines(forecast: Forecast) -> list[tuple[str, str]]:
    """How fast and how long."""
    if not forecast.seconds_per_step:
        return []
    speed = f"{1 / forecast.seconds_per_step:.2f} steps a second"
    whole = [] if forecast.seconds is None else [("time:", f"about {shown_seconds(forecast.seconds)}")]
    return [("speed:", f"about {speed}"), *whole]
