"""`zblocks verify`: volumes of four tools pass, and a volume is held against its slices."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import tensorstore
from typer.main import get_command

from tests.flow.conftest import textured, write_stack, zblocks
from zblocks.cli import app

COMMAND = get_command(app)

SHAPE = (37, 41, 53)
"""z, y, x: no axis is a multiple of a chunk."""


def verify(*arguments):
    """Run the command in this process; its exit code and its JSON."""
    said = io.StringIO()
    with redirect_stdout(said), pytest.raises(SystemExit) as ended:
        COMMAND.main(["verify", *map(str, arguments), "--json"])
    document = json.loads(said.getvalue()) if said.getvalue().startswith("{") else {}
    return ended.value.code or 0, document


def assert_sound(*arguments):
    code, found = verify(*arguments)
    assert (code, found["problems"]) == (0, [])
    return found


def smooth(shape, dtype):
    """Return voxels without the noise that no JPEG keeps."""
    z, y, x, c = np.indices(shape)
    return (127 + 60 * np.sin(x / 15 + c) + 40 * np.cos(y / 11) + z / 4).astype(dtype)


OURS = {
    "gzip": {},
    "raw": {"compression": "none"},
    "jpeg": {"encoding": "jpeg"},
    "sharded": {"sharding": True},
    "sharded raw": {"sharding": True, "compression": "none"},
    "offset": {"voxel_offset": [-5, 3, 7], "sharding": True},
    "offset unsharded": {"voxel_offset": [-5, 3, -7]},
}


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_zblocks_wrote_is_sound_and_equals_its_slices(tmp_path, write_config, name, channels):
    voxels = smooth if name == "jpeg" else textured
    write_stack(tmp_path / "in", voxels((*SHAPE, channels), "uint8"))
    config = write_config(chunk_size=[16, 16, 8], voxel_resolution=[4, 4, 4], **OURS[name])
    assert zblocks("convert", config).code == 0
    found = assert_sound(tmp_path / "out", "--source", config)
    assert found["checked"]["voxels compared with the slices"] == np.prod(SHAPE)
    assert found["checked"]["voxels compared with the finer scale"] > np.prod(SHAPE) // 10
    assert found["checked"]["receipted objects"] > 0


def noise(shape, dtype):
    """Return voxels that JPEG changes most."""
    return np.random.default_rng(0).integers(0, 256, shape).astype(dtype)


@pytest.mark.parametrize(
    ("voxels", "channels", "quality"),
    [(noise, 1, 1), (noise, 3, 3), (noise, 3, 10), (noise, 1, 30), (noise, 3, 75), (smooth, 1, 20)],
)
def test_jpeg_of_any_quality_is_sound(tmp_path, write_config, voxels, channels, quality):
    write_stack(tmp_path / "in", voxels((*SHAPE, channels), "uint8"))
    config = write_config(
        chunk_size=[16, 16, 8], voxel_resolution=[4, 4, 4], encoding="jpeg", jpeg_quality=quality
    )
    assert zblocks("convert", config).code == 0
    found = assert_sound(tmp_path / "out", "--source", config)
    assert found["checked"]["voxels compared with the slices"] == np.prod(SHAPE)


def test_jpeg_of_scales_that_no_block_owns_is_sound(tmp_path, write_config):
    write_stack(tmp_path / "in", noise((150, 40, 50, 1), "uint8"))
    fields = {"encoding": "jpeg", "jpeg_quality": 20, "chunk_size": [32, 32, 32]}
    config = write_config(voxel_resolution=[4, 4, 4], **fields)
    assert zblocks("convert", config).code == 0
    assert json.loads((tmp_path / "out" / ".zblocks" / "plan.json").read_text())["coarse_stages"]
    assert_sound(tmp_path / "out", "--source", config)


@pytest.mark.parametrize("voxels", [noise, smooth])
@pytest.mark.parametrize("to", ["0-16_0-16_0-8", "16-32_16-32_8-16"])
def test_jpeg_of_other_voxels_is_noticed(tmp_path, write_config, voxels, to):
    write_stack(tmp_path / "in", voxels((*SHAPE, 1), "uint8"))
    config = write_config(
        chunk_size=[16, 16, 8], voxel_resolution=[4, 4, 4], encoding="jpeg", jpeg_quality=30
    )
    assert zblocks("convert", config).code == 0
    shutil.rmtree(tmp_path / "out" / ".zblocks" / "receipts")
    fine, coarse = tmp_path / "out" / "4_4_4", tmp_path / "out" / "8_8_8"
    for folder, other in ((fine, "32-48_0-16_8-16"), (coarse, "0-16_0-16_8-16")):
        if (folder / to).exists():
            (folder / to).write_bytes((folder / other).read_bytes())
    code, found = verify(tmp_path / "out", "--source", config)
    assert code == 1
    places = {(p["kind"], p["place"]) for p in found["problems"]}
    assert ("source-differs", f"4_4_4/{to}") in places
    if (coarse / to).exists():
        assert ("scale-differs", f"8_8_8/{to}") in places


@pytest.mark.parametrize("sharding", [False, True])
def test_a_volume_in_a_bucket(tmp_path, write_config, cloud, sharding):
    write_stack(tmp_path / "in", textured((*SHAPE, 1), "uint16"), ".tif")
    place = "s3://volumes/v"
    config = write_config(destination=place, chunk_size=[16, 16, 8], sharding=sharding)
    assert zblocks("convert", config).code == 0
    assert_sound(place, "--source", config)


def test_other_slices_are_noticed_and_a_sample_may_do(tmp_path, write_config):
    write_stack(tmp_path / "in", textured((*SHAPE, 1), "uint8"))
    config = write_config(chunk_size=[16, 16, 8])
    assert zblocks("convert", config).code == 0
    found = assert_sound(tmp_path / "out", "--source", config, "--sample", 5, "--seed", 3)
    assert (found["sample"], found["seed"]) == (5, 3)
    assert 0 < found["checked"]["voxels compared with the slices"] <= 5 * 16 * 16 * 8
    shutil.copy(tmp_path / "in" / "s_020.png", tmp_path / "in" / "s_021.png")
    code, found = verify(tmp_path / "out", "--source", config)
    assert code == 1
    assert {p["kind"] for p in found["problems"]} == {"source-differs"}
    assert {p["place"].rpartition("_")[2] for p in found["problems"]} == {"16-24"}
    assert found["checked"]["voxels compared with the slices"] == np.prod(SHAPE)


def test_a_shorter_stack_is_noticed(tmp_path, write_config):
    write_stack(tmp_path / "in", textured((*SHAPE, 1), "uint8"))
    config = write_config()
    assert zblocks("convert", config).code == 0
    (tmp_path / "in" / "s_036.png").unlink()
    code, found = verify(tmp_path / "out", "--source", config)
    assert (code, list(found["counts"])) == (1, ["source-size"])


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"voxel_resolution": [4, 4, 41]}, "source-resolution"),
        ({"voxel_resolution": [8, 8, 80]}, "source-resolution"),
        ({"voxel_offset": [0, 0, 1]}, "source-offset"),
        ({"layer_type": "segmentation"}, "source-type"),
    ],
)
def test_a_config_of_another_volume_is_noticed(tmp_path, write_config, fields, kind):
    write_stack(tmp_path / "in", textured((*SHAPE, 1), "uint8"))
    assert zblocks("convert", write_config(chunk_size=[16, 16, 8])).code == 0
    other = write_config(chunk_size=[16, 16, 8], **fields)
    code, found = verify(tmp_path / "out", "--source", other)
    assert code == 1
    assert kind in found["counts"]


def test_a_chunk_that_is_left_out_must_be_zeros(tmp_path, write_config):
    voxels = textured((*SHAPE, 1), "uint8") | 1
    voxels[8:16, :16, :16] = 0
    write_stack(tmp_path / "in", voxels)
    config = write_config(chunk_size=[16, 16, 8], scales=1)
    write_tensorstore(tmp_path / "out", voxels.transpose(2, 1, 0, 3))
    options = (tmp_path / "out", "--source", config)
    found = assert_sound(*options, "--allow-holes")
    assert found["checked"]["holes"] == 1
    assert verify(*options)[1]["counts"] == {"missing-chunk": 1}
    layer = list((tmp_path / "out" / "4_4_40").glob("*_16-24"))
    for path in layer:
        path.unlink()
    code, found = verify(*options, "--allow-holes")
    assert (code, found["counts"]) == (1, {"missing-chunk": len(layer)})
    assert found["checked"]["holes"] == len(layer) + 1


def test_a_coarse_layer_that_is_left_out_must_be_zeros(tmp_path, write_config):
    write_stack(tmp_path / "in", textured((*SHAPE, 1), "uint8") | 1)
    config = write_config(chunk_size=[16, 16, 8], voxel_resolution=[4, 4, 4])
    assert zblocks("convert", config).code == 0
    for path in (tmp_path / "out" / "8_8_8").glob("*_8-16.gz"):
        path.unlink()
    code, found = verify(tmp_path / "out", "--allow-holes")
    assert code == 1
    missing = {p["place"] for p in found["problems"] if p["kind"] == "missing-chunk"}
    assert missing == {f"8_8_8/{x}_{y}_8-16" for x in ("0-16", "16-27") for y in ("0-16", "16-21")}


def test_numbers_of_each_scale(tmp_path, write_config):
    write_stack(tmp_path / "in", textured((*SHAPE, 1), "uint8"))
    config = write_config(chunk_size=[16, 16, 8], voxel_resolution=[4, 4, 4])
    assert zblocks("convert", config).code == 0
    (tmp_path / "out" / "4_4_4" / "0-16_0-16_0-8.gz").unlink()
    _, found = verify(tmp_path / "out", "--source", config, "--allow-holes")
    scale = found["scales"]["4_4_4"]
    assert scale["chunks expected"] == 4 * 3 * 5
    assert (scale["chunks"], scale["holes"]) == (4 * 3 * 5 - 1, 1)
    assert scale["voxels"] == np.prod(SHAPE) - 16 * 16 * 8
    assert scale["voxels compared with the slices"] == np.prod(SHAPE)
    files = (tmp_path / "out" / "4_4_4").iterdir()
    assert scale["bytes"] == sum(p.stat().st_size for p in files)
    assert found["scales"]["8_8_8"]["voxels compared with the finer scale"] == 19 * 21 * 27
    keys = ["4_4_4", "8_8_8", "16_16_16", "32_32_32"]
    assert [k for k in found["scales"] if k in keys] == keys[: len(found["scales"])]


def test_declared_holes_are_explained_and_others_are_not(tmp_path, write_config):
    write_stack(tmp_path / "in", textured((150, 40, 50, 1), "uint8"))
    bad = tmp_path / "in" / "s_100.png"
    bad.write_bytes(bad.read_bytes()[:-300])
    config = write_config(allow_partial=True, damaged="error", chunk_size=[32, 32, 32])
    assert zblocks("convert", config).code == 0
    found = assert_sound(tmp_path / "out")
    assert found["checked"]["declared holes"] > 0
    next((tmp_path / "out" / "4_4_40").glob("*_0-32.gz")).unlink()
    code, found = verify(tmp_path / "out")
    assert code == 1
    assert found["counts"]["missing-chunk"] == 1
    assert "holes" not in found["checked"]


@pytest.mark.parametrize(("place", "words"), [("nowhere", "there is no volume"), ("ftp://x", "no")])
def test_what_could_not_be_checked_ends_with_2(tmp_path, place, words):
    done = zblocks("verify", tmp_path / place if "://" not in place else place)
    assert done.code == 2
    assert words in done.err


def test_people_get_a_summary(tmp_path, write_config):
    write_stack(tmp_path / "in", textured((*SHAPE, 1), "uint8"))
    assert zblocks("convert", write_config(chunk_size=[16, 16, 8])).code == 0
    done = zblocks("verify", tmp_path / "out")
    assert done.code == 0
    assert ": sound" in done.out
    for chunk in sorted((tmp_path / "out" / "4_4_40").iterdir())[:5]:
        chunk.unlink()
    done = zblocks("verify", tmp_path / "out")
    assert done.code == 1
    assert "missing-chunk: 5" in done.out
    assert "and 2 more" in done.out
    assert "NOT SOUND" in done.out


# --- other tools' volumes


def write_tensorstore(path: Path, data: np.ndarray, *, layer="image", **scale):
    """Write (x, y, z, c) with tensorstore."""
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{path}/"},
        "multiscale_metadata": {
            "type": layer,
            "data_type": str(data.dtype),
            "num_channels": data.shape[3],
        },
        "scale_metadata": {
            "size": list(data.shape[:3]),
            "resolution": [4, 4, 40],
            "chunk_size": [16, 16, 8],
            "encoding": "raw",
            **scale,
        },
    }
    store = tensorstore.open(spec, create=True).result()
    with tensorstore.Transaction() as transaction:  # a shard is written whole
        store.with_transaction(transaction)[...] = data


def labels(dtype):
    rng = np.random.default_rng(1)
    coarse = rng.integers(1, 9, (7, 6, 5, 1)).astype(dtype)
    return np.kron(coarse, np.ones((8, 7, 8, 1), dtype))[:53, :41, :37]


def sharding(kind, minishard, packing="gzip"):
    return {
        "sharding": {
            "@type": "neuroglancer_uint64_sharded_v1",
            "preshift_bits": 1,
            "hash": kind,
            "minishard_bits": minishard,
            "shard_bits": 3,
            "minishard_index_encoding": packing,
            "data_encoding": packing,
        }
    }


TENSORSTORE = {
    "raw": ("image", "uint8", 1, {}),
    "raw, 3 channels of float": ("image", "float32", 3, {}),
    "offset": ("image", "int16", 1, {"voxel_offset": [-3, 5, 100]}),
    "jpeg": ("image", "uint8", 3, {"encoding": "jpeg"}),
    "png": ("image", "uint16", 1, {"encoding": "png"}),
    "compressed_segmentation": (
        "segmentation",
        "uint64",
        1,
        {
            "encoding": "compressed_segmentation",
            "compressed_segmentation_block_size": [8, 8, 8],
        },
    ),
    "shards by identity": ("image", "uint8", 1, sharding("identity", 2)),
    "shards by murmurhash": ("image", "uint8", 1, sharding("murmurhash3_x86_128", 2)),
    "shards, raw inside": ("image", "uint8", 1, sharding("murmurhash3_x86_128", 0, "raw")),
}


@pytest.mark.parametrize("name", TENSORSTORE)
def test_what_tensorstore_wrote_is_sound(tmp_path, name):
    layer, dtype, channels, scale = TENSORSTORE[name]
    voxels = textured((*SHAPE, channels), "uint8").transpose(2, 1, 0, 3).astype(dtype) + 1
    data = labels(dtype) if layer == "segmentation" else voxels.astype(dtype)
    write_tensorstore(tmp_path / "v", data, layer=layer, **scale)
    found = assert_sound(tmp_path / "v")
    assert found["checked"]["voxels"] == np.prod(data.shape[:3])


@pytest.mark.parametrize("scale", [{}, sharding("murmurhash3_x86_128", 2)])
def test_chunks_that_tensorstore_leaves_out_are_holes(tmp_path, scale):
    data = np.zeros((53, 41, 37, 1), np.uint8)
    data[:20, :20, :9] = 7
    write_tensorstore(tmp_path / "v", data, **scale)
    code, found = verify(tmp_path / "v")
    assert code == 1
    assert set(found["counts"]) == {"missing-chunk"}
    found = assert_sound(tmp_path / "v", "--allow-holes")
    assert found["checked"]["holes"] > 10


CLOUD_VOLUME = {
    "gzip": ("image", "uint8", "raw", "gzip"),
    "brotli": ("image", "uint8", "raw", "br"),
    "plain": ("image", "uint16", "raw", False),
    "jpeg": ("image", "uint8", "jpeg", False),
    "labels": ("segmentation", "uint64", "compressed_segmentation", "gzip"),
    "compresso": ("segmentation", "uint32", "compresso", "gzip"),
}


@pytest.mark.parametrize("name", CLOUD_VOLUME)
def test_what_cloud_volume_wrote_is_sound(tmp_path, name):
    from cloudvolume import CloudVolume

    layer, dtype, encoding, compress = CLOUD_VOLUME[name]
    if layer == "segmentation":
        data = labels(dtype)
    else:
        data = textured((*SHAPE, 1), dtype).transpose(2, 1, 0, 3)
    info = CloudVolume.create_new_info(
        1, layer, dtype, encoding, [4, 4, 40], [-3, 0, 9], [53, 41, 37], chunk_size=[16, 16, 8],
        compressed_segmentation_block_size=[8, 8, 8],
    )  # fmt: skip
    volume = CloudVolume(
        f"precomputed://file://{tmp_path}/v", info=info, compress=compress, progress=False,
        non_aligned_writes=True,
    )  # fmt: skip
    volume.commit_info()
    volume.commit_provenance()
    volume[:, :, :] = data
    found = assert_sound(tmp_path / "v")
    assert found["checked"]["voxels"] == np.prod(SHAPE)


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
@pytest.mark.parametrize("hash_name", ["identity", "murmurhash3_x86_128"])
def test_shards_that_cloud_volume_wrote_are_sound(tmp_path, encoding, hash_name):
    from cloudvolume import Bbox, CloudVolume
    from cloudvolume.datasource.precomputed.sharding import ShardingSpecification

    info = CloudVolume.create_new_info(
        1, "image", "uint8", encoding, [4, 4, 40], [-3, 0, 9], [53, 41, 37], chunk_size=[16, 16, 8]
    )
    bits = (9, 1, 0) if hash_name == "identity" else (1, 2, 2)
    spec = ShardingSpecification(
        "neuroglancer_uint64_sharded_v1", bits[0], hash_name, bits[1], bits[2],
        minishard_index_encoding="gzip", data_encoding="gzip" if encoding == "raw" else "raw",
    )  # fmt: skip
    info["scales"][0]["sharding"] = spec.to_dict()
    volume = CloudVolume(f"precomputed://file://{tmp_path}/v", info=info, progress=False)
    volume.commit_info()
    data = textured((*SHAPE, 1), "uint8").transpose(2, 1, 0, 3)
    box = Bbox([-3, 0, 9], [50, 41, 46])
    one = ShardingSpecification("neuroglancer_uint64_sharded_v1", 9, "identity", 0, 0)
    chunks = volume.image.make_shard_chunks(data, box, mip=0, spec=one)
    folder = tmp_path / "v" / "4_4_40"
    folder.mkdir(exist_ok=True)
    for name, shard in spec.synthesize_shards(chunks, progress=False).items():
        (folder / name).write_bytes(shard)
    found = assert_sound(tmp_path / "v")
    assert found["checked"]["voxels"] == np.prod(SHAPE)
    assert found["checked"]["shards"] == len(list(folder.iterdir()))


def test_what_neuroglancer_scripts_wrote_is_sound(tmp_path):
    write_stack(tmp_path / "in", textured((*SHAPE, 1), "uint8"))
    out = tmp_path / "v"
    out.mkdir()
    scale = {"size": [53, 41, 37], "resolution": [4000] * 3, "voxel_offset": [0, 0, 0]}
    full = {"type": "image", "data_type": "uint8", "num_channels": 1}
    (out / "full.json").write_text(json.dumps({**full, "scales": [{**scale, "encoding": "raw"}]}))
    tools = Path(sys.executable).parent
    for line in (
        ["generate-scales-info", out / "full.json", out, "--target-chunk-size", "16"],
        ["slices-to-precomputed", "--flat", "--input-orientation", "RAS", tmp_path / "in", out],
        ["compute-scales", "--flat", out],
    ):
        subprocess.run([tools / line[0], *line[1:]], check=True, capture_output=True)
    found = assert_sound(out)
    assert found["checked"]["chunks"] > 20
    assert any("not made by zblocks" in note for note in found["notes"])
