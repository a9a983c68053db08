"""A browser for tests: Debian's Chromium, driven by Playwright. Imported by conftest.py.

Playwright never downloads one. Where there is no Chromium the tests are skipped and say why; in CI that is a failure.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright

from iafactory.run import BASE

SCREENSHOTS = BASE / "var" / "screenshots"
WIDE, NARROW = 1280, 390
PATIENCE_MS = 15_000


class Visitor:
    """Somebody at a browser of their own (own cookies). Keeps what a good page never causes."""

    def __init__(self, browser: Browser, url: str, *, language: str = "fr-DZ", width: int = WIDE) -> None:
        self.url = url
        self.context = browser.new_context(
            base_url=url, locale=language, viewport={"width": width, "height": 900}, timezone_id="Africa/Algiers"
        )
        self.context.set_default_timeout(PATIENCE_MS)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.strangers: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._request)

    def _console(self, message: object) -> None:
        if message.type in ("error", "warning"):  # type: ignore[attr-defined]
            self.complaints.append(f"{self.page.url}: {message.text}")  # type: ignore[attr-defined]

    def _request(self, request: Request) -> None:
        # `data:` and `blob:` leave the machine as little as the page's own host does.
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https") and parts.netloc != urlsplit(self.url).netloc:
            self.strangers.append(request.url)

    def go(self, path: str) -> Page:
        self.page.goto(path)
        return self.page

    def shoot(self, name: str) -> None:
        """A screenshot of the whole page for people to look at: var/screenshots/<name>.png"""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    def is_wider_than_its_window(self) -> bool:
        width: bool = self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        return width


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for one module: Playwright's event loop must not be there for the tests of the next."""
    chromium = shutil.which("chromium")
    if chromium is None:
        trouble = "no Chromium here (apt-get install chromium)"
        pytest.fail(trouble) if os.environ.get("CI") else pytest.skip(trouble)
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright's loop runs in this thread, so Django takes the test for asynchronous code.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visitor]]:
    """`visit(product.url, language="ar", width=NARROW)`: a new visitor, who leaves with the test."""
    visitors: list[Visitor] = []

    def arrive(url: str, **options: object) -> Visitor:
        visitors.append(Visitor(browser, url, **options))  # type: ignore[arg-type]
        return visitors[-1]

    yield arrive
    for visitor in visitors:
        visitor.context.close()
