"""A headless Chromium with a fake microphone, and a real server with the shipped variants for it."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
import soxr

from models.zoo import SHIPPED, Zoo, load_zoo
from service.processes.server import make_server
from service.settings import Settings

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")
NOISY = Path(__file__).parents[1] / "data" / "noisy_en.flac"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--mute-audio",
    "--hide-scrollbars",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
)


def why_not() -> str | None:
    """What is missing for a test in a browser, in one line, or None."""
    if importlib.util.find_spec("selenium") is None:
        return "selenium is not installed (pip install 'quietwire[dev]')"
    if CHROMIUM is None or CHROMEDRIVER is None:
        return "there is no Chromium with its driver (Debian: apt install chromium chromium-driver)"
    return None


@contextlib.contextmanager
def served(zoo: Zoo | None = None, **settings: Any) -> Iterator[str]:
    """A server of its own; gives its address."""
    chosen = Settings(**{"port": 0, "drain_seconds": 0, **settings}).model_copy(update={"max_load": 1000})
    ports: queue.SimpleQueue[int] = queue.SimpleQueue()
    server = make_server(chosen, zoo or load_zoo(SHIPPED), ports.put)
    thread = threading.Thread(target=server.run, name="server")
    thread.start()
    try:
        yield f"http://127.0.0.1:{ports.get(timeout=120)}/"
    finally:
        server.should_exit = True
        thread.join()


@contextlib.contextmanager
def chromium(*flags: str, microphone: Path = NOISY, size: tuple[int, int] = (1280, 900)) -> Iterator[Chrome]:
    """A browser with an empty profile, whose microphone hears a recording over and over."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        heard = Path(profile) / "microphone.wav"
        write_microphone(microphone, heard)
        own = (
            f"--user-data-dir={profile}/profile",
            f"--use-file-for-fake-audio-capture={heard}",
            f"--window-size={size[0]},{size[1]}",
        )
        for flag in (*FLAGS, *own, *flags):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service(str(CHROMEDRIVER)))
        try:
            driver.set_script_timeout(90)
            yield driver
        finally:
            driver.quit()


def write_microphone(source: Path, target: Path) -> None:
    """The fake device takes WAV, and only some rates without a murmur."""
    audio, rate = soundfile.read(source, dtype="float32")
    soundfile.write(target, soxr.resample(audio, rate, 48000), 48000, subtype="PCM_16")


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Poll until something is true, and give it.

    Raises:
        TimeoutError: It never was.
    """
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"what was waited for did not happen in {seconds} s")
        time.sleep(0.05)
    return found


class Page:
    """The page in a browser, by what its elements are called."""

    def __init__(self, driver: Chrome, address: str) -> None:
        self.driver = driver
        driver.get(address)
        until(lambda: driver.execute_script("return document.querySelectorAll('#models input').length"))

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page."""
        return self.driver.execute_script(script, *arguments)

    def collect(self, constructor: str, name: str) -> None:
        """Have the page's array of that name hold every object that the constructor makes from now on."""
        self.run(f"""window.{name} = [];
          const Former = {constructor};
          window.{constructor} = class extends Former {{
            constructor(...given) {{ super(...given); {name}.push(this); }}
          }};""")

    def click(self, selector: str) -> None:
        """Press what a person would press."""
        self.run("document.querySelector(arguments[0]).click()", selector)

    def text(self, identifier: str) -> str:
        """What an element says."""
        return self.run("return document.getElementById(arguments[0]).textContent", identifier)

    @property
    def state(self) -> str:
        """Of the live part."""
        return self.run("return document.getElementById('live').dataset.state")

    def start(self, kind: str = "demo") -> None:
        """Start the live part, and wait until it is."""
        self.click(f"#start-{kind}")
        until(lambda: self.state == "live")

    def pictures(self, *identifiers: str) -> list[np.ndarray]:
        """The first colour channels of canvases as they are at one moment, each ``[rows, columns, 3]``."""
        script = """return arguments[0].map((identifier) => {
          const canvas = document.getElementById(identifier);
          return [canvas.height, canvas.width, btoa(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data
            .reduce((text, byte) => text + String.fromCharCode(byte), ''))];
        })"""
        found = self.run(script, identifiers)
        return [
            np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)[..., :3] for height, width, data in found
        ]

    def picture(self, identifier: str) -> np.ndarray:
        """One of them."""
        return self.pictures(identifier)[0]

    @property
    def complaints(self) -> list[str]:
        """Errors in the browser's console, such as breaches of the security policy."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
