"""`zblocks view`: open a volume in Neuroglancer, from here if need be."""

from __future__ import annotations

import os
import signal
import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path

from zblocks.cli.output import place_of, reporting, say
from zblocks.config import Config
from zblocks.errors import InvalidConfig
from zblocks.neuroglancer import HOSTED, ViewedVolume, viewer_link
from zblocks.omezarr.array import DOCUMENT
from zblocks.outputs.volumes import named_folders
from zblocks.planning.stores import access_of
from zblocks.precomputed.info import INFO, folders_of, load_json, read_bytes
from zblocks.storage import Access, Store, open_public, open_store
from zblocks.view.access_rules import Address, policy_fix
from zblocks.view.contrast import read_viewed_volume
from zblocks.view.public_access import PublicAccess, check_public_access


@dataclass(frozen=True, slots=True)
class AccessOptions:
    """How the user says that a bucket is to be read."""

    config: Path | None
    requester_pays: bool

    def load(self) -> Access:
        """Read the config, if any."""
        config = Config.load(self.config) if self.config else None
        return access_of(config, requester_pays=self.requester_pays)


def print_link(location: str, options: AccessOptions) -> None:
    """Print the link with which anybody sees a volume in a bucket."""
    with reporting(stopped="stopped"):
        print(_link(place_of(location), options.load()))


def show(location: str, options: AccessOptions, port: int, *, offline: bool, browser: bool) -> None:
    """Open a volume: by its public link, or served from here until Ctrl-C or SIGTERM."""
    with reporting(stopped="stopped"):
        place, access = place_of(location), options.load()
        found = None if offline or place.startswith("file:") else _look(place)
        store = _store(place, access, found)
        shown = read_viewed_volume(store, place)
        if found:
            _say_problems(found)
        if found and found.public and not found.problems:
            _open(viewer_link(shown, found.address.source), browser=browser)
        else:
            _serve(store, shown, port, offline=offline, browser=browser)


def _say_problems(found: PublicAccess) -> None:
    """Print the problems of public access to a volume, unless it isn't public at all."""
    lines = [found.moved] if found.moved else []
    for line in (*lines, *(found.problems if found.public else ())):
        say(f"note: {line}")


def _link(place: str, access: Access) -> str:
    """Return the link that works for everybody once the volume is publicly readable."""
    if place.startswith("file:"):
        msg = (
            f"{place}: a folder has no link, since other machines can't read it; omit --link to "
            "view it here, or upload it"
        )
        raise InvalidConfig(msg)
    found = _look(place)
    store = _store(place, access, found)
    shown = read_viewed_volume(store, place)
    _say_problems(found)
    if not found.public:
        say(f"note: {'; '.join((*found.problems, *_policy(found.address, store)))}")
    return viewer_link(shown, found.address.source)


def _look(place: str) -> PublicAccess:
    """Look whether a volume can be read without credentials, in either format."""
    found = check_public_access(place)
    image = found if found.public else check_public_access(place, DOCUMENT)
    return image if image.public else found


def _policy(address: Address, store: Store) -> tuple[str, ...]:
    """Return how to make a volume public, if it is in a bucket."""
    if not address.bucket:
        return ()
    if store.head(INFO):
        return (policy_fix(address, INFO, folders_of(load_json(read_bytes(store, INFO)))),)
    document = load_json(read_bytes(store, DOCUMENT))
    return (policy_fix(address, DOCUMENT, named_folders(document)),)


def _store(place: str, access: Access, found: PublicAccess | None) -> Store:
    """Open a volume, without credentials if it is publicly readable."""
    if found and found.public:
        return open_public(found.address.url)
    return open_public(place) if place.startswith("http") else open_store(place, access)


def _serve(store: Store, shown: ViewedVolume, port: int, *, offline: bool, browser: bool) -> None:
    from zblocks.view.server import client_folder, serve

    client = client_folder() if offline else None
    stop, how = _stop_requests()
    with serve(store, client, port, say) as server:
        _open(viewer_link(shown, server.source, server.viewer), browser=browser)
        if client is None:
            say(
                f"If the browser asks whether {HOSTED} may access this device, allow it; "
                "--offline needs neither this permission nor the internet."
            )
        say(f"serving until {how}")
        os.read(stop, 1)


def _stop_requests() -> tuple[int, str]:
    """Return a file descriptor that Ctrl-C and SIGTERM write to, and how to stop the command.

    They raise nothing: an exception in the middle of an import would block the server's thread.
    """
    read, write = os.pipe()
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # in the background of a script
    for number in (signal.SIGTERM,) if ignored else (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os.write(write, b"."))
    return read, f"kill {os.getpid()} (Ctrl-C is ignored here)" if ignored else "Ctrl-C"


def _open(link: str, *, browser: bool) -> None:
    """Print a link; open it if there is a screen, so that no text browser starts."""
    print(link, flush=True)
    screen = sys.platform == "darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ)
    if browser and screen:
        webbrowser.open(link)
