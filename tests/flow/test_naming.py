"""Which file is which slice: lists in every format, and filters where there is none."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from tests.flow.conftest import textured, write_slice, zblocks
from tests.references import read_info, read_tensorstore

Z = (2, 0, 3)
"""Where the slices a, b and c lie; nothing lies at 1."""


@pytest.fixture
def planes(tmp_path):
    (tmp_path / "in").mkdir()
    planes = textured((3, 9, 12, 1), "uint8")
    for name, plane in zip("abc", planes, strict=True):
        write_slice(tmp_path / f"in/{name}.tif", plane)
    return planes


def assert_ordered(tmp_path, config, planes):
    done = zblocks("convert", config, "--workers", 1)
    assert done.code == 0, done.err
    info = read_info(tmp_path / "out")
    found = read_tensorstore({"driver": "file", "path": f"{tmp_path}/out/"}, info)[0]
    due = np.zeros((4, *planes.shape[1:]), np.uint8)
    due[list(Z)] = planes
    np.testing.assert_array_equal(found, due)


LISTS = {
    "pairs.txt": "a 12\nb 10\nc 13\n",
    "names.csv": 'index,"name"\n12,a.tif\n10,b.tif\n13,c.tif\n',
    "names.tsv": "Section\tz\tnote\na\t12\t\nb\t10\tx\nc\t13\t\n",
    "names.json": '["b", null, "a", "c"]',
    "objects.json": '[{"name": "a", "index": 2}, {"name": "b", "index": 0}, '
    '{"index": 3, "name": "c"}]',
    "names.csv.gz": "file,order\na,12\nb,10\nc,13\n",
    "pairs.json.gz": '[["a", 2], ["b", 0], ["c", 3]]',
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_in_a_file(tmp_path, write_config, planes, name):
    data = LISTS[name].encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert_ordered(tmp_path, write_config(sorted_filename=name, compression="none"), planes)


@pytest.mark.parametrize(
    "given",
    [
        [["a", 2], ["b", 0], [None, 1], ["c", 3]],
        [{"name": "a", "index": 2}, {"name": "b", "index": 0}, {"name": "c", "index": 3}],
        ["name,z", "a,2", "b,0", "c,3"],
        ["a 2", "b 0", "c 3"],
    ],
    ids=["pairs", "objects", "CSV", "text"],
)
def test_a_list_in_the_config(tmp_path, write_config, planes, given):
    assert_ordered(tmp_path, write_config(sorted_filename=given, compression="none"), planes)


def test_a_list_in_the_bucket(tmp_path, write_config, planes, cloud):
    for name in "abc":
        cloud.s3.upload_file(str(tmp_path / f"in/{name}.tif"), "slices", f"p/{name}.tif")
    data = gzip.compress(LISTS["names.csv"].encode())
    cloud.s3.put_object(Bucket="slices", Key="lists/names.csv.gz", Body=data)
    config = write_config(
        source="s3://slices",
        s3_prefix="p/",
        sorted_filename="lists/names.csv.gz",
        compression="none",
    )
    assert_ordered(tmp_path, config, planes)


@pytest.mark.parametrize(
    "fields",
    [
        {"filter": {"glob": "*_gray.tif"}},
        {"filter": {"regex": r"(?P<z>\d+)_gray\.tif"}},
        {"filter": {"regex": r"\d+_gray.*"}, "ext": ".tif"},
        {"s3_parts": "_gray"},
    ],
    ids=str,
)
def test_files_without_a_list(tmp_path, write_config, fields):
    (tmp_path / "in").mkdir()
    planes = textured((3, 9, 12, 1), "uint8")
    for z, plane in zip(Z, planes, strict=True):
        write_slice(tmp_path / f"in/{z + 9}_gray.tif", plane)
        write_slice(tmp_path / f"in/{z + 9}_mask.tif", plane)
    assert_ordered(tmp_path, write_config(compression="none", **fields), planes)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"filter": {"glob": "*", "regex": "x"}}, "which needs either glob or regex"),
        ({"filter": {}}, "which needs either glob or regex"),
        (
            {"filter": {"glob": "*"}, "sorted_filename": ["a 0"]},
            "filter: applies only without",
        ),
        ({"filter": {"regex": "("}}, "filter: not a valid regular expression"),
        ({"filter": {"glob": "x*"}}, "(glob x*); check the prefix"),
        ({"filter": {"regex": "x(?P<z>1)"}}, "(regex x(?P<z>1)); check the prefix"),
        ({"sorted_filename": ["name,z", "a,2", "b,x"]}, 'line 3: column "z": "x" is not a whole'),
        ({"sorted_filename": [["a", 1], "b 2"]}, "some items have an index"),
    ],
)
def test_what_can_not_be_meant_is_refused(write_config, planes, fields, words):
    done = zblocks("convert", write_config(**fields))
    assert done.code == 2
    assert words in done.err
