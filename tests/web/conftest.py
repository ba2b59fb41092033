"""One browser and one server for all tests of the page; without Chromium they are skipped, and one line says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from models.zoo import SHIPPED, Zoo, load_zoo

from .browser import Page, chromium, served, why_not

if TYPE_CHECKING:
    from selenium.webdriver import Chrome


@pytest.fixture(scope="session")
def shipped() -> Zoo:
    """Shipped variants, as what happens to the noise has to be real: of each model the original and the smallest."""
    found = {f"{path.parent.name}/{path.stem}" for path in SHIPPED.glob("*/*.onnx")}
    return load_zoo(SHIPPED, sorted(name for name in found if name.endswith(("/original", "/combined"))))


@pytest.fixture(scope="session")
def address(shipped: Zoo) -> Iterator[str]:
    """A server that most tests share."""
    with served(shipped) as one:
        yield one


@pytest.fixture(scope="session")
def driver() -> Iterator[Chrome]:
    """A browser whose microphone hears noisy speech."""
    if reason := why_not():
        pytest.skip(reason)
    with chromium() as one:
        yield one


@pytest.fixture
def page(driver: Chrome, address: str) -> Iterator[Page]:
    """The page, freshly loaded; it must not have complained about anything by the end."""
    page = Page(driver, address)
    yield page
    assert page.complaints == []
    driver.get("about:blank")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was not tested."""
    if reason := why_not():
        terminalreporter.write_line(f"The page was not tested in a browser: {reason}.")
