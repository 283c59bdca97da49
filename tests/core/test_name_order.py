"""The order of slices by their names: as a person puts them, or refused with the way out."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zblocks.errors import SliceListError
from zblocks.slices.name_filter import match_regex
from zblocks.slices.order import from_listing, from_numbers


def shuffled(names, end=".tif"):
    keys = [f"p/{name}{end}" for name in names if name != "-"]
    random.Random(1).shuffle(keys)
    return keys


def ordered(names, missing="fill"):
    """Return the names at each z, "-" for none, and the notes."""
    slots, notes = from_listing(shuffled(names), missing, "here")
    return [s.key[2:-4] if s.key else "-" for s in slots], " ".join(notes)


def refused(names, missing="fill", end=".tif"):
    with pytest.raises(SliceListError) as error:
        from_listing(shuffled(names, end), missing, "here")
    return str(error.value)


def each(pattern, *groups):
    """Fill a pattern with every combination."""
    names = [()]
    for group in groups:
        names = [(*name, value) for name in names for value in group]
    return [pattern.format(*name) for name in names]


N = range(1, 13)

RIGHT = {
    "decimals of one width": ("z_0.5 z_1.0 z_1.5 - z_2.5", "0.5 to 2.5 in steps of 0.5"),
    "decimals far apart": ("z_0.5 z_1.0 z_10.5 z_20.25", "not evenly spaced"),
    "decimals as Python writes them": ("Z-0.75 Z-1.0 Z-1.25 Z-1.5", "0.75 to 1.50"),
    "fractions of a half": ("z_1.125 z_1.25 - z_1.5", "in steps of 0.125"),
    "decimal commas": ("z_0,75 z_1,0 z_1,25 z_1,5", "0.75 to 1.50"),
    "no digit before the point": ("z_.5 z_.75 z_1.0", "0.50 to 1.00"),
    "zeros after the point": ("z_1.05 z_1.5 z_1.55", "only 3 of the 11 places"),
    "decimals beside whole numbers": ("z_1 z_1.5 z_2 z_2.5", "1.0 to 2.5"),
    "two levels": (each("s_{}.{}", (1, 2), N), "in two levels"),
    "two levels of one digit": (each("s_{}.{}", (1, 2), range(1, 9)), "may be decimals"),
    "a point before the number": (each("scan.1.{}", N), ""),
    "a point before odd numbers": (each("s1.{:02}", range(1, 15, 2)), "1.01 to 1.13 in steps"),
    "only the whole part differs": ("z_1.5 z_2.5 - z_4.5", "1.5 to 4.5 in steps of 1.0"),
    "a UID": (each("1.2.840.{}.77", range(95, 110)), ""),
    "letters": ("s001 s001a s001b s002 s003 s003a", 'letters after the numbers, such as in "p/s0'),
    "a second one": ("11 12 12B 13", "letters after"),
    "letters before text": ("1_gray 1A_gray 1b_gray 2_gray", "letters after"),
    "letters in each": ("9a 9b 10a 10b", "letters after"),
    "equal digits and letters": ("1a 1b 2a 2b", "letters after"),
    "letters apart": ("s_1 s_1_a s_2 s_10", "letters after"),
    "letters of a section that isn't there otherwise": ("s1 s2 s3x - s5", "more than a number"),
    "both cases": ("Img_1 img_2 IMG_3 Img_10 img_11", "only 5 of the 11 places"),
    "Arabic digits": ("s_٨ s_٩ s_١٠ s_١١", ""),
    "a wide point": (
        "s_\uff10\uff0e\uff17\uff15 s_\uff11\uff0e\uff10 s_\uff11\uff0e\uff12\uff15",
        "0.75 to 1.25",
    ),
    "wide digits": ("s_８ s_９ - s_１１", ""),
    "dates": (each("2024-{}-{}", ("01", "02"), ("02", "30")), "numbered by dates"),
    "dates in one number": (each("b_2024{}{}_z", ("01", "02"), ("02", "30")), "by dates"),
    "dates without zeros": ("2024_1_3 2024_1_10 2024_2_1 2024_11_2", "by dates"),
    "days of one month": ("2024-01-02 2024-01-03 - 2024-01-05", ""),
    "dates and times": ("20240102_233000 20240103_000100 20240103_001000", "by dates"),
    "ISO": ("2024-01-02T10-30 2024-01-02T23-10 2024-02-01T09-30", "by dates"),
    "times": ("i_103040 i_103050 i_103100 i_103110 i_103120 i_103130", "by dates"),
    "minutes": ("i_0958 i_0959 i_1000 i_1001", "by dates"),
    "the day varies, then month and year": (each("{}-02-2024", ("01", "02", "03")), ""),
    "one number that differs": (each("img_001_z{:04}_ch00", N), ""),
    "a position in step": ([f"z{i:03}_{i * 0.5:.2f}um" for i in N], ""),
    "a position nearly in step": ([f"z{i:03}_{i * 0.5 + i % 5 / 99:.2f}um" for i in N], ""),
    "a gap in the position alone": ("s1_10 s2_20 s3_40", "2 numbers differ"),
    "sections that go on": ("slide1_s1 slide1_s2 - slide2_s4", ""),
    "sections on slides": (each("slide_{:02}_section_{}", N, (1, 2, 3)), "2 numbers differ"),
    "a time that contradicts z": (
        "20240102_1105_z1 20240102_1030_z2 20240103_0900_z3",
        "z follows",
    ),
    "a number at random": ("771_s08 802_s09 - 123_s11", '8 in "p/771_s08.tif"'),
    "stacks one after the other": ("left_1 left_2 right_3", "more than a number"),
    "separators at will": (["s_1", "s-2", "s 3", "s_4"], "z follows the one that is evenly spaced"),
    "words": ("alpha beta gamma", 'such as "p/alpha.tif" and "p/'),
    "long": ([f"s_{digit * 30}" for digit in "89"], "in steps of 11"),
    "a dash before all": ("d_-01 d_-02 d_-10", "only 3 of the 10 places"),
    "a minus before another number": (each("v_-70mV_{}", N), ""),
    "other texts after the number": ("s001_a3f9 s002_77b1 s003_c001 s004_3f3f", "z follows the"),
    "a word in one name": ("s1 s2_second s3", "z follows the number"),
    "floats as Python writes them": ([f"z_{n * 0.1}" for n in range(1, 9)], "not evenly spaced"),
}


@pytest.mark.parametrize(("names", "note"), RIGHT.values(), ids=RIGHT)
def test_the_order_of_a_person(names, note):
    names = names.split() if isinstance(names, str) else names
    got, notes = ordered(names)
    assert got == names
    assert (note in notes) if note else not notes


REFUSED = {
    "odd numbers or decimals": (each("s1.{}", range(1, 15, 2)), "can be decimals or two numbers"),
    "decimals or two levels": ("z_1.5 z_1.25", "can be decimals or two numbers each"),
    "thousands": ("z_999 z_1,000", "can be decimals or two numbers each"),
    "sides": (each("{}{}", N, "LR"), "several stacks"),
    "colors": (each("{}{}", N, "rgb"), "several stacks"),
    "hexadecimal": ([f"s_{i:04x}" for i in range(8, 18)], "hexadecimal numbers"),
    "hexadecimal capitals": ([f"slice{i:02X}" for i in range(256)], "hexadecimal numbers"),
    "hexadecimal without zeros": ([f"0x{i:x}_a" for i in range(1, 30)], "hexadecimal numbers"),
    "hexadecimal or letters": ("9a 9b 10 11", "hexadecimal numbers"),
    "Roman": ("s_I s_II s_IV s_IX s_V", "Roman numerals"),
    "letters after z": ("s_a s_b s_z s_aa", "letters that go on after z"),
    "same number": ("s_1 s_01 s_001", "would be the same slice"),
    "same digits": ("s_1 s_١", "would be the same slice"),
    "same but for case": ("s_1 S_1", "would be the same slice"),
    "day first": ("31-01-2024 01-02-2024", "the year comes last"),
    "month first": ("12.31.2023 01.02.2024", "the year comes last"),
    "day first in one number": ("31012024 01022024", "the year comes last"),
    "months in words": ("02-Feb-2024 03-Jan-2024", "written in words"),
    "taken twice": ("20240102_1105_z1 20240103_1030_z2 20240204_0900_z1", "the same number"),
    "one prefix, two stacks": (each("brain_{}_z{:03}", (1, 10), N), "several stacks"),
    "channels first": (each("c{}_z{:03}", (1, 2), N), "several stacks"),
    "channels last": (each("img_001_z{:04}_ch{:02}", N, (0, 1)), "several stacks"),
    "tiles": (each("tile_{}_{}", (0, 1, 2), (0, 1, 2)), "several stacks"),
    "days": (each("{}_{:06}", (20240102, 20240103), N), "several stacks"),
    "sides in words": (each("{}_{:03}", ("left", "right"), N), "several stacks"),
    "masks": (each("s_{:03}{}", N, ("", "_mask")), "several stacks"),
    "wells": (each("{}{}", "ABC", N), "several stacks"),
    "a copy": ("s_1 s_2 s_2(1) s_3", "several stacks"),
    "plus and minus in letters": (each("z_{}{}", "mp", N), "several stacks"),
    "exponents": ("z_5.0e-01 z_1.0e+00 z_2.0e-01 z_3.0e+00", "numbers with exponents"),
    "exponents of one sign": ("z_1e+09 z_2e+01 z_3e+00", "numbers with exponents"),
    "a position downwards": ([f"z{i:03}_{500 - i}" for i in N], "give different orders"),
    "a counter over time and z": ([f"f{i}_t{i // 4}_z{i % 4}" for i in N], "several stacks"),
    "a counter alone": ([f"f{i}_n{i % 4}0_e{i // 4 % 2}" for i in N], "different orders"),
    "minus": ("d_-1 d_0 d_1 d_2", "has a sign before its number"),
    "a decimal with minus": ("d_-1 d_0.5 d_2", "has a sign before its number"),
    "minus before all": ("d_-3 d_-2 d_-1", "the dash can be a minus"),
    "minus before decimals": ("d_-1.5 d_-1.0 d_-0.5", "the dash can be a minus"),
    "morning and afternoon": ("9_30_AM 10_30_AM 1_30_PM", "written in words"),
    "weekdays": ("s_mon s_tue s_wed", "written in words"),
    "number words": ("s_one s_two s_three", "written in words"),
    "Chinese numerals": ("第一 第二 第三", "written in words"),
    "minus of Unicode": ("d_\u22121 d_0 d_1", "has a sign before its number"),
}


WITH_FILTER = ("several stacks", "give different orders", "has a sign", "a minus")


@pytest.mark.parametrize(("names", "why"), REFUSED.values(), ids=REFUSED)
def test_what_could_be_in_several_orders(names, why):
    names = names.split() if isinstance(names, str) else names
    said = refused(names)
    assert said.startswith("here: ")
    assert why in said
    assert ('"sorted_filename"' in said) == ("same slice" not in said)
    if 'set "filter": ' in said:
        text = said.partition('set "filter": ')[2]
        found = match_regex(json.JSONDecoder().raw_decode(text)[0]["regex"], shuffled(names))
        assert found
        numbers = {key: number for key, number in found.items() if number is not None}
        from_numbers(numbers, "fill") if numbers else from_listing(found, "fill")
    else:
        assert why not in WITH_FILTER


def test_no_filter_is_proposed_for_a_part_of_a_stack():
    said = refused([f"{i:04x}_ch{c}" for i in range(8, 30) for c in (0, 1)])
    assert "several stacks" in said
    assert "filter" not in said


def test_a_mask_of_another_format_is_no_slice():
    names = [*(f"s_{n}.tif" for n in N), *(f"s_{n}_seg.png" for n in N)]
    said = refused(names, end="")
    assert '"p/s_1.tif" (one of 12) and "p/s_1_seg.png" (one of 12)' in said
    assert r'{"regex": "s_[0-9]+\\.tif"} for one stack' in said
    assert "would be the same slice" in refused(["s_1.tif", "s_1.jpg"], end="")


@pytest.mark.parametrize(
    ("names", "gap"),
    [
        ("s1 s1a s2 s4", "3: no such slice"),
        ("z_0.5 z_1.0 z_2.0 z_2.5", "number 1.5: no such slice (z 2)"),
        ("s1_10 s2_20 s3_40", "30: no such slice"),
        ("left_1 left_2 right_4", "number 3: no such slice"),
        ("2024-01-02 2024-01-04 2024-01-05", "number 3: no such slice"),
    ],
)
def test_gaps_that_missing_error_refuses(names, gap):
    assert gap in refused(names.split(), "error")


@pytest.mark.parametrize(
    "names", ["2024-01-30 2024-02-01", "s_103050 s_103100 s_103110", "s1_10.3 s2_20.9 s3_31.7"]
)
def test_what_is_no_gap(names):
    assert ordered(names.split(), "error")[0] == names.split()


GROUPS = {
    r"d_(?P<z>[-+]?\d+)\.tif": ("d_-2 d_-1 - d_1 d_2", ""),
    r"d_(?P<z>.*)\.tif": ("d_\u22121 d_0 d_+1", ""),
    r"z(?P<z>[0-9.]+)\.tif": ("z0.5 z1.25 - z2.75", "0.50 to 2.75 in steps of 0.75"),
    r"c(?P<z>\S+)_.\.tif": ("c-0,5_b c0_c c0,5_a", "-0.5 to 0.5"),
    r"s_(?P<z>\d+)\.tif": ("s_٨ s_٩ - s_１１", ""),
}


@pytest.mark.parametrize("regex", GROUPS)
def test_numbers_with_signs_and_decimals_in_a_filter(regex):
    names, note = GROUPS[regex]
    wanted = [f"p/{name}.tif" for name in names.split()]
    keys = [key for key in wanted if key != "p/-.tif"]
    slots, notes = from_numbers(match_regex(regex, reversed(keys)), "fill")
    assert [slot.key or "p/-.tif" for slot in slots] == wanted
    assert (note in " ".join(notes)) if note else not notes


@pytest.mark.parametrize("text", ["12B", "0a", "ff", "2024-01-02", "1.2.3", "1e5", "--1", "IV", ""])
def test_what_is_no_number_in_a_filter(text):
    with pytest.raises(SliceListError) as error:
        match_regex(r"s_(?P<z>.*)\.tif", ["s_1.tif", f"s_{text}.tif"])
    assert f'"s_{text}.tif", which is not a number' in str(error.value)
    assert '"sorted_filename"' in str(error.value)


def test_a_number_in_a_filter_is_limited():
    numbers = match_regex(r"s_(?P<z>.*)\.tif", [f"s_{'9' * 40}.tif", "s_1.tif"])
    with pytest.raises(SliceListError, match="above 10000000; correct the filter"):
        from_numbers(numbers, "fill")


@given(st.sets(st.integers(-300, 300), min_size=3), st.sampled_from([1, 2, 4, 5, 8, 10, 20]))
def test_decimals_are_in_the_order_of_their_values(numbers, part):
    """As Python writes them, whatever their widths: right, or refused."""
    values = sorted(abs(number) / part for number in numbers if number)
    try:
        slots, _ = from_listing({f"z_{value}.tif" for value in values}, "fill")
    except SliceListError as error:
        assert "decimals or two numbers" in str(error)  # noqa: PT017
        return
    got = [float(slot.key[2:-4]) for slot in slots if slot.key]
    assert got == sorted(set(values))
