"""``python -m tests.web.screenshots [folder]``: the page at the size of a desk and of a phone, while the demo plays.

Writes ``page-desktop.png`` and ``page-phone.png``, by default to ``docs/``, where they are kept. A folder of your own also
gets the whole page in both sizes and themes, to be looked at.
"""

from __future__ import annotations

import base64
import io
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from tests.web.browser import Page, chromium, served, until, why_not

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

COLOURS = 128


def main() -> None:
    """Take all pictures."""
    if reason := why_not():
        sys.exit(f"No screenshots: {reason}.")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs")
    folder.mkdir(parents=True, exist_ok=True)
    with served() as address, chromium() as driver:
        page = Page(driver, address)
        show(driver, 1280, 1.0, "light")
        page.start("demo")
        time.sleep(14)
        take(driver, folder / "page-desktop.png", 1280, until_element=".latency")
        if len(sys.argv) > 1:
            compare(page)
            for name, width, scale, theme in (
                ("desk", 1280, 1.0, "light"),
                ("desk", 1280, 1.0, "dark"),
                ("phone", 390, 2.0, "light"),
            ):
                show(driver, width, scale, theme)
                take(driver, folder / f"whole-{name}-{theme}.png", width)
        show(driver, 390, 2.0, "dark")
        page.start("demo")
        time.sleep(8)
        take(driver, folder / "page-phone.png", 390, until_element=".stage")
        print("width of the content at 390:", page.run("return document.documentElement.scrollWidth"))
        print("complaints of the browser:", page.complaints or "none")


def compare(page: Page) -> None:
    """Fill the comparison with the demo, and play it a little."""
    page.click("#stop")  # sooner done without it
    page.click("#compare-demo")
    until(lambda: page.text("compare-state").startswith("Done"), 400)
    page.click("#play")
    time.sleep(1.5)


def show(driver: Chrome, width: int, scale: float, theme: str) -> None:
    """Change the window and the theme."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": scale, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    feature = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
    driver.execute_script("scrollTo(0, 0)")
    time.sleep(0.6)


def take(driver: Chrome, path: Path, width: int, until_element: str = "") -> None:
    """A picture of the page from its top to an element's bottom, or to its own end."""
    script = """const element = arguments[0] && document.querySelector(arguments[0]);
    return element ? element.getBoundingClientRect().bottom + scrollY + 28 : document.documentElement.scrollHeight;"""
    clip = {"x": 0, "y": 0, "width": width, "height": driver.execute_script(script, until_element), "scale": 1}
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    image = Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {image.width} x {image.height}, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
