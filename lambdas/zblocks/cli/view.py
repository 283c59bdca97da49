"""`zblocks view`: the way from a place to a picture."""

from __future__ import annotations

import os
import sys
import time
import webbrowser
from contextlib import suppress
from pathlib import Path

from zblocks.api import keys_of
from zblocks.cli.output import place_of, reporting, say
from zblocks.config import Config
from zblocks.errors import InvalidConfig
from zblocks.neuroglancer import HOSTED, viewer_link
from zblocks.storage import Credentials, Store, open_public, open_store
from zblocks.view import public_access
from zblocks.view.contrast import look_at
from zblocks.view.responses import client_folder
from zblocks.view.server import serve


def print_link(location: str, config: Path | None) -> None:
    """Print the link with which anybody sees a volume in a bucket."""
    with reporting():
        print(_link(place_of(location), _keys(config)))


def show(location: str, config: Path | None, port: int, *, offline: bool, browser: bool) -> None:
    """Open a volume: by its public link, or served from here until Ctrl-C."""
    with reporting():
        place, keys = place_of(location), _keys(config)
        client = client_folder() if offline else None
        found = None if offline or place.startswith("file:") else _probe(place)
        if found and found.public and not found.problems:
            shown = viewer_link(look_at(open_public(found.address.url)), found.address.source)
            _open(shown, browser=browser)
            return
        store = _store(place, keys, found)
        with suppress(KeyboardInterrupt):
            _serve(store, client, port, browser=browser)


def _keys(config: Path | None) -> Credentials | None:
    return keys_of(Config.load(config) if config else None)


def _probe(place: str) -> public_access.Probed:
    """Ask for a volume without keys; say what keeps everybody from seeing it."""
    found = public_access.look(place)
    lines = [found.moved] if found.moved else []
    for line in (*lines, *(found.problems if found.public else ())):
        say(f"note: {line}")
    return found


def _link(place: str, keys: Credentials | None) -> str:
    """Return the link with which anybody sees a volume, once anybody may."""
    if place.startswith("file:"):
        msg = (
            f"{place}: no other machine reaches a folder, so it has no link; leave out --link to "
            "see it here, or upload it"
        )
        raise InvalidConfig(msg)
    found = _probe(place)
    if not found.public:
        say(f"note: {'; '.join(found.problems)}")
    return viewer_link(look_at(_store(place, keys, found)), found.address.source)


def _store(place: str, keys: Credentials | None, found: public_access.Probed | None) -> Store:
    """Open a volume: without keys where none are needed."""
    if found and found.public:
        return open_public(found.address.url)
    return open_public(place) if place.startswith("http") else open_store(place, keys)


def _serve(store: Store, client: Path | None, port: int, *, browser: bool) -> None:
    """Serve a volume until Ctrl-C."""
    shown = look_at(store)
    with serve(store, client, port, say) as server:
        _open(viewer_link(shown, server.source, server.viewer), browser=browser)
        if client is None:
            say(
                f"If the browser asks whether {HOSTED} may reach this device, allow it; "
                "--offline needs neither that nor the internet."
            )
        say("serving until Ctrl-C")
        while True:
            time.sleep(3600)


def _open(link: str, *, browser: bool) -> None:
    """Print a link; open it where there is a screen, and so a browser that isn't text."""
    print(link, flush=True)
    screen = sys.platform == "darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ)
    if browser and screen:
        webbrowser.open(link)
