"""From when on a run may take a lock that it finds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zblocks.errors import DestinationClaimed
from zblocks.run.hold import Hold
from zblocks.run.lock import Holder, Lock, judge
from zblocks.storage import open_store

NOW = 1_000_000.0
ARN = "arn:aws:states:us-east-1:111122223333:execution:zblocks:"
MINE = replace(Lock.of(f"{ARN}mine"), plan="p")
CLOUD = Lock(f"{ARN}other", "", 0, NOW - 5000, NOW - 30, "q")
LOCAL = Lock("", "here", 7, NOW - 5000, NOW - 30, "q")
RUNNING, UNKNOWN = Holder("running"), Holder("unknown", why="AccessDenied")


@pytest.mark.parametrize(
    ("held", "holder", "word", "at"),
    [
        (replace(CLOUD, execution=MINE.execution), RUNNING, "ours", 0),  # a redrive
        (CLOUD, RUNNING, "held", 0),
        (replace(CLOUD, plan="p"), RUNNING, "held", 0),
        (replace(CLOUD, refreshed=NOW - 9999), RUNNING, "held", 0),  # throttled for hours
        (CLOUD, Holder("ended", NOW - 5), "void later", NOW + 955),  # its functions run on
        (CLOUD, Holder("ended", NOW - 959), "void later", NOW + 1),
        (CLOUD, Holder("ended", NOW - 961), "void", 0),
        (replace(CLOUD, plan="p"), Holder("ended", NOW - 5), "void", 0),  # they write the same
        (replace(CLOUD, plan=""), Holder("ended", NOW - 5), "void later", NOW + 955),
        (CLOUD, Holder("ended"), "void later", NOW + 930),  # forgotten by AWS: its last sign
        (CLOUD, UNKNOWN, "void later", NOW + 3570),  # another account's
        (replace(CLOUD, plan="p"), UNKNOWN, "void later", NOW + 3570),  # it may be running
        (replace(CLOUD, refreshed=NOW - 3601), UNKNOWN, "void", 0),
        (LOCAL, Holder("unknown"), "void later", NOW + 3570),  # on another machine
        (LOCAL, Holder("ended"), "void later", NOW + 270),  # its workers may be ending
        (replace(LOCAL, refreshed=NOW - 301), Holder("ended"), "void", 0),
        (replace(LOCAL, refreshed=NOW + 99999), Holder("ended"), "void", 0),  # clocks jump
        (replace(LOCAL, plan="p"), Holder("ended"), "void", 0),
        (replace(LOCAL, plan=""), Holder("ended"), "void", 0),  # it had no workers yet
    ],
)
def test_when_a_lock_is_void(held, holder, word, at):
    found = judge(held, MINE, holder, NOW)
    assert (found.word, found.at) == (word, at)


def test_without_the_lock_no_write_goes_on(tmp_path):
    """Not even those of a worker's other threads, after the first was refused."""
    store = open_store(f"file://{tmp_path}")
    guarded = Hold(store, f"{ARN}mine").target
    for _ in range(2):
        with pytest.raises(DestinationClaimed, match="it was given back"):
            guarded.put_json("a", b"{}")
    assert store.head("a") is None
