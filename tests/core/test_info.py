"""`info` is read back as it was written; whatever else it holds is a ValueError, or is found."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zblocks.geometry import Box, Vec
from zblocks.precomputed.info import build_info, load_json, parse_info
from zblocks.precomputed.scale import ChunkFormat, Scale, Volume
from zblocks.precomputed.sharding import Sharding
from zblocks.verify.findings import Findings
from zblocks.verify.info import check_info

LABELS = ChunkFormat("uint32", 1, "compressed_segmentation", block=Vec(8, 8, 8))


def volume(chunk_format=LABELS, layer="segmentation"):
    def scale(factor, **shards):
        box = Box(Vec(-3, 5, 0), Vec(50, 46, 37)).coarsen(factor)
        resolution = tuple(r * f for r, f in zip((4.0, 4.5, 40.0), factor, strict=True))
        key = "_".join(map(str, factor))
        chunk = Vec(16, 16, 8)
        return Scale(key, factor, resolution, box, chunk, chunk_format, **shards)

    fine = scale(Vec(1, 1, 1), sharding=Sharding(3, 2, 4, data_encoding="gzip"))
    return Volume(layer, (fine, scale(Vec(2, 2, 1))), segment_properties="names")


@pytest.mark.parametrize(
    ("chunk_format", "layer"),
    [
        (LABELS, "segmentation"),
        (ChunkFormat("uint8", 3, "jpeg", jpeg_quality=80), "image"),
        (ChunkFormat("float32", 2, "raw"), "image"),
    ],
)
def test_what_was_written_is_read_back(chunk_format, layer):
    wanted = volume(chunk_format, layer)
    assert parse_info(load_json(build_info(wanted))) == wanted


def test_sizes_are_clipped_and_names_are_in_lower_case():
    document = json.loads(build_info(volume()))
    document |= {"type": "SEGMENTATION", "data_type": "UINT32"}
    document["scales"][0] |= {"chunk_sizes": [[64, 64, 64], [8, 8, 8], [99, 99, 99]], "key": "./a/"}
    found = parse_info(document).scales[0]
    assert (found.key, found.chunk, found.other_chunks) == ("a", (53, 41, 37), ((8, 8, 8),))
    assert found.format == LABELS


FIELDS = [
    "type", "data_type", "num_channels", "scales", "key", "size", "resolution", "voxel_offset",
    "chunk_sizes", "encoding", "compressed_segmentation_block_size", "sharding", "@type", "hash",
    "preshift_bits", "minishard_bits", "minishard_index_encoding", "data_encoding", "jpeg_quality",
]  # fmt: skip
ODD = st.sampled_from([
    None, True, 0, -1, 1, 2**53 + 1, 10**400, 0.5, 1e300, "", "raw", "RAW", "..", "/", "a/../..",
    "float64", "uint8", "jpeg", "jxl", [], {}, [1, 2], [0, 1, 1], [10**9] * 3, [2**53] * 3,
    [True] * 3, [[8, 8, 8]], [[0, 8, 8]], [["8"] * 3], [{}], ["raw"], {"@type": 1}, 64, 65, "md5",
])  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(FIELDS), ODD), min_size=1, max_size=3))
def test_odd_documents_are_refused_and_what_is_sound_can_be_read(changes):
    document = json.loads(build_info(volume()))
    scale = document["scales"][0]
    for name, value in changes:
        for place in (document, scale, scale.get("sharding")):
            if isinstance(place, dict) and name in place:
                place[name] = copy.deepcopy(value)
    found = Findings()
    checked = check_info(document, found)
    try:
        parsed = parse_info(document)
    except ValueError:
        assert checked is None
        assert found.counts
    else:
        assert checked in (parsed, None)
        assert parsed.scales[0].chunks > 0


@pytest.mark.parametrize("document", [None, [], 7, {}, {"scales": []}, {"scales": [7]}])
def test_what_is_no_document_of_a_volume_is_refused(document):
    with pytest.raises(ValueError, match="scales is"):
        parse_info(document)
