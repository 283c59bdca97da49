"""The config: fields, old and new, and one clear line for everything that is wrong."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zblocks.config import Config, ListLocation
from zblocks.errors import InvalidConfig
from zblocks.storage import load_credentials

SCRIPT_2019 = {
    "s3_creds_file": "./s3-creds.json",
    "s3_bucket_name_for_download": "mousebrainatlas-data",
    "sorted_filename": "MD585_sorted_filenames.txt",
    "ext": ".jpg",
    "s3_prefix": "CSHL_data_processed/MD585/prep2/",
    "s3_parts": "_prep2_gray",
    "folder_to_write_to": "./temp/prep2",
    "folder_to_convert_from": "./temp/prep2",
    "folder_to_convert_to": "./temp/prep2_precomputed",
    "s3_bucket_name_for_upload": "mousebrainatlas-jp2k",
    "s3_dir_to_write_to": "precomputed/MD585/",
    "voxel_resolution": [3680, 3680, 20000],
    "voxel_offset": [0, 0, 0],
    "overwrite": False,
}
BUCKETS = {
    "s3_bucket_name_for_download": "slices",
    "s3_bucket_name_for_upload": "volumes",
    "s3_dir_to_write_to": "brain",
    "voxel_resolution": [1, 1, 1],
}
URLS = {"source": "s3://slices/x/", "destination": "s3://volumes/y", "voxel_resolution": [1, 1, 1]}
HOME = Path("/home/me/job")


def parse(base, data, without=(), **changes):
    merged = {key: value for key, value in data.items() if key not in without}
    return Config.parse({**merged, **changes}, base=base)


def test_the_seeds_config_is_valid():
    config = Config.parse(SCRIPT_2019, base=HOME)
    assert config.source == "s3://mousebrainatlas-data"
    assert config.destination == "s3://mousebrainatlas-jp2k/precomputed/MD585"
    assert config.voxel_resolution == (3680, 3680, 20000)
    assert config.credentials_path == HOME / "s3-creds.json"
    assert config.download_folder == HOME / "temp/prep2"
    assert config.upload_folder == (HOME / "temp/prep2_precomputed").as_uri()
    assert config.candidates("MD585-N1", 7) == (
        "CSHL_data_processed/MD585/prep2/MD585-N1_prep2_gray.jpg",
    )
    assert str(config.slice_list) == (
        "/home/me/job/MD585_sorted_filenames.txt or "
        "s3://mousebrainatlas-data/MD585_sorted_filenames.txt"
    )


@pytest.mark.parametrize(
    ("fields", "skips"),
    [
        ({}, False),
        ({"damaged": "missing"}, True),
        ({"allow_partial": True}, True),
        ({"allow_partial": True, "missing": "error"}, False),
        ({"allow_partial": True, "damaged": "error"}, False),
        ({"damaged": "missing", "missing": "hole"}, True),
    ],
)
def test_damaged_slices_are_missing_if_it_says_so_or_holes_are_allowed(fields, skips):
    assert parse(None, BUCKETS, **fields).skips_damaged == skips


def test_defaults():
    config = Config.parse(BUCKETS, base=None)
    assert (config.voxel_offset, config.overwrite, config.missing) == ((0, 0, 0), False, "fill")
    assert (config.encoding, config.jpeg_quality, config.compression) == ("raw", 90, "gzip")
    assert (config.sharding, config.chunk_size, config.scales) == ("auto", "auto", "auto")
    assert (config.fill_value, config.max_concurrency, config.slice_list) == (0, 200, None)
    assert config.candidates("a", 1) == ("a.tif",)  # the default ext


def test_null_and_empty_places_count_as_left_out():
    config = parse(None, URLS, s3_bucket_name_for_download="", s3_creds_file=None, overwrite=None)
    assert config.for_cloud() == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"voxel_resolution": None}, "voxel_resolution: missing; give the size of a voxel"),
        ({"voxel_resolution": ["3680", 1, 1]}, r'voxel_resolution: found \["3680", 1, 1\]; give'),
        ({"voxel_resolution": [1, 1]}, r"voxel_resolution: found \[1, 1\]"),
        ({"voxel_resolution": [0, 1, 1]}, "voxel_resolution: found"),
        ({"voxel_resolution": [True, 1, 1]}, "voxel_resolution: found"),
        ({"voxel_resolution": [float("nan"), 1, 1]}, r"voxel_resolution: found \[NaN"),
        ({"voxel_resolution": [float("inf"), 1, 1]}, "voxel_resolution: found"),
        ({"voxel_resolution": [1e10, 1, 1]}, "voxel_resolution: found .* up to 1e9"),
        ({"voxel_resolution": 5}, "voxel_resolution: found 5; give"),
        ({"voxel_offset": [2**31, 0, 0]}, "voxel_offset: found .* within ±2147483647"),
        ({"voxel_offset": [0.5, 0, 0]}, "voxel_offset: found"),
        ({"voxel_offset": [10**400, 0, 0]}, "voxel_offset: found .*…; give"),
        ({"overwrite": "yes"}, 'overwrite: found "yes"; give true to replace'),
        ({"overwrite": 1}, "overwrite: found 1;"),
        ({"encoding": "zip"}, 'encoding: found "zip"; give "raw"'),
        ({"jpeg_quality": 0}, "jpeg_quality: found 0; give a whole number from 1 to 100"),
        ({"jpeg_quality": True}, "jpeg_quality: found true;"),
        ({"sharding": 0}, 'sharding: found 0; give "auto"'),
        ({"chunk_size": [64, 64]}, r"chunk_size: found \[64, 64\]; give"),
        ({"chunk_size": "big"}, 'chunk_size: found "big"; give "auto", or the voxels'),
        ({"chunk_size": [1, 256, 256], "encoding": "jpeg"}, "chunk_size: .* at most 65535 rows"),
        ({"scales": 0}, "scales: found 0; give"),
        ({"missing": "skip"}, 'missing: found "skip"; give "fill"'),
        ({"damaged": "skip"}, 'damaged: found "skip"; give "error"'),
        ({"damaged": "missing", "missing": "error"}, 'damaged: "missing" is for what missing says'),
        ({"fill_value": float("inf")}, "fill_value: found Infinity"),
        ({"fill_value": "0"}, 'fill_value: found "0"'),
        ({"max_concurrency": 10_001}, "max_concurrency: found 10001; .* from 1 to 10000"),
        ({"s3_prefix": "a//b"}, r's3_prefix: found "a//b", which begins with "/" or contains "//"'),
        ({"s3_prefix": "/a"}, 's3_prefix: found "/a", which begins with "/"'),
        ({"s3_prefix": "a/../b"}, r's3_prefix: .* which contains "\.\."'),
        ({"s3_parts": "a\n"}, "s3_parts: .* which contains a control character"),
        ({"s3_dir_to_write_to": "a/../b"}, "s3_dir_to_write_to: found"),
        ({"s3_dir_to_write_to": ""}, "s3_dir_to_write_to: missing; give the folder"),
        ({"ext": "jpg"}, r'ext: found "jpg", which lacks its dot, so write ".jpg"'),
        ({"s3_bucket_name_for_download": "s3://bkt/x"}, 'which is a URL, so write "bkt"'),
        (
            {"s3_bucket_name_for_upload": "Up_load"},
            "s3_bucket_name_for_upload: .* not a valid bucket",
        ),
        ({"s3_bucket_name_for_upload": "10.0.0.1"}, "is not a valid bucket name"),
        ({"s3_bucket_name_for_download": ""}, "s3_bucket_name_for_download: missing, .*source"),
        ({"s3_bucket_name_for_upload": None, "s3_dir_to_write_to": None}, "for_upload: missing"),
        ({"source": "s3://bkt/x"}, "source: given together with s3_bucket_name_for_download"),
        ({"destination": "s3://bkt/x"}, "destination: given together with s3_bucket_name_for_up"),
        ({"sorted_filename": []}, r"sorted_filename: found \[\]"),
        ({"sorted_filename": [1]}, "sorted_filename: found"),
        ({"sorted_filename": "s3://bkt"}, "sorted_filename: .* a bucket without a key"),
        (
            {"sorted_filename": "./list.txt"},
            r'found "./list.txt", a local path that can\'t be read',
        ),
        (
            {"s3_bucket_name_for_download": "volumes", "s3_prefix": "brain/slices/"},
            "destination: the slices .* are in s3://volumes/brain, where",
        ),
    ],
)
def test_each_bad_value_has_one_line_that_says_what_to_do(changes, message):
    with pytest.raises(InvalidConfig, match=message) as caught:
        parse(None, BUCKETS, **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "abs"}, 'source: found "abs", which is not an s3:// or file:/// URL'),
        ({"source": "/a b/"}, 'found "/a b/", which is a path; as a URL it is "file:///a%20b"'),
        ({"destination": "~/v"}, 'found "~/v", which is a path; as a URL it is "file:///'),
        ({"source": "file://abs"}, "needs three slashes and an absolute path"),
        ({"source": "s3://bkt/a//b"}, 'contains "//"'),
        ({"source": "s3://bkt/a#b"}, 'contains "[?]" or "#"'),
        ({"source": "s3://"}, "is not an s3:// or file:/// URL"),
        ({"destination": "s3://bkt"}, 'destination: found "s3://bkt", a whole bucket; give a fold'),
        ({"destination": "file:///"}, "a whole disk"),
        ({"destination": "s3://slices/x"}, "destination: the slices .* are in s3://slices/x"),
    ],
)
def test_bad_urls(changes, message):
    with pytest.raises(InvalidConfig, match=message):
        parse(None, URLS, **changes)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("voxel_resoluton", "voxel_resolution"),
        ("VoxelOffset", "voxel_offset"),
        ("s3_bucket_for_upload", "s3_bucket_name_for_upload"),
        ("chunksize", "chunk_size"),
        ("sorted_filenames", "sorted_filename"),
    ],
)
def test_an_unknown_field_gets_the_nearest_name(typed, meant):
    with pytest.raises(InvalidConfig, match=f'"{typed}": no such field; did you mean "{meant}"?'):
        parse(None, BUCKETS, **{typed: 1})


def test_an_unknown_field_far_from_all():
    with pytest.raises(InvalidConfig, match='"qqq": no such field; remove it'):
        parse(None, BUCKETS, qqq=1)


def test_all_problems_are_told_at_once():
    with pytest.raises(InvalidConfig) as caught:
        parse(None, BUCKETS, missing="whole", voxle_offset=1, overwrite="x", scales=-1)
    lines = str(caught.value).split("\n  ")
    assert lines[0] == "4 problems:"
    assert [line.split(":")[0].strip('"') for line in lines[1:]] == [
        "voxle_offset",
        "overwrite",
        "scales",
        "missing",
    ]


def test_source_and_destination_urls_are_normalised():
    config = parse(HOME, URLS, source="s3://slices/x//", destination="file:///a/./b/../c/")
    assert (config.source, config.destination) == ("s3://slices/x", "file:///a/c")


@pytest.mark.parametrize("typed", ["file:///a b/50%/c#d", "file:///a%20b/50%25/c%23d"])
def test_file_urls_leave_percent_coded(typed):
    config = parse(HOME, URLS, source=typed, sorted_filename=typed)
    assert config.source == "file:///a%20b/50%25/c%23d"
    assert config.slice_list == ListLocation(path=Path("/a b/50%/c#d"))


def test_local_folders_with_odd_names():
    config = parse(HOME, SCRIPT_2019, folder_to_convert_from="a b#1").folders()
    assert config.source == "file:///home/me/job/a%20b%231"
    assert config.listing_prefix == ""


def test_the_tallest_jpeg_chunk():
    config = parse(None, BUCKETS, chunk_size=[64, 255, 257], encoding="jpeg")
    assert config.chunk_size == (64, 255, 257)


def test_folders_are_used_when_no_bucket_is_given():
    config = parse(HOME, SCRIPT_2019, ("s3_bucket_name_for_download", "s3_bucket_name_for_upload"))
    assert config.source == "file:///home/me/job/temp/prep2"
    assert config.destination == "file:///home/me/job/temp/prep2_precomputed"
    assert config.candidates("a", 7)[1] == "0007_a_.jpg"  # what download writes


def test_folder_to_folder_even_with_buckets():
    config = Config.parse(SCRIPT_2019, base=HOME).folders()
    assert config.source == "file:///home/me/job/temp/prep2"
    assert config.destination == "file:///home/me/job/temp/prep2_precomputed"
    assert config.slice_list == ListLocation(path=HOME / "MD585_sorted_filenames.txt")
    assert config.is_slice("0001_a_.jpg")


def test_folder_to_folder_names_the_missing_folder():
    with pytest.raises(InvalidConfig, match="folder_to_convert_to: missing; give a local folder"):
        parse(HOME, SCRIPT_2019, ("folder_to_convert_to",)).folders()


@pytest.mark.parametrize(
    ("given", "base", "expected"),
    [
        (["a 1", "b 2"], None, ListLocation(lines=("a 1", "b 2"))),
        ("s3://other/l.txt", None, ListLocation(url="s3://other/l.txt")),
        ("lists/l.txt", None, ListLocation(url="s3://slices/lists/l.txt")),
        ("l.txt", HOME, ListLocation(path=HOME / "l.txt", url="s3://slices/l.txt")),
        ("./l.txt", HOME, ListLocation(path=HOME / "l.txt")),  # no key looks like that
        ("/data/l.txt", HOME, ListLocation(path=Path("/data/l.txt"))),
        ("file:///data/l.txt", HOME, ListLocation(path=Path("/data/l.txt"))),
    ],
)
@pytest.mark.parametrize("form", [BUCKETS, URLS])
def test_where_the_list_is(form, given, base, expected):
    assert parse(base, form, sorted_filename=given).slice_list == expected


def test_the_cloud_takes_buckets_and_notes_folders():
    config = parse(None, SCRIPT_2019, ("s3_creds_file",))
    assert [note.split(":")[0] for note in config.for_cloud()] == [
        "folder_to_write_to",
        "folder_to_convert_from",
        "folder_to_convert_to",
    ]
    assert config.slice_list == ListLocation(
        url="s3://mousebrainatlas-data/MD585_sorted_filenames.txt"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"s3_creds_file": "k.json"}, "s3_creds_file: .* remove the field: the functions' IAM rol"),
        ({"source": "file:///x"}, "source: file:///x is a local folder; give s3_bucket"),
        ({"destination": "file:///x"}, "destination: file:///x is a local folder"),
        ({"sorted_filename": "/x/l.txt"}, "sorted_filename: /x/l.txt is a local path"),
    ],
)
def test_the_cloud_refuses_what_lies_on_one_machine(changes, message):
    with pytest.raises(InvalidConfig, match=message):
        parse(None, URLS, **changes).for_cloud()


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("raw/a_gray.jpg", True),
        ("raw/a_gray.png", True),
        ("raw/a_gray.JPG", True),
        ("raw/a.jpg", False),  # not the parts
        ("raw/a_gray.txt", False),
        ("raw/sub/a_gray.jpg", False),  # not directly there
        ("raw/._a_gray.jpg", False),  # what macOS leaves
        ("other/a_gray.jpg", False),
    ],
)
def test_which_listed_keys_are_slices(key, expected):
    config = parse(None, BUCKETS, s3_prefix="raw/", s3_parts="_gray")
    assert config.is_slice(key) is expected


def test_listed_keys_with_an_ext():
    config = parse(None, BUCKETS, s3_prefix="raw", ext=".tif")
    assert [config.is_slice(f"raw/a{ext}") for ext in (".tif", ".jpg", ".tiff")] == [1, 0, 0]


def test_every_field_is_described_in_the_schema():
    properties = Config.model_json_schema()["properties"]
    assert {"$schema", "source", "destination", *SCRIPT_2019} <= set(properties)
    assert all(field["description"] for field in properties.values())


def write(folder, text):
    path = folder / "config.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_load_starts_relative_paths_at_the_files_folder(tmp_path):
    config = Config.load(write(tmp_path, "\ufeff" + json.dumps(SCRIPT_2019)))
    assert config.download_folder == tmp_path / "temp/prep2"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n "a": 1,,}', "config.json: line 2, column 9: not JSON"),
        ('{"overwrite": true, "overwrite": false}', 'config.json: "overwrite" appears twice'),
        ("[1]", r"config.json: found \[1\]; give one JSON object"),
        ("", "config.json: line 1, column 1: not JSON"),
        ("{}", "config.json: .*voxel_resolution: missing"),
        (b'{"a": "\xff"}', "config.json: byte 7 is not UTF-8"),
        ("[" * 100_000, "config.json: "),
        ('{"scales": ' + "9" * 5000 + "}", "config.json: "),
        (b" " * (10 * 2**20 + 1), "config.json: larger than 10 MB"),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, message):
    with pytest.raises(InvalidConfig, match=message):
        Config.load(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InvalidConfig, match=r"none.json: can't be read \(No such file"):
        Config.load(tmp_path / "none.json")


def test_credentials_hide_the_secret(tmp_path):
    path = write(tmp_path, '{"access_key": "AK", "secret_key": "hush", "region": "eu-west-1"}')
    credentials = load_credentials(path)
    assert (credentials.access_key, credentials.secret_key) == ("AK", "hush")
    assert credentials.region == "eu-west-1"
    assert "hush" not in repr(credentials)


@pytest.mark.parametrize(
    "text", ['{"access_key": "AK"}', '{"access_key": 5, "secret_key": "hush"}']
)
def test_bad_credentials_are_refused_without_showing_them(tmp_path, text):
    with pytest.raises(InvalidConfig, match="must have access_key and secret_key") as caught:
        load_credentials(write(tmp_path, text))
    assert "hush" not in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=6,
)
field_names = st.sampled_from([*Config.model_json_schema()["properties"]])


@given(st.dictionaries(field_names | st.text(max_size=12), json_values, max_size=8), st.booleans())
def test_any_object_is_a_config_or_an_invalid_config(changes, local):
    with contextlib.suppress(InvalidConfig):  # nothing else is let through
        config = Config.parse({**BUCKETS, **changes}, base=HOME if local else None)
        config.for_cloud()
        config.folders()


@given(json_values)
def test_any_root_is_a_config_or_an_invalid_config(data):
    with pytest.raises(InvalidConfig):
        Config.parse(data, base=None)


@given(st.lists(st.floats(1e-3, 1e9), min_size=3, max_size=3), st.integers(-(2**31) + 1, 2**31 - 1))
def test_a_config_survives_json(resolution, offset):
    config = parse(None, BUCKETS, voxel_resolution=resolution, voxel_offset=[offset, 0, -offset])
    text = config.model_dump_json(by_alias=True, exclude_unset=True)
    assert Config.parse(json.loads(text), base=None) == config
