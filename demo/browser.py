"""The real Neuroglancer in a headless Chromium: what does a person see, and what was fetched?

The client is the one that PyPI's `neuroglancer` ships; its small server runs on the loopback.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import neuroglancer

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


def find_chromium() -> str | None:
    """Return the path of a Chromium, if there is one."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def local_viewer(link: str) -> neuroglancer.Viewer:
    """Return a viewer on the loopback that shows what a link shows; str() is its url."""
    neuroglancer.set_server_bind_address("127.0.0.1")
    viewer = neuroglancer.Viewer()
    viewer.set_state(state_of(link))
    return viewer


def state_of(link: str) -> dict[str, Any]:
    """Return the state that a Neuroglancer link carries."""
    state: dict[str, Any] = json.loads(unquote(link.split("#!", 1)[1]))
    return state


@dataclass
class Page:
    """A Neuroglancer in a browser."""

    viewer: neuroglancer.Viewer
    page: Any
    fetched: dict[str, int] = field(default_factory=dict)
    """HTTP status by url, of everything that was asked of the volume's server."""

    def show(self, **changes: Any) -> None:
        """Change the view (fields of the viewer's state) and wait until it is drawn.

        Raises:
            TimeoutError: chunks are still on their way after a while.
        """
        state = copy.deepcopy(self.viewer.state.to_json()) | changes
        self.viewer.set_state(state)
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
    def failed(self) -> int:
        """Chunks that Neuroglancer counts as failed."""
        return self.count(_FAILED)

    def screenshot(self, path: Path) -> None:
        """Save a picture, PNG."""
        self.page.screenshot(path=str(path))


@contextmanager
def open_page(link: str, volume: str) -> Iterator[Page]:
    """Open a Neuroglancer link in headless Chromium.

    Args:
        link: as zblocks prints it.
        volume: the beginning of every url of the volume, to note what is fetched.
    """
    from playwright.sync_api import sync_playwright

    viewer = local_viewer(link)
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        shown = Page(viewer, page)

        def note(response: Any) -> None:
            if response.url.startswith(volume):
                shown.fetched[response.url] = response.status

        page.on("response", note)
        page.goto(str(viewer))
        page.wait_for_function("window.viewer !== undefined", timeout=SECONDS * 1000)
        yield shown
        browser.close()
    neuroglancer.stop()
