"""A headless Chromium, driven over a pipe in its own protocol: nothing to install beside the browser.

https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "google-chrome", "chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--no-first-run",
    "--mute-audio",
    "--force-color-profile=srgb",
    "--remote-debugging-pipe",
)
POLL_S = 0.05
# Longer than a machine full of other work stands still.
PATIENCE_S = 90.0
MOST_TRIES = 20
TYPED = {"Enter": "\r", " ": " "}
# The protocol is spoken on the descriptors 3 and 4 of the browser; a shell takes no others above 9.
START = (
    "import fcntl, os, sys; held = [fcntl.fcntl(int(one), fcntl.F_DUPFD, 10) for one in sys.argv[1:3]]; "
    "[os.dup2(one, number) for number, one in zip((3, 4), held)]; os.execv(sys.argv[3], sys.argv[3:])"
)


class Failed(AssertionError):
    """What was waited for did not come, or a script of the page failed."""


class Chromium:
    """One browser process; `open` gives a page of its own."""

    def __init__(self) -> None:
        program = next(found for found in map(shutil.which, BROWSERS) if found)
        self._profile = tempfile.mkdtemp(prefix="dreambooth-chromium-")
        child_in, self._out = os.pipe()
        self._in, child_out = os.pipe()
        arguments = [program, *FLAGS, f"--user-data-dir={self._profile}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", START, str(child_in), str(child_out), *arguments],
            pass_fds=(child_in, child_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(child_in)
        os.close(child_out)
        self._number = 0
        self._answers: dict[int, dict[str, Any]] = {}
        self._arrived = threading.Condition()
        self._listeners: list[Callable[[dict[str, Any]], None]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        waiting = b""
        while True:
            data = os.read(self._in, 1 << 16)
            if not data:
                return
            *whole, waiting = (waiting + data).split(b"\0")
            for one in whole:
                self._take(json.loads(one))

    def _take(self, message: dict[str, Any]) -> None:
        if "id" not in message:
            for listener in list(self._listeners):
                listener(message)
            return
        with self._arrived:
            self._answers[message["id"]] = message
            self._arrived.notify_all()

    def send(
        self, method: str, session: str = "", timeout_s: float = PATIENCE_S, **values: Any
    ) -> dict[str, Any]:
        """Asks the browser something and waits for the answer."""
        with self._arrived:
            self._number += 1
            number = self._number
        message = {"id": number, "method": method, "params": values}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        with self._arrived:
            if not self._arrived.wait_for(lambda: number in self._answers, timeout_s):
                raise Failed(f"{method}: no answer in {timeout_s} s")
            answer = self._answers.pop(number)
        if "error" in answer:
            raise Failed(f"{method}: {answer['error']}")
        return answer["result"]

    def listen(self, listener: Callable[[dict[str, Any]], None]) -> None:
        self._listeners.append(listener)

    def open(self, url: str, size: tuple[int, int] = (1280, 900)) -> Page:
        """A tab with nothing remembered from others."""
        context = self.send("Target.createBrowserContext")["browserContextId"]
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session, target)
        page.resize(*size)
        page.go(url)
        return page

    def close(self) -> None:
        try:
            self.send("Browser.close", timeout_s=5)
        except (Failed, OSError):
            self._process.kill()
        self._process.wait(10)
        os.close(self._out)
        shutil.rmtree(self._profile, ignore_errors=True)


class Page:
    """One tab, used as a person would: by what can be seen and pressed."""

    def __init__(self, browser: Chromium, session: str, target: str) -> None:
        self.browser = browser
        self.session = session
        self.target = target
        self.errors: list[str] = []
        self._is_leaving = False
        browser.listen(self._hear)
        for domain in ("Page", "Runtime", "DOM"):
            self.send(f"{domain}.enable")

    def _hear(self, message: dict[str, Any]) -> None:
        if message.get("sessionId") != self.session or self._is_leaving:
            return
        values = message.get("params", {})
        if message["method"] == "Runtime.exceptionThrown":
            details = values["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        if message["method"] == "Runtime.consoleAPICalled" and values["type"] == "error":
            self.errors.append(
                " ".join(str(one.get("value", one.get("description"))) for one in values["args"])
            )

    def send(self, method: str, **values: Any) -> dict[str, Any]:
        return self.browser.send(method, self.session, **values)

    def go(self, url: str) -> None:
        self.send("Page.navigate", url=url)

    def reload(self) -> None:
        """The page made anew; the old one goes on until the new one is there, its last words do not count."""
        self.js("window.isOld = true")
        self._is_leaving = True
        self.send("Page.reload")
        self.wait("!window.isOld")
        self._is_leaving = False

    def resize(self, width: int, height: int) -> None:
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def js(self, expression: str) -> Any:
        """The value of an expression in the page; promises are waited for."""
        answer = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise Failed(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    def wait(self, expression: str, timeout_s: float = PATIENCE_S) -> None:
        """Waits until an expression is true; a page on its way to the next one counts as not yet."""
        end = time.monotonic() + timeout_s
        last: object = None
        while time.monotonic() < end:
            try:
                last = self.js(f"Boolean({expression})")
                if last:
                    return
            except Failed as error:
                last = error
            time.sleep(POLL_S)
        said = f"last: {last}; errors: {self.errors[-3:]}; said: {self._said()}"
        raise Failed(f"not within {timeout_s} s: {expression} ({said})")

    def _said(self) -> object:
        """What the page tells its user at the moment."""
        try:
            return self.js("[...document.querySelectorAll('.dreambooth-said')].map((one) => one.innerText)")
        except Failed as error:
            return error

    def place(self, selector: str, timeout_s: float = PATIENCE_S) -> tuple[float, float]:
        """The middle of what a selector finds, scrolled into sight; it has to be visible and reachable."""
        found = json.dumps(selector)
        self.wait(
            f"document.querySelector({found}) && document.querySelector({found}).checkVisibility()", timeout_s
        )
        return tuple(  # type: ignore[return-value]
            self.js(
                f"""(async () => {{let before = null;
                for (let tries = 0; tries < 40; tries += 1) {{
                    const one = document.querySelector({found});
                    one.scrollIntoView({{block: "center", behavior: "instant"}});
                    const box = one.getBoundingClientRect();
                    const now = [box.left + box.width / 2, box.top + box.height / 2];
                    if (before && before.join() === now.join()) return now;
                    before = now;
                    await new Promise((ended) => setTimeout(ended, 16));
                }}
                return before;}})()"""
            )
        )

    def press(self, selector: str, timeout_s: float = PATIENCE_S) -> None:
        """A click with the mouse, on a button that is ready to be pressed."""
        found = json.dumps(selector)
        self.wait(f"document.querySelector({found}) && !document.querySelector({found}).disabled", timeout_s)
        hit = "nothing"
        for _ in range(MOST_TRIES):
            x, y = self.place(selector, timeout_s)
            hit = self.js(
                f"""(() => {{const one = document.querySelector({found});
                const top = document.elementFromPoint({x}, {y});
                const isReached = one === top || one.contains(top) || Boolean(top && top.contains(one));
                if (!isReached) return String(top && top.outerHTML).slice(0, 200);
                window.isMissed = true;
                const look = ({{target}}) => {{const now = document.querySelector({found});
                window.isMissed = Boolean(now) && target !== top && !now.contains(target);}};
                document.addEventListener("click", look, {{capture: true, once: true}});
                return "";}})()"""
            )
            if not hit and self._clicked(x, y):
                return
            # It may have been on its way to another place.
            time.sleep(POLL_S)
        raise Failed(f"{selector} lies under {hit or 'what came between looking and pressing'}")

    def _clicked(self, x: float, y: float) -> bool:
        """Presses there; False where a page at work moved under the mouse meanwhile.

        Then another was met, or none: what is pressed on one and let go on another is no click on either.
        """
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        try:
            return self.js("window.isMissed") is not True
        except Failed:
            # It led to another page.
            return True

    def press_text(self, text: str, within: str = "body", timeout_s: float = PATIENCE_S) -> None:
        """A click on the visible button with these words."""
        self.wait(
            f"""(() => {{
            document.querySelectorAll("[data-pressed]").forEach((old) => delete old.dataset.pressed);
            const all = [...document.querySelectorAll({json.dumps(within)} + " button")];
            const is = (one) => one.textContent.trim() === {json.dumps(text)} && one.checkVisibility();
            const one = all.find(is);
            if (one) one.dataset.pressed = "1"; return Boolean(one);}})()""",
            timeout_s,
        )
        self.press("[data-pressed]", timeout_s)

    def type(self, selector: str, text: str) -> None:
        """Writes over what stands in a box, as typing does."""
        self.place(selector)
        self.js(
            f"""(() => {{const one = document.querySelector({json.dumps(selector)});
            one.focus(); one.select();}})()"""
        )
        if text:
            self.send("Input.insertText", text=text)
        else:
            self.key("Backspace", 8)

    def key(self, name: str, code: int = 0, modifiers: int = 0) -> None:
        """A key pressed and let go; Enter and Space type something too, which is what presses a button."""
        typed = {"text": TYPED[name]} if name in TYPED else {}
        for kind, more in (("keyDown", typed), ("keyUp", {})):
            self.send(
                "Input.dispatchKeyEvent",
                type=kind,
                key=name,
                code=name,
                windowsVirtualKeyCode=code,
                modifiers=modifiers,
                **more,
            )

    def choose(self, selector: str, value: str) -> None:
        """An entry of a list by its value or its words."""
        self.place(selector)
        self.js(
            f"""(() => {{const list = document.querySelector({json.dumps(selector)});
            const wanted = {json.dumps(value)};
            const one = [...list.options].find((one) => one.value === wanted || one.textContent === wanted);
            const all = [...list.options].map((one) => one.textContent);
            if (!one) throw new Error("no entry " + wanted + " among " + all);
            list.value = one.value; list.dispatchEvent(new Event("input", {{bubbles: true}}));
            list.dispatchEvent(new Event("change", {{bubbles: true}}));}})()"""
        )

    def give_files(self, selector: str, paths: list[Path]) -> None:
        """Files for a file input, as chosen in the system's dialog."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def text(self, selector: str) -> str:
        """The words that can be seen there."""
        return str(self.js(f"(document.querySelector({json.dumps(selector)}) || {{}}).innerText || ''"))

    def picture(self, path: Path, *, full: bool = True) -> Path:
        """A screenshot of the whole page."""
        height = int(self.js("document.documentElement.scrollHeight")) if full else 0
        width = int(self.js("window.innerWidth"))
        clip = (
            {"clip": {"x": 0, "y": 0, "width": width, "height": min(height, 6000), "scale": 1}}
            if full
            else {}
        )
        data = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=full, **clip)["data"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(data))
        return path

    def close(self) -> None:
        self.browser.send("Target.closeTarget", targetId=self.target)
