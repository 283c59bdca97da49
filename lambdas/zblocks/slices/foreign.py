"""Microscope and volume formats that are not read: how to recognise them and export slices."""

from __future__ import annotations

from zblocks.slices.header import ByteSource

_BIO_FORMATS = "export its planes as TIFF, with Fiji or with bfconvert FILE s_%z.tif (Bio-Formats)"
_H5 = "write its planes as TIFF, such as with Python's h5py and tifffile"
_ZARR = "write its planes as TIFF, such as with Python's zarr and tifffile"
_MRC = "write its planes as TIFF with mrc2tif (IMOD)"
_SLIDE = f"{_BIO_FORMATS}, or with OpenSlide"

_KINDS = {
    "Zeiss CZI": (_BIO_FORMATS, ".czi", {0: b"ZISRAWFILE"}),
    "Nikon ND2": (_BIO_FORMATS, ".nd2", {0: b"\xda\xce\xbe\x0a"}),
    "Leica LIF": (_BIO_FORMATS, ".lif .lof .xlef", {0: b"\x70\0\0\0", 8: b"\x2a"}),
    "Olympus OIB": (_BIO_FORMATS, ".oib .oif .oir .vsi .ets", {0: b"OLYMPUSRAWFORMAT"}),
    "an OLE file (Olympus OIB, Zeiss ZVI)": (
        _BIO_FORMATS, ".zvi .ipw", {0: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"}
    ),
    "Imaris": (_BIO_FORMATS, ".ims", {}),
    "HDF5": (_H5, ".h5 .hdf5 .hdf .he5 .n5", {0: b"\x89HDF\r\n\x1a\n"}),
    "Zarr": (_ZARR, ".zarr .zgroup .zarray .zattrs zarr.json", {}),
    "NIfTI": (
        "write its planes as TIFF, such as with Python's nibabel and tifffile",
        ".nii .nii.gz .hdr", {344: b"n+1\0"}
    ),
    "MRC": (_MRC, ".mrc .mrcs .rec .st .ali .map", {208: b"MAP "}),
    "DICOM": (
        "write its frames as TIFF, with bfconvert or Python's pydicom and tifffile",
        ".dcm .dicom .ima", {128: b"DICM"}
    ),
    "Hamamatsu NDPI": (_SLIDE, ".ndpi .ndpis .vms", {}),
    "3DHISTECH MRXS": (_SLIDE, ".mrxs", {}),
    "Leica SCN": (_SLIDE, ".scn", {}),
    "Ventana BIF": (_SLIDE, ".bif", {}),
    "Zeiss LSM": (_BIO_FORMATS, ".lsm", {}),
    "MetaMorph STK": (_BIO_FORMATS, ".stk", {}),
    "Gatan DM": (_BIO_FORMATS, ".dm3 .dm4", {0: b"\0\0\0\x03\0", 8: b"\0\0\0\x01"}),
    "NRRD": ("write its planes as TIFF with Fiji", ".nrrd .nhdr", {0: b"NRRD000"}),
    "MetaImage": ("write its planes as TIFF with Fiji", ".mha .mhd", {0: b"ObjectType"}),
    "NumPy": ("write its planes as TIFF with Python's tifffile", ".npy .npz", {0: b"\x93NUMPY"}),
    "GIF": ("convert it to PNG or TIFF", ".gif", {0: b"GIF8"}),
    "Photoshop": ("save it as TIFF", ".psd .psb", {0: b"8BPS"}),
    "OpenEXR": ("convert it to TIFF", ".exr", {0: b"\x76\x2f\x31\x01"}),
    "HEIF or AVIF": ("convert it to TIFF", ".heic .heif .avif", {4: b"ftyp"}),
    "JPEG XL": ("convert it to TIFF or PNG", ".jxl", {4: b"JXL \r\n\x87\n"}),
    "JPEG XR": ("convert it to TIFF", ".jxr .wdp", {0: b"II\xbc\x01"}),
    "PDF": ("export its images as TIFF", ".pdf", {0: b"%PDF"}),
    "a compressed file": (
        "unpack it first", ".gz .zip .7z .tar .tgz .bz2 .xz .zst", {0: b"\x1f\x8b"}
    ),
    "a ZIP archive": ("unpack it first", "", {0: b"PK\x03\x04"}),
    "an HTML or XML page": ("download the image itself", ".html", {0: b"<"}),
}  # fmt: skip
"""By format: how to export slices, file extensions, and identifying bytes by their offset."""

_ONLY_PREVIEWS = (".vsi", ".mrxs", ".nd2")
"""Extensions of files that begin like a readable image, which is only a preview."""


def foreign_file(name: str) -> tuple[str, str] | None:
    """Return a file's format by its name, and how to export slices; None if unknown."""
    name = name.rpartition("/")[2].lower()
    ends = ((kind, end) for kind, (_, all_ends, _) in _KINDS.items() for end in all_ends.split())
    kinds = {end: kind for kind, end in ends if name.endswith(end)}
    return _told(kinds[max(kinds, key=len)]) if kinds else None


def foreign_bytes(source: ByteSource) -> tuple[str, str] | None:
    """Return the same by a file's first bytes and its name."""
    first, named = source.read_at(0, 512), foreign_file(source.name)
    for kind, (_, _, places) in _KINDS.items():
        if places and all(first[at : at + len(b)] == b for at, b in places.items()):
            return named or _told(kind)  # the name knows more: Imaris is HDF5 inside
    return named


def has_only_a_preview(name: str) -> bool:
    """Return whether a file of this name begins with only a preview."""
    return name.lower().endswith(_ONLY_PREVIEWS)


def _told(kind: str) -> tuple[str, str]:
    return f"it is {kind}", _KINDS[kind][0]
