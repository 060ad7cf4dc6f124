"""What a WebUI is told at each load of its scripts: a tab, settings, routes, and who stands at the door."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lib_dreambooth.hosts.webui_settings import add_options

TITLE, ELEMENT = "Dreambooth", "dreambooth"
NAME = "Dreambooth: turns with the training"


def register(
    tab: Callable[[], Any], mount: Callable[[Any], None], before_picture: Callable[[Any], None]
) -> tuple[type, type]:
    """Registers all of it; to be called once for each load of scripts, which forget what was before.

    `tab` makes the page's Blocks, `mount` adds routes to an app, `before_picture` is given what the WebUI is
    about to process, or None for pictures that are there already. Gives the classes that the WebUI has to
    find among the script's names.
    """
    from modules import script_callbacks

    def tell() -> None:
        # Not every host takes a name beside the callback.
        script_callbacks.on_ui_settings(add_options)
        script_callbacks.on_ui_tabs(lambda: [(tab(), TITLE, ELEMENT)])
        script_callbacks.on_app_started(lambda demo, app: mount(app))

    # Each call looks for who made it in every frame of the stack, and for the frames of an import in every
    # module: 0.1 s. A thread has a short stack.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(tell).result()
    return doorkeeper(before_picture), extras_doorkeeper(before_picture)


def doorkeeper(before_picture: Callable[[Any], None]) -> type:
    """A script without a page that every picture passes."""
    from modules import scripts

    class DreamboothTurns(scripts.Script):
        """Gives the card to a picture that is asked for while a training has it."""

        create_group = False

        def title(self) -> str:
            return NAME

        def show(self, is_img2img: bool) -> object:
            return scripts.AlwaysVisible

        def before_process(self, p: Any, *args: Any) -> None:
            before_picture(p)

    return DreamboothTurns


def extras_doorkeeper(before_picture: Callable[[Any], None]) -> type:
    """The same for pictures on the Extras tab: upscalers and face restorers want memory."""
    from modules import scripts_postprocessing

    class DreamboothExtras(scripts_postprocessing.ScriptPostprocessing):
        """Comes before all others, which is where the WebUI calls the first pass of each."""

        name = NAME
        order = 0

        def ui(self) -> dict[str, Any]:
            return {}

        def process_firstpass(self, pp: Any, **args: Any) -> None:
            before_picture(None)

    return DreamboothExtras
