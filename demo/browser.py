"""The real Neuroglancer in a headless Chromium: what does a person see, and what was fetched?"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from demo.signals import default_signals

CHROMIUM_FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
]

SECONDS = 90
"""How long to wait for a view to be drawn: software rendering on a busy machine is slow."""

# Neuroglancer's chunk_manager/base.ts: three counts per priority tier, three tiers per state.
_PER_STATE = 9
_ON_GPU, _DOWNLOADING, _QUEUED, _FAILED = 0, 3, 4, 6

_STATISTICS = """async () => {
  const sources = await viewer.chunkManager.chunkQueueManager.getStatistics();
  return [...sources.values()].map(counts => Array.from(counts));
}"""


_RESTORE = "state => { viewer.state.reset(); viewer.state.restoreState(state); }"


def find_chromium() -> str | None:
    """Return the path of a Chromium, if there is one."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def viewing(place: str, *options: str, env: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run `zblocks view` as a user does; yield the link that it prints, and press Ctrl-C."""
    line = [sys.executable, "-m", "zblocks", "view", place, "--no-browser", *options]
    environment = {**os.environ, **(env or {})}
    # In a session of its own: the Ctrl-C of a terminal is ours alone, and passed on once.
    how = {"env": environment, "start_new_session": True}
    with default_signals():
        run = subprocess.Popen(line, stdout=subprocess.PIPE, text=True, **how)
    with run:
        try:
            link = run.stdout.readline().strip() if run.stdout else ""
            if link:
                yield link
        finally:
            run.send_signal(signal.SIGINT)
            try:
                run.wait(SECONDS)
            except subprocess.TimeoutExpired:
                run.kill()
                raise
    if run.returncode or not link:
        raise subprocess.CalledProcessError(run.returncode, line)


def with_client(link: str, client: str) -> str:
    """Return a link with the client of another link in place of its own."""
    return f"{client.split('#!', 1)[0]}#!{link.split('#!', 1)[1]}"


def state_of(link: str) -> dict[str, Any]:
    """Return the state that a Neuroglancer link carries."""
    state: dict[str, Any] = json.loads(unquote(link.split("#!", 1)[1]))
    return state


@dataclass
class Page:
    """A Neuroglancer in a browser."""

    page: Any
    state: dict[str, Any]
    """What the link said."""
    fetched: dict[str, int] = field(default_factory=dict)
    """HTTP status by url, of everything that was asked for; 0: no answer."""

    def show(self, **changes: Any) -> None:
        """Change the view (fields of the viewer's state) and wait until it is drawn.

        Raises:
            TimeoutError: chunks are still on their way after a while.
        """
        if changes:
            self.state |= changes
            self.page.evaluate(_RESTORE, self.state)
        quiet = 0
        for _ in range(SECONDS * 4):
            self.page.wait_for_timeout(250)
            settled = self.count(_ON_GPU) and not self.count(_DOWNLOADING) + self.count(_QUEUED)
            quiet = quiet + 1 if settled else 0
            if quiet == 4:
                return
        msg = f"still loading after {SECONDS} s: {self.fetched}"
        raise TimeoutError(msg)

    def count(self, state: int) -> int:
        """Return how many chunks are in a state."""
        first = state * _PER_STATE
        sources = self.page.evaluate(_STATISTICS)
        return int(sum(s[first + tier * 3] for s in sources for tier in range(3)))

    @property
    def hosts(self) -> set[str | None]:
        """Whom the browser asked; urls that are no addresses aside."""
        urls = [urlsplit(url) for url in self.fetched]
        return {url.hostname for url in urls if url.scheme in ("http", "https", "ws", "wss")}

    @property
    def failed(self) -> int:
        """Chunks that Neuroglancer counts as failed."""
        return self.count(_FAILED)

    def screenshot(self, path: Path) -> None:
        """Save a picture, PNG."""
        self.page.screenshot(path=str(path))


@contextmanager
def open_page(link: str, prepare: Callable[[Any], object] | None = None) -> Iterator[Page]:
    """Open a Neuroglancer link in headless Chromium.

    Args:
        link: as zblocks prints it.
        prepare: what to do with Playwright's page before.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        shown = Page(page, state_of(link))
        page.on("response", lambda reply: shown.fetched.update({reply.url: reply.status}))
        page.on("requestfailed", lambda request: shown.fetched.setdefault(request.url, 0))
        if prepare:
            prepare(page)
        page.goto(link)
        page.wait_for_function("window.viewer !== undefined", timeout=SECONDS * 1000)
        yield shown
        browser.close()
