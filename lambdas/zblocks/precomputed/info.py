"""The `info` and `provenance` documents of a precomputed volume.

Format: Neuroglancer, `src/datasource/precomputed/volume.md`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypedDict

from zblocks.geometry import Box
from zblocks.planning.missing import describe_filled, planned_holes
from zblocks.planning.plan import Plan
from zblocks.planning.pyramid import Scale
from zblocks.precomputed.chunks import LABEL_BLOCK, data_encoding
from zblocks.precomputed.segment_names import FOLDER
from zblocks.precomputed.sharding import ShardingInfo, sharding_info

INFO = "info"
PROVENANCE = "provenance"


@dataclass(frozen=True, slots=True)
class Hole:
    """Chunks that were left out: a box of one scale, in its voxels, xyz."""

    scale: str
    """Its key."""
    box: Box

    @property
    def entry(self) -> dict[str, str]:
        """How provenance and report name it."""
        return {"scale": self.scale, "box": self.box.name}


def missing_holes(plan: Plan) -> tuple[Hole, ...]:
    """Return the chunks that are left out because no slice is below them, runs of whole layers."""
    return tuple(
        Hole(s.key, s.box.with_z(z0, z1)) for s in plan.scales for z0, z1 in planned_holes(plan, s)
    )


class ScaleInfo(TypedDict, total=False):
    """One entry of `scales`; sizes in voxels, resolution in nm, all xyz."""

    key: str
    size: list[int]
    resolution: list[float]
    voxel_offset: list[int]
    chunk_sizes: list[list[int]]
    encoding: str
    jpeg_quality: int
    compressed_segmentation_block_size: list[int]
    sharding: ShardingInfo


def build_info(plan: Plan) -> bytes:
    """Return the `info` of the planned volume."""
    document: dict[str, Any] = {
        "@type": "neuroglancer_multiscale_volume",
        "type": plan.volume.layer,
        "data_type": plan.volume.dtype,
        "num_channels": plan.volume.channels,
        "scales": [_scale_info(plan, scale) for scale in plan.scales],
    }
    if plan.named:
        document["segment_properties"] = FOLDER
    return json.dumps(document, indent=1).encode()


def _scale_info(plan: Plan, scale: Scale) -> ScaleInfo:
    """Return one scale's entry."""
    entry: ScaleInfo = {
        "key": scale.key,
        "size": list(scale.box.shape),
        "resolution": list(scale.resolution),
        "voxel_offset": list(scale.box.start),
        "chunk_sizes": [list(scale.chunk)],
        "encoding": plan.volume.encoding,
    }
    if plan.volume.encoding == "jpeg":
        entry["jpeg_quality"] = plan.volume.jpeg_quality
    if plan.volume.encoding == "compressed_segmentation":
        entry["compressed_segmentation_block_size"] = list(LABEL_BLOCK)
    if scale.sharding is not None:
        entry["sharding"] = sharding_info(scale.sharding, data_encoding(plan.volume))
    return entry


def build_provenance(
    plan: Plan, config: dict[str, Any], run: dict[str, Any], holes: Sequence[Hole]
) -> bytes:
    """Return the `provenance` document: cloud-volume's fields, and what this run did.

    Args:
        plan: the plan that was carried out.
        config: the user's config as it was parsed, without secrets.
        run: numbers of the run (versions, blocks, bytes, seconds).
        holes: what was left out: planned, or by the user's leave.
    """
    volume = plan.volume
    document = {
        "description": "",
        "owners": [],
        "sources": [plan.source],
        "processing": [{"method": {"task": "zblocks", "config": config, "run": run}, "by": ""}],
        "filled_slices": describe_filled(plan),
        "holes": [hole.entry for hole in holes],
        "contrast": asdict(volume.contrast) if volume.contrast else None,
        "framing": asdict(volume.framing) if volume.framing else None,
        "notes": list(plan.notes),
    }
    return json.dumps(document, indent=1).encode()
