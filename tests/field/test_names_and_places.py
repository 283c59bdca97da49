"""Names of slices as people have them: in lists, in Unicode's two spellings, in other places."""

from __future__ import annotations

import json
import unicodedata

import numpy as np
import pytest
import tensorstore
import tifffile

from tests.flow.conftest import zblocks

SHAPE = (12, 14)


def write(folder, *names):
    """Write a slice of one value for each name; the value is its place, from 10."""
    for value, name in enumerate(names, 10):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, np.full(SHAPE, value, "u1"), metadata=None)


def refused(command, *arguments):
    done = zblocks(command, *arguments)
    assert done.code == 2, done.out
    return done.err


def warnings(config):
    done = zblocks("plan", config)
    assert done.code == 0, done.err
    return [line for line in done.out.splitlines() if line.startswith("warning: ")]


def order(tmp_path, config):
    """Convert; return the value of every z, read by tensorstore."""
    done = zblocks("convert", config, "--workers", 1)
    assert done.code == 0, done.err
    store = {"driver": "file", "path": f"{tmp_path}/out/"}
    spec = {"driver": "neuroglancer_precomputed", "kvstore": store}
    return tensorstore.open(spec).result().read().result()[0, 0, :, 0].tolist()


@pytest.mark.parametrize("text", ["1.5", "3.5 ", "1e3", "2x", "7 checked", "-1", "+1", "1,0", "²"])
@pytest.mark.parametrize("in_file", [False, True])
def test_a_line_whose_index_is_not_whole(tmp_path, write_config, text, in_file):
    write(tmp_path / "in", "a.tif", "b.tif")
    lines = ["a 0", f"b {text}"]
    if in_file:
        (tmp_path / "list.txt").write_text("\n".join(lines), encoding="utf-8")
    said = refused("plan", write_config(sorted_filename="list.txt" if in_file else lines))
    assert 'line 2: "b ' in said
    assert 'is not "<name> <index>"' in said


@pytest.mark.parametrize("text", ["2", " 2 ", "\t2\t", "2.0", "٢", "0002"])
def test_a_line_whose_index_is_whole(tmp_path, write_config, text):
    write(tmp_path / "in", "a.tif", "b.tif")
    config = write_config(sorted_filename=["b 0", f"a {text}"], compression="none")
    assert order(tmp_path, config) == [11, 0, 10]


NAMES = ("Schnitt_1.tif", "Schnitt_2_ü.tif", "Schnitt_3_é.tif")
FORMS = [("NFC", "NFD"), ("NFD", "NFC")]


def spelled(form, names=NAMES):
    return [unicodedata.normalize(form, name) for name in names]


@pytest.mark.parametrize(("stored", "listed"), FORMS)
def test_names_on_a_list_in_the_other_spelling(tmp_path, write_config, stored, listed):
    write(tmp_path / "in", *spelled(stored))
    lines = [f"{name} {z}" for z, name in enumerate(reversed(spelled(listed)))]
    config = write_config(sorted_filename=lines, missing="error", compression="none")
    assert order(tmp_path, config) == [12, 11, 10]


@pytest.mark.parametrize(("stored", "written"), FORMS)
@pytest.mark.parametrize("listed", [False, True])
def test_a_prefix_in_the_other_spelling(tmp_path, write_config, stored, written, listed):
    names = [f"Müller/Höhe_{n}_ä.tif" for n in range(3)]
    write(tmp_path / "in", *spelled(stored, names))
    (prefix,) = spelled(written, ["Müller/Höhe_"])
    (parts,) = spelled(written, ["_ä"])
    fields = {"sorted_filename": [f"{n} {n}" for n in range(3)], "ext": ".tif"} if listed else {}
    config = write_config(
        source=f"file://{tmp_path}/in", s3_prefix=prefix, s3_parts=parts, compression="none",
        missing="error", **fields,
    )  # fmt: skip
    assert order(tmp_path, config) == [10, 11, 12]


@pytest.mark.parametrize(("stored", "written"), FORMS)
@pytest.mark.parametrize("how", [{"glob": "*ü*"}, {"regex": ".*[ü].*"}], ids=str)
def test_a_filter_in_the_other_spelling(tmp_path, write_config, stored, written, how):
    write(tmp_path / "in", *spelled(stored))
    wanted = {kind: unicodedata.normalize(written, text) for kind, text in how.items()}
    assert order(tmp_path, write_config(filter=wanted, compression="none")) == [11]


def test_names_in_a_bucket_in_the_other_spelling(tmp_path, write_config, cloud):
    write(tmp_path / "there", *NAMES)
    for name, key in zip(NAMES, spelled("NFD"), strict=True):
        cloud.s3.upload_file(f"{tmp_path}/there/{name}", "slices", f"p/{key}")
    lines = [f"{name} {z}" for z, name in enumerate(NAMES)]
    config = write_config(
        source="s3://slices", s3_prefix="p/", sorted_filename=lines, missing="error",
        compression="none",
    )  # fmt: skip
    assert order(tmp_path, config) == [10, 11, 12]


@pytest.mark.parametrize(
    ("fields", "others", "why"),
    [
        ({"ext": ".tif"}, "s_3.TIF, s_4.tiff", "s3_parts, ext or filter leave out"),
        ({"filter": {"glob": "s_?.tif"}}, "s_3.TIF, s_4.tiff", "ext or filter leave out"),
        ({"sorted_filename": ["s_1 1", "s_2 2"]}, "s_3.TIF, s_4.tiff", "doesn't name"),
    ],
    ids=str,
)
def test_what_is_left_out_is_named(tmp_path, write_config, fields, others, why):
    write(tmp_path / "in", "s_1.tif", "s_2.tif", "s_3.TIF", "s_4.tiff", "._s_1.tif")
    (line,) = warnings(write_config(**fields))
    assert "2 other images, which" in line
    assert why in line
    assert line.endswith(f"are not used: {others}")


def test_images_in_folders_below_are_named(tmp_path, write_config):
    write(tmp_path / "in", "s_1.tif", "s_2.tif", "more/s_3.tif", ".old/s_4.tif")
    (line,) = warnings(write_config())
    assert line.endswith("1 images in folders below are not used: more (1)")
    assert "more (1)" in zblocks("init", tmp_path / "in").json["// below"]


@pytest.mark.parametrize("bucket", [False, True])
def test_a_prefix_without_its_slash(tmp_path, write_config, bucket, request):
    names = [f"{folder}/{n}.tif" for folder in ("brain_1", "brain_10") for n in range(3)]
    write(tmp_path / "in", *names)
    source = f"file://{tmp_path}/in"
    if bucket:
        cloud, source = request.getfixturevalue("cloud"), "s3://slices"
        for name in names:
            cloud.s3.upload_file(f"{tmp_path}/in/{name}", "slices", name)
    said = refused("plan", write_config(source=source, s3_prefix="brain_1"))
    assert 'give s3_prefix with its slash: "brain_1/"' in said


def test_a_folder_per_section(tmp_path, write_config):
    write(tmp_path / "in", *(f"section_{n}/image.tif" for n in range(3)))
    said = refused("plan", write_config())
    assert (
        'for a folder per section name each slice in sorted_filename with its folder, such as "'
        in said
    )
    lines = [f"section_{n}/image {n}" for n in range(3)]
    assert order(tmp_path, write_config(sorted_filename=lines, compression="none")) == [10, 11, 12]


@pytest.mark.parametrize("bucket", [False, True])
def test_a_single_file_as_source(tmp_path, write_config, bucket, request):
    path = tmp_path / "in/stack.tif"
    path.parent.mkdir()
    planes = np.stack([np.full(SHAPE, v, "u1") for v in (7, 8)])
    tifffile.imwrite(path, planes, metadata=None, photometric="minisblack")
    place = f"file://{tmp_path}/in"
    if bucket:
        request.getfixturevalue("cloud").s3.upload_file(str(path), "slices", "p/stack.tif")
        place = "s3://slices/p"
    said = refused("plan", write_config(source=f"{place}/stack.tif"))
    assert f'give "source": "{place}" and "filter": {{"glob": "stack.tif"}}' in said
    config = write_config(
        source=place, filter={"glob": "stack.tif"}, page="all", compression="none"
    )
    assert order(tmp_path, config) == [7, 8]


FOREIGN = {
    "a.czi": (b"ZISRAWFILE", "Zeiss CZI"),
    "a.nd2": (b"\xda\xce\xbe\x0a", "Nikon ND2"),
    "a.lif": (b"\x70\0\0\0\x10\0\0\0\x2a", "Leica LIF"),
    "a.oib": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Olympus OIB"),
    "a.ims": (b"\x89HDF\r\n\x1a\n", "Imaris"),
    "a.h5": (b"\x89HDF\r\n\x1a\n", "HDF5"),
    "a.nii": (b"\x5c\x01" + bytes(342) + b"n+1\0", "NIfTI"),
    "a.nii.gz": (b"\x1f\x8b\x08", "NIfTI"),
    "a.mrc": (bytes(208) + b"MAP ", "MRC"),
    "a.dcm": (bytes(128) + b"DICM", "DICOM"),
    "a.mrxs": (b"\xff\xd8\xff\xe0", "3DHISTECH MRXS"),
    "a.vsi": (b"II*\0", "Olympus OIB"),
    "a.ndpi": (b"II*\0", "Hamamatsu NDPI"),
    "a.scn": (b"II+\0", "Leica SCN"),
    "a.zarr/.zattrs": (b"{}", "Zarr"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_formats_that_are_not_read_are_named(tmp_path, write_config, name):
    data, kind = FOREIGN[name]
    path = tmp_path / "in" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(data.ljust(600, b"\0"))
    for said in (refused("plan", write_config()), refused("init", tmp_path / "in")):
        assert f"it is {kind}, which is not read; " in said
        assert "TIFF" in said.rpartition("which is not read; ")[2]


@pytest.mark.parametrize(
    "name", [n for n in FOREIGN if n not in ("a.ndpi", "a.scn", "a.zarr/.zattrs")]
)
def test_they_are_named_if_the_config_takes_them_for_slices(tmp_path, write_config, name):
    data, kind = FOREIGN[name]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(data.ljust(600, b"\0"))
    said = refused("plan", write_config(ext=name[1:]))
    assert "not a JPEG, PNG, TIFF" in said
    assert f"(it is {kind}" in said


@pytest.mark.parametrize("numbers", [(1, 2, 5, 9, 20, 33), (0, 2, 5), (10, 20, 45, 60)])
@pytest.mark.parametrize("command", ["plan", "convert"])
def test_missing_error_holds_for_irregular_numbers(tmp_path, write_config, numbers, command):
    write(tmp_path / "in", *(f"sec_{n:04d}.tif" for n in numbers))
    said = refused(command, write_config(missing="error"))
    assert "no such slice" in said
    assert 'set "missing": "fill"' in said
    assert not (tmp_path / "out" / "info").exists()


def test_missing_error_takes_even_steps(tmp_path, write_config):
    write(tmp_path / "in", *(f"sec_{n}.tif" for n in (30, 10, 20)))
    assert order(tmp_path, write_config(missing="error", compression="none")) == [11, 12, 10]


@pytest.mark.parametrize("pattern", ["img_{}.tif", "{}.tif", "z={} a.tif", "a (+{}).tif"])
def test_signs_beside_no_signs_are_refused(tmp_path, write_config, pattern):
    write(tmp_path / "in", *(pattern.format(n).replace("+-", "-") for n in range(-2, 3)))
    if "+" in pattern:
        write(tmp_path / "in", "a (3).tif")
    assert 'give the order in "sorted_filename"' in refused("plan", write_config())
    lines = [[pattern.format(n).replace("+-", "-")[:-4], n + 2] for n in range(-2, 3)]
    assert order(tmp_path, write_config(sorted_filename=lines, compression="none")) == [
        10,
        11,
        12,
        13,
        14,
    ]


@pytest.mark.parametrize("pattern", ["img-{}.tif", "2019-05-{}.tif", "a_-{:03}.tif"])
def test_a_dash_is_a_separator_where_all_names_have_it(tmp_path, write_config, pattern):
    write(tmp_path / "in", *(pattern.format(n) for n in (10, 9, 11)))
    assert order(tmp_path, write_config(compression="none")) == [11, 10, 12]


def test_init_takes_names_with_signs_together(tmp_path):
    write(tmp_path / "in", *(f"img_{n}.tif" for n in range(-5, 6)))
    done = zblocks("init", tmp_path / "in")
    assert "are not used" not in done.out
    assert "the order isn't clear" in done.out
    assert "11 headers read" in done.out


IN_ORDER = {
    "decimals": "z_0.75 z_1.0 z_1.25 z_1.5 z_1.75",
    "decimal commas": "z_0,5 z_1,0 z_1,5",
    "two levels": "s_1.8 s_1.9 s_1.10 s_2.1",
    "letters": "s001 s001a s001b s002 s010",
    "second ones": "11 12 12B 13",
    "dates": "2024-01-30 2024-01-31 2024-02-01",
    "dates and times": "20240102_233000 20240103_000100 20240201_001000",
    "a time that contradicts z": "20240103_0900_z1 20240102_1030_z2 20240102_1105_z3",
    "a position in step": "z8_0.8um z9_0.9um z10_1.0um",
    "cases": "S_1 s_2 S_3 s_10",
    "Arabic digits": "s_\u0668 s_\u0669 s_\u0661\u0660",
    "sections on slides": "slide_1_s1 slide_1_s2 slide_2_s1 slide_2_s2",
}


@pytest.mark.parametrize("names", IN_ORDER.values(), ids=IN_ORDER)
def test_names_are_in_the_order_of_a_person(tmp_path, write_config, names):
    write(tmp_path / "in", *(f"{name}.tif" for name in names.split()))
    held = [value for value in order(tmp_path, write_config(compression="none")) if value]
    assert held == [*range(10, 10 + len(held))]
    assert len(held) == len(names.split())


UNCERTAIN = {
    "decimals or two levels": "z_1.25 z_1.5 z_2.125",
    "signs": "d_-2 d_-1 d_0 d_1",
    "signs and decimals": "d_-0.5 d_0.0 d_0.5",
    "signs of all": "d_-10 d_-9 d_-8",
    "two prefixes": "brain_1_z1 brain_1_z2 brain_10_z1 brain_10_z2",
    "channels": "c1_z1 c1_z2 c2_z1 c2_z2",
    "channels last": "img_z1_ch00 img_z2_ch00 img_z1_ch01 img_z2_ch01",
    "sides": "left_1 left_2 right_1 right_2",
    "sides in letters": "1L 2L 1R 2R",
    "masks": "s_1 s_2 s_1_mask s_2_mask",
    "two numbers": "z1_90 z2_80 z3_70",
    "hexadecimal": "0008 0009 000a 000b 0010",
    "Roman": "s_IV s_V s_IX",
    "day first": "31-01-2024 01-02-2024",
}


@pytest.mark.parametrize("names", UNCERTAIN.values(), ids=UNCERTAIN)
def test_names_of_uncertain_order_are_refused_with_the_way_out(tmp_path, write_config, names):
    """In names, slices stand in their order; the filter that is proposed gives the first ones."""
    write(tmp_path / "in", *(f"{name}.tif" for name in names.split()))
    said = refused("convert", write_config())
    assert not (tmp_path / "out" / "info").exists()
    begun = zblocks("init", tmp_path / "in").json
    assert "the order isn't clear" in begun["// z"] or "not used" in begun["// others"]
    _, proposed, text = said.partition('set "filter": ')
    if proposed:
        wanted = json.JSONDecoder().raw_decode(text)[0]
        held = order(tmp_path, write_config(filter=wanted, compression="none"))
        assert [value for value in held if value] == [*range(10, 10 + sum(map(bool, held)))]
    lines = [f"{name} {z}" for z, name in enumerate(names.split())]
    config = write_config(sorted_filename=lines, compression="none", overwrite=True)
    assert order(tmp_path, config) == [*range(10, 10 + len(lines))]


@pytest.mark.parametrize(
    ("names", "pattern", "held"),
    [
        ("d_-3 d_-1 d_1", r"d_(?P<z>[-+]?\d+)\.tif", [10, 0, 11, 0, 12]),
        ("d_0.5 d_1.0 d_2.0 d_10.25", r"d_(?P<z>.+)\.tif", [10, 11, 12, 13]),
        ("d_-0.5 d_0.0 d_1.0", r"d_(?P<z>.+)\.tif", [10, 11, 0, 12]),
    ],
)
def test_signs_and_decimals_in_a_filter(tmp_path, write_config, names, pattern, held):
    write(tmp_path / "in", *(f"{name}.tif" for name in names.split()))
    assert order(tmp_path, write_config(filter={"regex": pattern}, compression="none")) == held


@pytest.mark.parametrize("text", ["12B", "0a", "ff", "2024-01-02"])
def test_a_group_that_is_no_number_is_refused(tmp_path, write_config, text):
    write(tmp_path / "in", "s_1.tif", f"s_{text}.tif")
    said = refused("plan", write_config(filter={"regex": r"s_(?P<z>.*)\.tif"}))
    assert f"matches '{text}' in \"s_{text}.tif\", which is not a number" in said


@pytest.mark.parametrize(
    "names", ["s001 s001a s002", "z_0.5 z_1 z_1.25", "0009 000a 0010", "S_1 s_2"]
)
def test_init_takes_names_of_one_stack_together(tmp_path, names):
    write(tmp_path / "in", *(f"{name}.tif" for name in names.split()))
    found = zblocks("init", tmp_path / "in").json
    assert "// others" not in found
    assert f"{len(names.split())} headers read" in found["// slices"]
