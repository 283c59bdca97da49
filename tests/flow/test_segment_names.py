"""Names of labels, from a table to the document that the viewer lists them from."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.flow.conftest import zblocks

LABELS = {"layer_type": "segmentation", "chunk_size": [16, 16, 8]}
TABLE = "id\tname\n7\tLeft thalamus\n300\tΩ, right\n"


@pytest.fixture
def labels(tmp_path):
    """Write a stack of labels."""
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(3)
    for z in range(9):
        plane = rng.choice(np.array([0, 7, 300], np.uint16), (40, 50))
        Image.fromarray(plane).save(tmp_path / f"in/s_{z}.png")
    return tmp_path


def written(folder):
    info = json.loads((folder / "out/info").read_text())
    path = folder / "out" / info["segment_properties"] / "info"
    inline = json.loads(path.read_text())["inline"]
    return dict(zip(inline["ids"], inline["properties"][0]["values"], strict=True))


NAMES = {"7": "Left thalamus", "300": "Ω, right"}


@pytest.mark.parametrize("where", ["a table", "the config"])
def test_names_are_published_with_the_volume(labels, write_config, where):
    (labels / "names.tsv").write_text(TABLE)
    names = {"a table": "names.tsv", "the config": NAMES}[where]
    config = write_config(**LABELS, segment_names=names)
    assert zblocks("convert", config).code == 0
    assert written(labels) == NAMES
    done = zblocks("verify", labels / "out", "--source", config)
    assert done.code == 0, done.out


def test_names_change_without_a_voxel_being_converted_again(labels, write_config):
    assert zblocks("convert", write_config(**LABELS)).code == 0
    assert "segment_properties" not in json.loads((labels / "out/info").read_text())
    before = {p: p.stat().st_mtime_ns for p in (labels / "out").glob("4_4_*/*")}
    assert zblocks("convert", write_config(**LABELS, segment_names={"7": "thalamus"})).code == 0
    assert written(labels) == {"7": "thalamus"}
    assert {p: p.stat().st_mtime_ns for p in (labels / "out").glob("4_4_*/*")} == before
    assert zblocks("convert", write_config(**LABELS)).code == 0
    assert "segment_properties" not in json.loads((labels / "out/info").read_text())
    assert zblocks("verify", labels / "out").code == 0


def test_a_table_in_the_bucket(labels, write_config, cloud):
    cloud.upload(labels / "in", "slices", "stack/")
    cloud.s3.put_object(Bucket="slices", Key="names.csv", Body=b"id,name\n7,thalamus\n")
    config = write_config(
        **LABELS, source="s3://slices", s3_prefix="stack/", destination="s3://volumes/v",
        segment_names="names.csv",
    )  # fmt: skip
    done = zblocks("convert", config)
    assert done.code == 0, done.err
    document = cloud.json("volumes", "v/segment_properties/info")
    assert document["inline"]["ids"] == ["7"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"segment_names": "nowhere.tsv"}, "segment_names: "),
        ({"segment_names": {"x": "a"}}, '"x" is not a label'),
        ({"segment_names": {}}, "segment_names: found {}"),
        ({"segment_names": {"1": "a"}, "layer_type": "image"}, 'layer_type is "image"'),
    ],
)
def test_what_is_no_table_ends_before_any_work(labels, write_config, fields, words):
    done = zblocks("convert", write_config(**{**LABELS, **fields}))
    assert done.code == 2
    assert words in done.err
    assert not (labels / "out").exists()


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.unlink(),
        lambda path: path.write_text("{"),
        lambda path: path.write_text(path.read_text().replace('"300"', '"x"')),
        lambda path: path.write_text(path.read_text().replace('"300"', '"7"')),
        lambda path: path.write_text(path.read_text().replace("_segment_", "_")),
        lambda path: path.write_text('{"@type": "neuroglancer_segment_properties"}'),
    ],
)
def test_verify_finds_a_table_that_is_damaged(labels, write_config, harm):
    assert zblocks("convert", write_config(**LABELS, segment_names=NAMES)).code == 0
    shutil.copytree(labels / "out", labels / "copy")
    harm(labels / "copy/segment_properties/info")
    done = zblocks("verify", labels / "copy", "--json")
    assert done.code == 1
    assert set(done.json["counts"]) == {"segment-properties"}
