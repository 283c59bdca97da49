"""Files that hold more planes than directories: read whole, or refused by name before any work."""

from __future__ import annotations

import io
import json
import os
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.field.tiffs import tiff
from tests.flow.inprocess import convert, read, start
from zblocks.config import Config
from zblocks.errors import SliceError

VOLUME = np.arange(12 * 40 * 50, dtype=np.uint16).reshape(12, 40, 50)
RGB = np.arange(5 * 24 * 30 * 3, dtype=np.uint32).reshape(5, 24, 30, 3).astype(np.uint8)


def text(words: str) -> dict:
    return {270: (2, words.encode() + b"\0")}


def imagej(*lines: str) -> dict:
    return text("\n".join(["ImageJ=1.53t", *lines, ""]))


IMAGES = imagej("images=12", "slices=12", "loop=false")
SHAPE = json.dumps({"shape": [12, 40, 50]})


def written(*arrays, **options) -> bytes:
    """Return what tifffile writes of arrays, one after the other."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file, **options.pop("file", {})) as writer:
        for array in arrays:
            writer.write(array, **{"photometric": "minisblack", **options})
    return file.getvalue()


def nih(planes: int) -> dict:
    header = bytearray(300)
    header[:8] = b"IPICIMAG"
    struct.pack_into(">h", header, 260, planes)
    return {43314: (7, bytes(header))}


def cut_strips(volume: np.ndarray) -> bytes:
    """Return SGI's kind: the strips of all planes in one directory, each compressed."""
    import zlib

    packed = [zlib.compress(p[y : y + 16].tobytes()) for p in volume for y in (0, 16, 32)]
    more = {
        259: (3, [8]), 278: (4, [16]), 273: (4, [0] * len(packed)),
        279: (4, [len(p) for p in packed]), 32997: (4, [len(volume)]),
    }  # fmt: skip
    begin = len(tiff(volume[:1], more)) - volume[0].nbytes
    starts = np.cumsum([begin, *map(len, packed[:-1])]).tolist()
    return tiff(volume[:1], {**more, 273: (4, starts)})[:begin] + b"".join(packed)


WHOLE = {
    "ImageJ, big-endian": tiff(VOLUME, IMAGES, order=">"),
    "ImageJ, little-endian": tiff(VOLUME, IMAGES),
    "ImageJ without slices": tiff(VOLUME, imagej("images=12")),
    "ImageJ, followed by its own data": tiff(VOLUME, IMAGES, after=bytes(range(256)) * 40),
    "ImageJ in strips": tiff(VOLUME, IMAGES, strips=5),
    "ImageJ in a BigTIFF": tiff(VOLUME, IMAGES, big=True),
    "tifffile, truncated": written(VOLUME, truncate=True),
    "tifffile, truncated BigTIFF": written(VOLUME, truncate=True, file={"bigtiff": True}),
    "tifffile's old description": tiff(VOLUME, text("shape=(12, 40, 50)")),
    "MetaMorph": tiff(VOLUME, {33628: (4, [0] * 4), 33629: (5, [7] * 24)}),
    "NIH Image": tiff(VOLUME, nih(12), order=">"),
    "SGI, one strip": tiff(VOLUME, {32997: (4, [12]), 279: (4, [VOLUME.nbytes])}),
    "SGI, strips of every plane": cut_strips(VOLUME),
    "nothing says so": tiff(VOLUME),
    "nothing says so, and 10 bytes follow": tiff(VOLUME, after=b"the end ok"),
    "one image is stated": tiff(VOLUME, imagej("images=1"), strips=3),
}


def write(folder, data: bytes, **fields) -> Config:
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in/stack.tif").write_bytes(data)
    document = {"voxel_resolution": [1000] * 3, "compression": "none", "sharding": False}
    places = {"folder_to_convert_from": f"{folder}/in", "folder_to_convert_to": f"{folder}/out"}
    return Config.parse(document | places | fields, base=None)


@pytest.mark.parametrize("name", WHOLE)
def test_all_planes_are_read_where_all_are_asked_for(name, tmp_path):
    data = WHOLE[name]
    with pytest.raises(SliceError, match='this TIFF has 12 pages; give "page"'):
        start(write(tmp_path, data))
    convert(write(tmp_path, data, page="all"))
    np.testing.assert_array_equal(read(tmp_path / "out")[1][..., 0], VOLUME)


@pytest.mark.parametrize("name", ["ImageJ in strips", "SGI, strips of every plane"])
@pytest.mark.parametrize("rows", [None, 16])
def test_one_plane_of_many(name, rows, tmp_path):
    """By its number; in strips of rows, too, as in a worker too small for whole slices."""
    convert(write(tmp_path, WHOLE[name], page=7), rows)
    np.testing.assert_array_equal(read(tmp_path / "out")[1][0, ..., 0], VOLUME[7])


def test_planes_of_rgb_and_of_separate_channels(tmp_path):
    convert(write(tmp_path, tiff(RGB, imagej("images=5")), page="all"))
    np.testing.assert_array_equal(read(tmp_path / "out")[1], RGB)
    (tmp_path / "apart").mkdir()
    apart = np.ascontiguousarray(RGB.transpose(0, 3, 1, 2))
    data = written(apart, truncate=True, photometric="rgb", planarconfig="separate")
    convert(write(tmp_path / "apart", data, page="all"))
    np.testing.assert_array_equal(read(tmp_path / "apart/out")[1], RGB)


def test_planes_of_several_files_follow_each_other(tmp_path):
    config = write(tmp_path, tiff(VOLUME[:5], imagej("images=5")), page="all")
    (tmp_path / "in/stack2.tif").write_bytes(written(VOLUME[5:8]))
    (tmp_path / "in/stack3.tif").write_bytes(tiff(VOLUME[8:], nih(4), order=">"))
    convert(config)
    np.testing.assert_array_equal(read(tmp_path / "out")[1][..., 0], VOLUME)


@pytest.mark.parametrize("order", [1, -1])
def test_pages_in_any_place_are_whole(order, tmp_path):
    """The pixels of the first page may be the last in the file."""
    data = bytearray(written(VOLUME, metadata=None))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        places = [page.tags[273] for page in file.pages]
        starts = [tag.value[0] for tag in places]
    for tag, at in zip(places, starts[::order], strict=True):
        struct.pack_into("<I", data, tag.valueoffset, at)
    convert(write(tmp_path, bytes(data), page="all"))
    np.testing.assert_array_equal(read(tmp_path / "out")[1][..., 0], VOLUME[::order])
    (tmp_path / "pillow").mkdir()
    convert(write(tmp_path / "pillow", by_pillow(VOLUME), page="all"))
    np.testing.assert_array_equal(read(tmp_path / "pillow/out")[1][..., 0], VOLUME)


def ome(planes: int, more: str = "", channel: str = "") -> dict:
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/'
        'OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
        f'Type="uint16" SizeX="50" SizeY="40" SizeZ="{planes}" SizeC="1" SizeT="1">{channel}{more}'
        "</Pixels></Image></OME>"
    )
    return text(xml)


ALL_IN_OME = ome(12, '<TiffData IFD="0" PlaneCount="12"/>')


def lsm(z: int) -> dict:
    return {34412: (1, struct.pack("<7i", 0x400494C, 28, 50, 40, z, 1, 1))}


def fluoview(z: int) -> dict:
    dims = [(b"X", 50), (b"Y", 40), (b"Z", z)]
    packed = b"".join(n.ljust(16, b"\0") + struct.pack("<i", s) + bytes(80) for n, s in dims)
    return {34361: (1, (bytes(284) + packed).ljust(1400, b"\0"))}


def cut_chain(data: bytes, pages: int) -> bytes:
    """Return a stack whose writer was stopped: the last directory is beyond the end."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return data[: file.pages[pages].offset]


def cut_pointer(data: bytes, pages: int) -> bytes:
    """Return a stack whose last pages no directory points to."""
    out = bytearray(data)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        last = file.pages[pages - 1].offset
        struct.pack_into("<I", out, last + 2 + 12 * len(file.pages[pages - 1].tags), 0)
    return bytes(out)


def by_pillow(volume) -> bytes:
    """Return what Pillow writes: each directory before its pixels."""
    first, *rest = map(Image.fromarray, volume)
    file = io.BytesIO()
    first.save(file, "TIFF", save_all=True, append_images=rest)
    return file.getvalue()


SEVEN = VOLUME[:7]
HELD = "holds 12 planes as {} says, but {} can be found"
REFUSED = {
    "ImageJ, 7 of 12": (
        written(SEVEN, description="ImageJ=1.53t\nimages=12\nslices=12\n", metadata=None),
        HELD.format("its ImageJ description", 7),
    ),
    "ImageJ, cut off": (tiff(SEVEN, IMAGES), HELD.format("its ImageJ description", 7)),
    "ImageJ, cut off within a plane": (
        tiff(SEVEN, IMAGES)[:-9], HELD.format("its ImageJ description", 6)
    ),
    "tifffile, compressed, 7 of 12": (
        written(SEVEN, description=SHAPE, metadata=None, compression="zlib"),
        HELD.format("its tifffile description", 7),
    ),
    "tifffile, the last of two arrays is cut off": (
        written(*VOLUME[:4, None], description='{"shape": [3, 40, 50]}', metadata=None),
        "holds 6 planes as its tifffile description says, but 4 can be found",
    ),
    "MetaMorph": (
        tiff(SEVEN, {33629: (5, [7] * 24)}), HELD.format("its MetaMorph tag 33629", 7)
    ),
    "NIH Image": (tiff(SEVEN, nih(12), order=">"), HELD.format("its NIH Image tag 43314", 7)),
    "SGI": (tiff(VOLUME[:1], {32997: (4, [12])}), HELD.format("its tag ImageDepth", 1)),
    "SGI, several pages": (
        written(*VOLUME.reshape(6, 2, 40, 50), volumetric=True, metadata=None),
        "several pages, and its tag ImageDepth says that they have several planes each",
    ),
    "LSM": (tiff(VOLUME[:1], lsm(12)), HELD.format("its LSM tag 34412", 1)),
    "FluoView": (tiff(VOLUME[:1], fluoview(12)), HELD.format("its FluoView tag 34361", 1)),
    "OME": (tiff(VOLUME[:1], ome(12)), HELD.format("its OME-XML", 1)),
    "OME behind a blank line": (
        tiff(VOLUME[:1], text("\n " + ome(12)[270][1][:-1].decode())),
        HELD.format("its OME-XML", 1),
    ),
    "OME with a bare ampersand": (
        tiff(VOLUME[:1], ome(12, channel='<Channel Name="DAPI & GFP &lt; 3"/>')),
        HELD.format("its OME-XML", 1),
    ),
    "OME, all planes by TiffData": (
        written(SEVEN, metadata=None, description=ALL_IN_OME[270][1][:-1]),
        HELD.format("its OME-XML", 7),
    ),
    "a page beyond the end": (cut_chain(written(VOLUME, compression="zlib"), 7), "damaged TIFF"),
    "pages that nothing points to": (
        cut_pointer(written(VOLUME, metadata=None), 7),
        "bytes that belong to none of them, enough for more",
    ),
    "pages that nothing points to, by Pillow": (
        cut_pointer(by_pillow(VOLUME), 7),
        "bytes that belong to none of them, enough for more",
    ),
    "bytes that are not whole planes": (
        tiff(VOLUME, after=bytes(range(1, 200))), "44199 bytes follow the only page of this TIFF"
    ),
}  # fmt: skip


@pytest.mark.parametrize("page", [{}, {"page": "all"}], ids=["no page", "all"])
@pytest.mark.parametrize("name", REFUSED)
def test_planes_that_are_not_there_are_named(name, page, tmp_path):
    data, words = REFUSED[name]
    with pytest.raises(SliceError, match="stack") as caught:
        start(write(tmp_path, data, **page))
    assert words in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", REFUSED)
def test_a_page_by_its_number_is_the_way_out(name, tmp_path):
    convert(write(tmp_path, REFUSED[name][0], page=0))
    np.testing.assert_array_equal(read(tmp_path / "out")[1][0, ..., 0], VOLUME[0])


@pytest.mark.parametrize("tag", [34412, 65420], ids=["LSM", "NDPI"])
def test_offsets_that_are_cut_off_are_refused(tag, tmp_path):
    """Above 4 GiB these formats keep only 32 bits of offsets, which lead to other pixels."""
    planes = written(VOLUME[:3], metadata=None, extratags=[(tag, 7, None, bytes(28), True)])
    config = write(tmp_path, planes, page="all")
    os.truncate(tmp_path / "in/stack.tif", (1 << 32) + 1)
    with pytest.raises(SliceError, match="larger than 4 GiB, and its offsets are cut"):
        start(config)


def small_copies(**options) -> bytes:
    """Return a page that takes little of its file: copies in SubIFDs take more."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(VOLUME[0], subifds=3, metadata=None, **options)
        for copy in VOLUME[1:4]:
            writer.write(copy, subfiletype=1, metadata=None)
    return file.getvalue()


def with_mask() -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(VOLUME[0], metadata=None)
        for copy in VOLUME[1:4]:
            writer.write(copy, subfiletype=1, metadata=None)
    return file.getvalue()


def ome_set(name: str) -> dict:
    other = "".join(
        f'<TiffData IFD="0" FirstZ="{z}" PlaneCount="1"><UUID FileName="{file}">urn:uuid:{z}'
        "</UUID></TiffData>"
        for z, file in enumerate([name, *(f"other_{n}.tif" for n in range(11))])
    )
    return ome(12, other)


SINGLE = {
    "copies in SubIFDs": small_copies(),
    "smaller copies in the chain": with_mask(),
    "zeros at the end": tiff(VOLUME[:1], after=bytes(9000)),
    "a large private tag": tiff(VOLUME[:1], {65000: (7, bytes(range(256)) * 60)}),
    "a large profile behind": tiff(VOLUME[:1], after=b"x" * 3000),
    "a set of OME files": tiff(VOLUME[:1], ome_set("stack.tif")),
    "one array of tifffile": written(VOLUME[0]),
    "another array's description": tiff(VOLUME[:1], text('{"shape": [7, 11]}')),
    "a description that is no JSON": tiff(VOLUME[:1], text('{"shape": [12, 40')),
    "XML that ends early": tiff(VOLUME[:1], {270: (2, ome(12)[270][1][:200])}),
    "a description beyond the end": tiff(VOLUME[:1], {270: (2, b"ImageJ=1\0")}).replace(
        struct.pack("<HHI", 270, 2, 9), struct.pack("<HHI", 270, 2, 1 << 29)
    ),
}


@pytest.mark.parametrize("name", SINGLE)
def test_single_pages_are_still_single(name, tmp_path):
    convert(write(tmp_path, SINGLE[name]))
    np.testing.assert_array_equal(read(tmp_path / "out")[1][..., 0], VOLUME[:1])


def test_samples_that_are_called_channels_are_one_page(tmp_path):
    convert(write(tmp_path, tiff(RGB[:1], imagej("images=3", "channels=3"))))
    np.testing.assert_array_equal(read(tmp_path / "out")[1], RGB[:1])
