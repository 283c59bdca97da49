"""Every kind of slice as every kind of volume: read back voxel by voxel, or refused by name.

All pairs of the two registries are run, none is left out. A pair is converted as `zblocks convert`
does it, and read by tensorstore, or cloud-volume where tensorstore can't.
"""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.flow.inprocess import convert, held, write_kind
from tests.formats.outputs import OUTPUTS
from tests.formats.registry import INPUTS
from tests.references import read_info
from zblocks.config import Config
from zblocks.errors import ZblocksError

CHUNK = (3, 16, 32)
"""Voxels, zyx; DEPTH, HEIGHT and WIDTH are no multiples of it."""

ADVICE = re.compile("(give|use|choose|save) ")
"""Every error says what to do."""


def fields_for(kind, output, folder):
    return {
        "source": f"file://{folder}/in",
        "destination": f"file://{folder}/{output.name.replace(' ', '-')}",
        "voxel_resolution": [4, 4, 4],
        "chunk_size": list(CHUNK[::-1]),
        "scales": 1,
        **kind.config,
        **output.config,
    }


@pytest.mark.parametrize("kind", INPUTS.values(), ids=lambda kind: kind.name)
def test_every_kind_of_slice_as_every_kind_of_volume(kind, tmp_path):
    files = write_kind(tmp_path / "in", kind)
    due = {"image": held(files, kind.read), "segmentation": held(files, kind.numbers or kind.read)}
    for output in OUTPUTS.values():
        fields = fields_for(kind, output, tmp_path)
        out = tmp_path / fields["destination"].rsplit("/", 1)[1]
        if words := output.refusal(kind):
            with pytest.raises(ZblocksError) as caught:
                convert(Config.parse(fields, base=None))
            assert words in str(caught.value), output.name
            assert ADVICE.search(str(caught.value)), caught.value
            assert not (out / "info").exists()
            continue
        convert(Config.parse(fields, base=None))
        layer, info = output.layer(kind), read_info(out)
        assert info["type"] == layer
        assert (info["data_type"], info["num_channels"]) == (
            output.dtype(kind), kind.channels_as(layer))  # fmt: skip
        assert info["scales"][0]["encoding"] == output.encoding.name
        assert ("sharding" in info["scales"][0]) == output.sharding
        (found,) = output.read(out)
        np.testing.assert_array_equal(found, output.kept(due[layer], CHUNK), err_msg=output.name)


def test_every_kind_of_volume_is_made_and_every_kind_of_slice_taken():
    """The table claims nothing that no pair above has converted."""
    made = {o.name: [k for k in INPUTS.values() if not o.refusal(k)] for o in OUTPUTS.values()}
    for output in OUTPUTS.values():
        kinds = made[output.name]
        assert bool(kinds) == output.written, output.name
        if kinds:
            assert {k.dtype for k in kinds} == set(output.encoding.dtypes)
            assert {output.layer(k) for k in kinds} == set(output.encoding.layers)
            channels = output.encoding.channels
            assert not channels or {k.channels_as(output.layer(k)) for k in kinds} == set(channels)
    assert {k.name for kinds in made.values() for k in kinds} == set(INPUTS)
