"""Pages that are channels, points in time, smaller copies or labels; sets in another order."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import tifffile

from tests.flow.conftest import zblocks
from tests.flow.inprocess import convert, read, start
from zblocks.cli.first_config import first_config
from zblocks.config import Config
from zblocks.errors import SliceError
from zblocks.planning.warnings import find_warnings


def numbered(*shape: int) -> np.ndarray:
    """Return planes of 40×50, each of one value: its number."""
    count = int(np.prod(shape))
    return np.arange(count, dtype="u2").reshape(*shape, 1, 1) + np.zeros((40, 50), "u2")


def imagej(axes: str, *shape: int):
    return lambda path: tifffile.imwrite(
        path, numbered(*shape), imagej=True, metadata={"axes": axes}
    )


def ome(axes: str, *shape: int):
    def write(path):
        tifffile.imwrite(
            path, numbered(*shape), ome=True, metadata={"axes": axes}, photometric="minisblack"
        )

    return write


def shaped(axes: str, *shape: int):
    def write(path):
        tifffile.imwrite(path, numbered(*shape), metadata={"axes": axes}, photometric="minisblack")

    return write


def ome_xyczt(path):
    """Write channels that take turns, as DimensionOrder says; tifffile would write them apart."""
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="50" SizeY="40" '
        'SizeZ="4" SizeC="3" SizeT="1"><TiffData/></Pixels></Image></OME>'
    )
    tifffile.imwrite(path, numbered(12), metadata=None, description=xml, photometric="minisblack")


def scanimage(path):
    software = "SI.LINE_FORMAT_VERSION = 1\nSI.hChannels.channelSave = [1;2]\n"
    tifffile.imwrite(path, numbered(6), metadata=None, software=software, photometric="minisblack")


def scanimage_frames(path):
    software = "SI.hStackManager.framesPerSlice = 6\nSI.hScan2D.logAverageFactor = 2\n"
    tifffile.imwrite(path, numbered(3), metadata=None, software=software, photometric="minisblack")


def scanimage_endless(path):
    software = "SI.hChannels.channelSave = 1\nSI.hStackManager.framesPerSlice = Inf\n"
    tifffile.imwrite(path, numbered(3), metadata=None, software=software, photometric="minisblack")


def scanimage_averages(path):
    software = "SI.hChannels.channelSave = 1\nSI.hStackManager.framesPerSlice = 8\n"
    software += "SI.hScan2D.logAverageFactor = 8\nSI.hStackManager.numVolumes = 1\n"
    tifffile.imwrite(path, numbered(5), metadata=None, software=software, photometric="minisblack")


def old_scanimage(path):
    text = "state.configName='x'\rstate.acq.savingChannel1=1\rstate.acq.savingChannel2=1\r"
    tifffile.imwrite(path, numbered(6), metadata=None, description=text, photometric="minisblack")


def perkinelmer(path):
    text = '<?xml version="1.0"?><PerkinElmer-QPI-ImageDescription><Name>DAPI</Name>'
    text += "</PerkinElmer-QPI-ImageDescription>"
    tifffile.imwrite(path, numbered(6), metadata=None, description=text, photometric="minisblack")


MIXED = {
    "PerkinElmer": (perkinelmer, "channels"),
    "ImageJ CYX": (imagej("CYX", 3), "3 channels"),
    "ImageJ ZCYX": (imagej("ZCYX", 4, 3), "4 slices × 3 channels"),
    "ImageJ TYX": (imagej("TYX", 5), "5 frames"),
    "ImageJ TZYX": (imagej("TZYX", 2, 3), "2 frames × 3 slices"),
    "ImageJ TZCYX": (imagej("TZCYX", 2, 3, 2), "2 frames × 3 slices × 2 channels"),
    "OME CYX": (ome("CYX", 3), "3 channels"),
    "OME CZYX": (ome("CZYX", 2, 4), "4 slices × 2 channels"),
    "OME TCZYX": (ome("TCZYX", 2, 2, 3), "2 frames × 3 slices × 2 channels"),
    "OME XYCZT": (ome_xyczt, "4 slices × 3 channels"),
    "tifffile CYX": (shaped("CYX", 3), "3 channels"),
    "tifffile ZCYX": (shaped("ZCYX", 4, 3), "4 slices × 3 channels"),
    "ScanImage": (scanimage, "2 channels"),
    "ScanImage, frames": (scanimage_frames, "3 frames"),
    "ScanImage, endless": (scanimage_endless, "frames"),
    "ScanImage 3": (old_scanimage, "2 channels"),
}
SLICES = {
    "ImageJ": imagej("ZYX", 5),
    "OME": ome("ZYX", 5),
    "tifffile": shaped("ZYX", 5),
    "ScanImage, averages": scanimage_averages,
    "tifffile without axes": lambda path: tifffile.imwrite(
        path, numbered(5), photometric="minisblack"
    ),
    "no metadata": lambda path: tifffile.imwrite(
        path, numbered(5), photometric="minisblack", metadata=None
    ),
}


def folder_of(tmp_path, write, count: int = 2):
    (tmp_path / "in").mkdir()
    for n in range(count):
        write(tmp_path / f"in/sec_{n + 1:03d}.tif")
    return tmp_path / "in"


def config_of(folder, **fields) -> Config:
    document = {
        "folder_to_convert_from": str(folder), "folder_to_convert_to": f"{folder}-volume",
        "voxel_resolution": [1000] * 3, "compression": "none", "sharding": False,
    }  # fmt: skip
    return Config.parse(document | fields, base=None)


def warnings_of(config: Config) -> str:
    return "\n".join(find_warnings(start(config).plan))


@pytest.mark.parametrize("name", MIXED)
def test_init_never_takes_channels_for_slices(name, tmp_path):
    write, words = MIXED[name]
    folder = folder_of(tmp_path, write)
    first = json.loads(first_config(f"file://{folder}", [1, 1, 1]))
    assert first["page"] is None
    assert f"sec_001.tif holds {words}" in first["// page"]
    with pytest.raises(SliceError, match="sec_001") as caught:
        start(config_of(folder))
    assert f"({words}, as its" in str(caught.value)
    assert ('"all"' in str(caught.value)) == ("×" not in words)


@pytest.mark.parametrize("name", MIXED)
def test_all_pages_by_the_users_choice_are_warned_of(name, tmp_path):
    write, words = MIXED[name]
    folder = folder_of(tmp_path, write)
    found = warnings_of(config_of(folder, page="all"))
    assert f"not all pages are slices in sec_001.tif ({words}), sec_002.tif" in found
    assert "slices" not in warnings_of(config_of(folder, page=1, overwrite=True))


@pytest.mark.parametrize("name", SLICES)
def test_stacks_of_slices_are_still_proposed_and_not_warned_of(name, tmp_path):
    folder = folder_of(tmp_path, SLICES[name])
    first = json.loads(first_config(f"file://{folder}", [1, 1, 1]))
    assert first["page"] == "all"
    assert warnings_of(config_of(folder, page="all")) == ""
    convert(config_of(folder, page="all"))
    np.testing.assert_array_equal(read(tmp_path / "in-volume")[1][:, 0, 0, 0], [*range(5)] * 2)


def test_one_channel_of_every_section(tmp_path):
    folder = folder_of(tmp_path, imagej("CYX", 3), 4)
    convert(config_of(folder, page=2))
    np.testing.assert_array_equal(read(tmp_path / "in-volume")[1][:, 0, 0, 0], [2] * 4)


def scan(path, *, kinds=(0, 0, 0)):
    """Write a scan as Aperio does: the image, a thumbnail, a smaller copy, a label, a macro."""
    with tifffile.TiffWriter(path) as writer:
        options = {"metadata": None, "photometric": "rgb", "description": "Aperio Image Library"}
        for n, size in enumerate([(128, 160), (30, 40), (64, 80), (50, 50)]):
            kind = kinds[n - 1] if n else 0
            picture = np.full((*size, 3), 10 * n + 10, "u1")
            writer.write(picture, subfiletype=kind, tile=(64, 64), **options)


@pytest.mark.parametrize("canvas", [{}, {"canvas": {"size": "max", "fill": 255}}])
def test_thumbnails_and_labels_are_no_slices(canvas, tmp_path):
    folder = folder_of(tmp_path, scan)
    first = json.loads(first_config(f"file://{folder}", [1, 1, 1]))
    assert first["page"] == 0
    assert "differ in size" in first["// page"]
    assert "canvas" not in first
    config = config_of(folder, page="all", **canvas)
    if canvas:
        found = warnings_of(config)
        assert "pages differ in size" in found
        assert "in sec_001.tif (160×128, 40×30, 80×64, 50×50)" in found
    else:
        with pytest.raises(SliceError, match="seldom slices") as caught:
            start(config)
        assert '"canvas"' not in str(caught.value)
    convert(config_of(folder, page=0, overwrite=True))
    volume = read(tmp_path / "in-volume")[1]
    assert volume.shape == (2, 128, 160, 3)
    assert (volume == 10).all()


def test_smaller_copies_that_are_marked_are_passed_over(tmp_path):
    """NewSubfileType 1 and 9; also where the smaller copy comes first."""
    folder = folder_of(tmp_path, lambda path: scan(path, kinds=(1, 1, 9)))
    convert(config_of(folder))
    assert (read(tmp_path / "in-volume")[1] == 10).all()
    with tifffile.TiffWriter(folder / "sec_001.tif") as writer:
        writer.write(np.zeros((16, 20, 3), "u1"), subfiletype=1, metadata=None, photometric="rgb")
        writer.write(np.full((128, 160, 3), 10, "u1"), metadata=None, photometric="rgb")
    convert(config_of(folder, overwrite=True))
    assert (read(tmp_path / "in-volume")[1] == 10).all()


def ome_files(folder, places: dict[str, tuple[int, int]], companion: str = "") -> None:
    """Write a set of one plane a file; places are (z, channel)."""
    folder.mkdir()
    schema = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
    sizes = [1 + max(place[axis] for place in places.values()) for axis in (0, 1)]
    data = "".join(
        f'<TiffData FirstZ="{z}" FirstC="{c}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{name}">urn:uuid:{name}</UUID></TiffData>'
        for name, (z, c) in places.items()
    )
    for n, name in enumerate(places):
        xml = (
            f'<OME {schema} UUID="urn:uuid:{name}"><Image ID="Image:0"><Pixels ID="Pixels:0" '
            f'DimensionOrder="XYZCT" Type="uint16" SizeX="50" SizeY="40" SizeZ="{sizes[0]}" '
            f'SizeC="{sizes[1]}" SizeT="1">{data}</Pixels></Image></OME>'
        )
        if companion:
            xml = f'<OME {schema}><BinaryOnly MetadataFile="{companion}" UUID="urn:uuid:0"/></OME>'
        tifffile.imwrite(folder / name, numbered(1)[0] + n, metadata=None, description=xml)


def test_a_set_whose_xml_has_another_order_is_warned_of(tmp_path):
    """Files named by the stage's position; the XML has their depth."""
    ome_files(tmp_path / "in", {"a.tif": (2, 0), "b.tif": (0, 0), "c.tif": (1, 0)})
    found = warnings_of(config_of(tmp_path / "in"))
    assert "the OME-XML of 3 slices has another order: a.tif is z 2 there, and b.tif" in found
    lines = ["b 0", "c 1", "a 2"]
    assert "OME" not in warnings_of(
        config_of(tmp_path / "in", overwrite=True, sorted_filename=lines, ext=".tif")
    )


@pytest.mark.parametrize("places", [(2, 0, 1), (0, 1, 2), (0, 0, 0)])
def test_a_set_of_files_that_name_no_others(places, tmp_path):
    """Each file's XML has its own z alone; equal ones are no order."""
    (tmp_path / "in").mkdir()
    for n, z in enumerate(places):
        xml = (
            '<OME><Image ID="Image:0"><Pixels DimensionOrder="XYCZT" SizeX="50" SizeY="40" '
            f'SizeZ="3" SizeC="1" SizeT="1"><TiffData FirstZ="{z}" IFD="0" PlaneCount="1"/>'
            "</Pixels></Image></OME>"
        )
        path = tmp_path / f"in/s_{n}.tif"
        tifffile.imwrite(path, numbered(1)[0], metadata=None, description=xml)
    found = warnings_of(config_of(tmp_path / "in"))
    assert ("s_0.tif is z 2 there, and s_1.tif" in found) == (places[0] == 2)
    assert ("OME" in found) == (places[0] == 2)


def test_a_set_with_its_xml_in_one_file(tmp_path):
    ome_files(tmp_path / "in", {"a.tif": (2, 0), "b.tif": (0, 0), "c.tif": (1, 0)})
    for name in ("b", "c"):
        tifffile.imwrite(tmp_path / f"in/{name}.tif", numbered(1)[0], metadata=None)
    found = warnings_of(config_of(tmp_path / "in"))
    assert "OME-XML of a.tif is of a set of files, but there is none in b.tif, c.tif" in found


def test_a_set_in_reverse_is_warned_of_unless_reversed(tmp_path):
    ome_files(tmp_path / "in", {"a.tif": (2, 0), "b.tif": (1, 0), "c.tif": (0, 0)})
    assert "another order" in warnings_of(config_of(tmp_path / "in"))
    assert "OME" not in warnings_of(config_of(tmp_path / "in", reverse_z=True, overwrite=True))


def test_a_set_of_channels_is_warned_of(tmp_path):
    places = {f"s_{2 * z + c}.tif": (z, c) for z in range(2) for c in range(2)}
    ome_files(tmp_path / "in", places)
    found = warnings_of(config_of(tmp_path / "in"))
    assert "4 slices are of 2 channels, frames or images of one set" in found
    assert "OME" not in warnings_of(
        config_of(tmp_path / "in", overwrite=True, filter={"glob": "s_[02].tif"})
    )


def test_a_set_in_its_order_is_not_warned_of(tmp_path):
    ome_files(tmp_path / "in", {f"s {n}.tif": (n, 0) for n in range(4)})
    assert warnings_of(config_of(tmp_path / "in")) == ""


def test_pages_that_the_xml_puts_in_another_order(tmp_path):
    data = "".join(f'<TiffData FirstZ="{4 - n}" IFD="{n}" PlaneCount="1"/>' for n in range(5))
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="50" SizeY="40" '
        f'SizeZ="5" SizeC="1" SizeT="1">{data}</Pixels></Image></OME>'
    )
    options = {"metadata": None, "description": xml, "photometric": "minisblack"}
    folder_of(tmp_path, lambda path: tifffile.imwrite(path, numbered(5), **options), 1)
    found = warnings_of(config_of(tmp_path / "in", page="all"))
    assert "sec_001.tif is z 4 there, and sec_001.tif page 1, which follows it, is z 3" in found


def test_metadata_in_a_companion_is_named(tmp_path):
    places = {"a.tif": (1, 0), "b.tif": (0, 0)}
    ome_files(tmp_path / "in", places, companion="set.companion.ome")
    found = warnings_of(config_of(tmp_path / "in"))
    assert "OME-XML in another file isn't read: a.tif (set.companion.ome), b.tif" in found


def test_the_command_says_it(tmp_path):
    """One ImageJ hyperstack a section, three channels each."""
    folder = folder_of(tmp_path, imagej("CYX", 3), 4)
    config = tmp_path / "config.json"
    made = zblocks("init", folder, "--output", config, "--resolution", "650", "650", "5000")
    assert made.code == 0, made.err
    planned = zblocks("plan", config)
    assert planned.code != 0
    assert "this TIFF has 3 pages (3 channels, as its ImageJ description says)" in planned.err
    config.write_text(json.dumps(json.loads(config.read_text()) | {"page": "all"}))
    planned = zblocks("plan", config)
    assert planned.code == 0, planned.err
    shown = " ".join((planned.out + planned.err).split())
    assert "not all pages are slices in sec_001.tif (3 channels)" in shown


def test_xml_with_entities_is_not_expanded(tmp_path):
    bomb = '<!DOCTYPE OME [<!ENTITY a "aaaaaaaaaa">]><OME><Image>&a;</Image></OME>'
    file = io.BytesIO()
    tifffile.imwrite(file, numbered(1)[0], metadata=None, description=bomb)
    folder_of(tmp_path, lambda path: path.write_bytes(file.getvalue()), 1)
    assert warnings_of(config_of(tmp_path / "in")) == ""
