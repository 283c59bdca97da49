"""A planned volume and its scales as JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from zblocks.geometry import ONE
from zblocks.outputs.scales import count_objects
from zblocks.planning.plan import Plan
from zblocks.planning.time import RATIO, packings
from zblocks.slices.transforms.canvas import Canvas
from zblocks.slices.transforms.contrast import Contrast


def volume_entry(plan: Plan) -> dict[str, Any]:
    """Describe the volume under the names that `zblocks plan --json` has always had."""
    voxels, rows = plan.volume.format, plan.stack.rows
    steps = {type(step): step for step in plan.stack.transforms}
    canvas, contrast = steps.get(Canvas), steps.get(Contrast)
    return {
        "formats": list(plan.formats.names),
        "dtype": voxels.dtype,
        "channels": voxels.channels,
        "encoding": voxels.encoding,
        "jpeg_quality": voxels.jpeg_quality,
        "compression": voxels.compression or "none",
        "fill": plan.missing.fill,
        "layer": plan.volume.layer,
        "slice_dtype": rows.dtype if rows.dtype != voxels.dtype else "",
        "align": canvas.align if isinstance(canvas, Canvas) else "",
        "canvas_fill": canvas.fill if isinstance(canvas, Canvas) else 0,
        "sparse": plan.sparse_labels,
        "missing": plan.missing.policy,
        "missing_in_means": plan.missing.in_means,
        "contrast": msgspec.to_builtins(contrast),
        "framing": msgspec.to_builtins(plan.region),
        "take": plan.stack.channels,
    }


def scale_rows(plan: Plan) -> list[dict[str, Any]]:
    """Return the rows of the table of scales, grouped by format."""
    rows = []
    packs = packings(plan.volume.format, plan.formats)
    for output, pack in zip(plan.outputs, packs, strict=True):
        for stored in output.scales:
            scale, group = stored.scale, stored.group
            size = scale.box.voxels * scale.format.voxel_bytes
            rows.append({
                "format": output.name,
                "key": stored.folder.partition("/")[0],
                "size": list(scale.box.shape),
                "chunk": list(scale.chunk),
                "chunks_of_a_shard": None if group == ONE else list(group),
                "chunks": scale.chunks,
                "objects": count_objects(stored, scale.box),
                "bytes": round(size * RATIO[pack]),
            })  # fmt: skip
    return rows
