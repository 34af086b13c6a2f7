"""A page in headless Chromium, driven over its DevTools protocol: real layout, real scrolling."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")
WAIT_S = 120
_SHIFTS = """
window.shift = {value: 0, what: []};
new PerformanceObserver(list => {
  for (const entry of list.getEntries()) {
    shift.value += entry.value;
    shift.what.push(...entry.sources.map(source => source.node?.outerHTML?.slice(0, 90)));
  }
}).observe({type: "layout-shift", buffered: true});
"""


def browser() -> str:
    """The installed browser; skips the test where there is none."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is on the path")
    return found


@dataclass(frozen=True)
class Files:
    """A step beside scripts: the file input ``selector`` gets a file, as if a person had chosen it."""

    selector: str
    path: Path


@dataclass(frozen=True)
class Command:
    """A step beside scripts: a command of the DevTools protocol, such as a press of the mouse.

    ``params`` may be a script that gives them, for what depends on the page.
    """

    method: str
    params: Mapping[str, Any] | str


@dataclass(frozen=True)
class Picture:
    """A step beside scripts: a picture of the window as it is then."""

    path: Path


Step = str | Files | Command | Picture


def look(
    program: str,
    url: str,
    scripts: Sequence[Step],
    *,
    width: int = 1280,
    height: int = 900,
    scheme: str = "light",
    picture: Path | None = None,
) -> list[Any]:
    """Open a page and take steps in it one after the other: scripts, whose promises are awaited, and others.

    Returns what the scripts gave, and None for others. ``shift`` in the page has the layout shift so far and
    what moved. An error in the page fails.
    """
    return asyncio.run(_look(program, url, scripts, width, height, scheme, picture))


async def _look(
    program: str,
    url: str,
    scripts: Sequence[Step],
    width: int,
    height: int,
    scheme: str,
    picture: Path | None,
) -> list[Any]:
    # A process of the browser may still write its profile while it ends.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        typed = [program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        typed += [
            "--disable-dev-shm-usage",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}/profile",
            "about:blank",
        ]
        words = Path(profile, "stderr")  # a file: a pipe that nobody reads fills up and blocks the browser
        with words.open("w") as stderr:
            running = subprocess.Popen(
                typed, stderr=stderr, stdout=subprocess.DEVNULL, env={**os.environ, "TMPDIR": profile}
            )
        try:
            address = await asyncio.wait_for(_address(words), WAIT_S)
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://{address}/json") as answer:
                    tab = next(t for t in await answer.json() if t["type"] == "page")
                async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    return await _drive(_Tab(socket), url, scripts, width, height, scheme, picture)
        finally:
            running.terminate()
            running.wait(timeout=30)


async def _address(words: Path) -> str:
    while not (said := re.search(r"ws://([^/]+)/devtools", words.read_text())):
        await asyncio.sleep(0.02)
    return said[1]


async def _drive(
    tab: _Tab,
    url: str,
    scripts: Sequence[Step],
    width: int,
    height: int,
    scheme: str,
    picture: Path | None,
) -> list[Any]:
    await tab.call("Page.enable")
    await tab.call("Runtime.enable")
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    await tab.call("Emulation.setDeviceMetricsOverride", **size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    await tab.call("Emulation.setEmulatedMedia", features=features)
    await tab.call("Page.addScriptToEvaluateOnNewDocument", source=_SHIFTS)
    await tab.call("Page.navigate", url=url)
    while await tab.value("location.href === 'about:blank' || document.readyState !== 'complete'"):
        await asyncio.sleep(0.02)
    found = [await tab.step(script) for script in scripts]
    if picture is not None:
        await tab.step(Picture(picture))
    return found


class _Tab:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._sent = socket, 0

    async def call(self, method: str, **params: Any) -> Any:
        self._sent += 1
        await self._socket.send_json({"id": self._sent, "method": method, "params": params})
        while True:
            message = await self._socket.receive_json()
            assert message.get("method") != "Runtime.exceptionThrown", json.dumps(message)[:2000]
            if message.get("id") == self._sent:
                assert "result" in message, message
                return message["result"]

    async def step(self, step: Step) -> Any:
        if isinstance(step, str):
            return await self.value(step)
        if isinstance(step, Picture):
            shot = await self.call("Page.captureScreenshot")
            step.path.write_bytes(base64.b64decode(shot["data"]))
        elif isinstance(step, Files):
            root = (await self.call("DOM.getDocument"))["root"]["nodeId"]
            node = await self.call("DOM.querySelector", nodeId=root, selector=step.selector)
            await self.call("DOM.setFileInputFiles", files=[str(step.path)], nodeId=node["nodeId"])
        else:
            given = await self.value(step.params) if isinstance(step.params, str) else step.params
            await self.call(step.method, **given)
        return None

    async def value(self, script: str) -> Any:
        evaluated = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        try:
            made = await asyncio.wait_for(evaluated, WAIT_S)
        except TimeoutError:
            raise AssertionError(f"no answer within {WAIT_S} s: {script}") from None
        assert "exceptionDetails" not in made, json.dumps(made)[:2000]
        return made["result"].get("value")
