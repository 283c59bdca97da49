"""`zblocks view`: the way from a place to a picture."""

from __future__ import annotations

import os
import sys
import time
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from zblocks.api import keys_of
from zblocks.cli.command import app, errors, place_of, reporting
from zblocks.config import Config
from zblocks.errors import InvalidConfig
from zblocks.neuroglancer import HOSTED, viewer_link
from zblocks.storage import Credentials, Store, open_public, open_store
from zblocks.view import public_access
from zblocks.view.contrast import look_at
from zblocks.view.responses import client_folder
from zblocks.view.server import serve


@app.command()
def view(
    location: Annotated[
        str, typer.Argument(help="A folder, or a file:///, s3:// or http(s):// url.")
    ],
    link: Annotated[
        bool, typer.Option("--link", help="Print the link of a bucket's volume, and end.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Serve the viewer from here, too.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the link.")] = True,
    config: Annotated[
        Path | None, typer.Option(metavar="CONFIG", help="Read with this job's s3_creds_file.")
    ] = None,
) -> None:
    """Open a volume, of zblocks or of any other tool, in Neuroglancer.

    A folder, or a bucket that not everybody may read, is served to your own browser, from this
    machine and with your keys, until Ctrl-C.
    """
    with reporting():
        place = place_of(location)
        keys = keys_of(Config.load(config) if config else None)
        if link:
            print(_link(place, keys))
            return
        client = client_folder() if offline else None
        found = None if offline or place.startswith("file:") else _probe(place)
        if found and found.public and not found.problems:
            shown = viewer_link(look_at(open_public(found.address.url)), found.address.source)
            _open(shown, browser=browser)
            return
        store = _store(place, keys, found)
        with suppress(KeyboardInterrupt):
            _serve(store, client, port, browser=browser)


def _probe(place: str) -> public_access.Probed:
    """Ask for a volume without keys; say what keeps everybody from seeing it."""
    found = public_access.look(place)
    lines = [found.moved] if found.moved else []
    for line in (*lines, *(found.problems if found.public else ())):
        errors.print(f"note: {line}", markup=False)
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
        errors.print(f"note: {'; '.join(found.problems)}", markup=False)
    return viewer_link(look_at(_store(place, keys, found)), found.address.source)


def _store(place: str, keys: Credentials | None, found: public_access.Probed | None) -> Store:
    """Open a volume: without keys where none are needed."""
    if found and found.public:
        return open_public(found.address.url)
    return open_public(place) if place.startswith("http") else open_store(place, keys)


def _serve(store: Store, client: Path | None, port: int, *, browser: bool) -> None:
    """Serve a volume until Ctrl-C."""
    shown = look_at(store)
    with serve(store, client, port, lambda line: errors.print(line, markup=False)) as server:
        _open(viewer_link(shown, server.source, server.viewer), browser=browser)
        if client is None:
            errors.print(
                f"If the browser asks whether {HOSTED} may reach this device, allow it; "
                "--offline needs neither that nor the internet."
            )
        errors.print("serving until Ctrl-C")
        while True:
            time.sleep(3600)


def _open(link: str, *, browser: bool) -> None:
    """Print a link; open it where there is a screen, and so a browser that isn't text."""
    print(link, flush=True)
    screen = sys.platform == "darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ)
    if browser and screen:
        webbrowser.open(link)
