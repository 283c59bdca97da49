"""The items of the Distributed Map in an execution's stages, as it reads them."""

import json

from zblocks.storage import open_store


def items_of(state, stage=0):
    """Those of a stage: 0 is that of the blocks that are pending."""
    key = state["stages"][stage]["key"]
    prefix = state["destination"].removeprefix(f"s3://{state['bucket']}").strip("/")
    return json.loads(open_store(state["destination"]).get(key.removeprefix(prefix).lstrip("/")))


def coarse_items(state):
    """Those of all stages after the blocks."""
    return [item for k in range(1, state["stage_count"]) for item in items_of(state, k)]
