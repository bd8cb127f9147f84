"""Drives a headless Chromium without a network, by its DevTools protocol."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_PATIENCE_S = 30.0


def program() -> str | None:
    """The path of a Chromium, or None if there is none."""
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


class Chromium:
    """A browser with one tab. Every request that it makes is noted, and none but those of files could be answered.

    Attributes:
        errors: what pages wrote to the console as an error or a warning, and what they raised.
        requests: addresses that pages asked for.
    """

    def __init__(self) -> None:
        import websocket  # here: only the session `tests-page` installs it

        self.errors: list[str] = []
        self.requests: list[str] = []
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        options += ["--proxy-server=127.0.0.1:9", "--remote-debugging-port=0", "--remote-allow-origins=*"]
        options += [f"--user-data-dir={self._profile.name}", "--disable-background-networking", "about:blank"]
        self._process = subprocess.Popen(
            [program() or "", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        port = self._port()
        self._calls = 0
        self._socket = websocket.create_connection(f"ws://127.0.0.1:{port[0]}{port[1]}", timeout=_PATIENCE_S)
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Chromium:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait(_PATIENCE_S)
        self._profile.cleanup()

    def _port(self) -> list[str]:
        """Port and path of the browser's protocol, which it writes into its profile once it listens."""
        file = Path(self._profile.name) / "DevToolsActivePort"
        end = time.monotonic() + _PATIENCE_S
        while time.monotonic() < end:
            if file.is_file() and len(lines := file.read_text().splitlines()) == 2:
                return lines
            time.sleep(0.05)
        raise TimeoutError("Chromium does not listen")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a method of the protocol; what happens meanwhile is noted."""
        self._calls += 1
        message = {"id": self._calls, "method": method, "params": parameters}
        self._socket.send(json.dumps(message | ({"sessionId": self._session} if self._session else {})))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") == self._calls:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer.get("method"), answer.get("params", {}))

    def _note(self, event: str | None, of: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append(of["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            details = of["exceptionDetails"]
            self.errors.append(str(details.get("exception", {}).get("description", details["text"])))
        elif event == "Runtime.consoleAPICalled" and of["type"] in ("error", "warning", "assert"):
            self.errors.append(" ".join(str(part.get("value", part)) for part in of["args"]))
        elif event == "Log.entryAdded" and of["entry"]["level"] in ("error", "warning"):
            self.errors.append(of["entry"]["text"])

    def run(self, expression: str) -> Any:
        """The value of an expression of JavaScript in the page, awaited if it is a promise."""
        done = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in done:
            raise RuntimeError(str(done["exceptionDetails"]))
        return done["result"].get("value")

    def wait(self, expression: str) -> None:
        """Wait until the expression is true; TimeoutError if it is not for long, or if the page has an error."""
        end = time.monotonic() + _PATIENCE_S
        while not self.run(f"Boolean({expression})"):
            if time.monotonic() > end or self.errors:
                raise TimeoutError(f"never true: {expression}; {self.errors}")
            time.sleep(0.05)

    def open(self, file: Path, address: str = "") -> None:
        """Open the page at that address after `#`, and wait until it is drawn."""
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=f"{file.as_uri()}{address}")
        self.drawn()

    def drawn(self) -> None:
        """Wait until the page has drawn what its address says."""
        self.wait("location.protocol === 'file:' && document.documentElement?.dataset.drawn === location.hash")

    def size(self, width: int, height: int = 900) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    def media(self, scheme: str = "light", kind: str = "") -> None:
        """Let the page believe that the system is light or dark, or that it is printed."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", media=kind, features=[feature])

    def screenshot(self, file: Path, whole: bool = True) -> None:
        made = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(made["data"]))
