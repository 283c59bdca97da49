"""Tables of names → the document that a viewer lists them from."""

from __future__ import annotations

import json

import pytest

from zblocks.errors import InvalidConfig
from zblocks.precomputed.segment_properties import (
    TOP,
    SegmentName,
    build_segment_properties,
    names_of,
    parse_names,
)

TWO = (SegmentName(7, "Left thalamus"), SegmentName(TOP, "Ω, right"))
TABLES = {
    "tabs": f"7\tLeft thalamus\r\n{TOP}\tΩ, right",
    "a header and tabs": f"\ufeffName\tcolour\tID\nLeft thalamus\tred\t7\nΩ, right\t\t{TOP}\n",
    "a header and commas": f'id,label\n7,Left thalamus\n{TOP},"Ω, right"\n',
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_are_read(kind):
    assert parse_names(TABLES[kind], "names.txt") == TWO


def test_white_space_ends_at_the_first_blank():
    assert parse_names("1 Precentral_L 2001\n2   Precentral_R\n", "x") == (
        SegmentName(1, "Precentral_L 2001"),
        SegmentName(2, "Precentral_R"),
    )


def test_a_config_may_hold_them():
    assert names_of({"7": "Left thalamus", str(TOP): "Ω, right"}, "segment_names") == TWO


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no names; give"),
        ("1 a\n1 b", "line 2: label 1 appears twice"),
        ("1 a\nx b", 'line 2: "x" is not a label'),
        ("1 a\n-2 b", '"-2" is not a label'),
        (f"1 a\n{TOP + 1} b", "is not a label"),
        ("1 a\n2", "line 2: label 2 has no printable name"),
        ("1\ta\x07", "no printable name"),
        ("volume,name\n1,a", 'nor a header with the columns "id" and "name"'),
        ("\n".join(["1 a"] * 90), "and 69 more"),
    ],
)
def test_what_is_no_table_is_refused(text, words):
    with pytest.raises(InvalidConfig, match=r"^names\.txt: ") as caught:
        parse_names(text, "names.txt")
    assert words in str(caught.value)


def test_the_document_is_the_formats():
    document = json.loads(build_segment_properties(reversed(TWO)))
    assert document == {
        "@type": "neuroglancer_segment_properties",
        "inline": {
            "ids": ["7", "18446744073709551615"],
            "properties": [
                {"id": "label", "type": "label", "values": ["Left thalamus", "Ω, right"]}
            ],
        },
    }
