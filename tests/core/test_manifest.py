"""Lists of slices and listings: which object stands at which z, and every way to get it wrong."""

import contextlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zblocks.errors import InvalidConfig, SliceListError
from zblocks.slices import name_filter
from zblocks.slices.list_entry import Entry
from zblocks.slices.name_filter import match_glob, match_regex
from zblocks.slices.name_list import parse_lines, read_list
from zblocks.slices.name_numbers import natural_key
from zblocks.slices.order import Slot, from_listing, from_numbers, resolve


def one_key(entry):
    return (f"p/{entry.name}.jpg",)


def folder_keys(entry):
    return (f"{entry.name}.jpg", f"{entry.index:04d}_{entry.name}_.jpg")


def whys(slots):
    return [(slot.z, slot.key, slot.why) for slot in slots]


@pytest.mark.parametrize(
    ("line", "name", "index"),
    [
        ("MD585-N1 1", "MD585-N1", 1),
        ("a b 3", "a b", 3),  # the last white space counts
        ("a 2 b 17", "a 2 b", 17),  # also when a number stands earlier
        ("a\t0005", "a", 5),  # a tab, leading zeros
        ("a   5  ", "a", 5),  # aligned columns
        ("a 5.0", "a", 5),  # from a spreadsheet
        ("a\t 7 \t", "a", 7),
        ("a ٣", "a", 3),
        ("\ufeffa 1\r\n", "a", 1),  # saved on Windows
        ("Schnitt-ä 4", "Schnitt-ä", 4),
        ("sub/a 4", "sub/a", 4),
        ("Placeholder 7", None, 7),
        ("my_Placeholder_3 7", None, 7),
    ],
)
def test_a_line_is_a_name_and_a_whole_index(line, name, index):
    assert [(e.name, e.index) for e in parse_lines([line], "list")] == [(name, index)]


def test_blank_lines_keep_the_count_of_lines():
    assert parse_lines(["\n", "a 0\n", "  \n", "b 1"], "list") == (
        Entry("a", 0, 2, "a 0"),
        Entry("b", 1, 4, "b 1"),
    )


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "no slices found: the list is empty"),
        (["  ", ""], "no slices found: the list is empty"),
        (["a 1", "b"], 'line 2: "b" is not "<name> <index>"; end it'),
        ([" 5"], 'line 1: " 5" is not'),
        (["a 1", "b 3.5"], 'line 2: "b 3.5" is not "<name> <index>"; end it with a space and a'),
        (["a 1", "", "b 1e3"], 'line 3: "b 1e3" is not'),
        (["a 5 checked"], 'line 1: "a 5 checked" is not'),
        (["a 12a"], 'line 1: "a 12a" is not'),
        (["a 1,5"], 'line 1: "a 1,5" is not'),
        (["a +5"], r'line 1: "a \+5" is not'),
        (["a ²"], 'line 1: "a ²" is not'),
        (["a -5"], "line 1: .* is not"),
        (["a 10000001"], "line 1: index 10000001 is above 10000000"),
        (["a " + "9" * 5000], "line 1: index 9{20} is above"),
        (["a\x00 1"], r'line 1: "a\? 1" has a control character'),
        (["a 1\nb 2"], "control character"),  # two lines in one element of an inline list
        (["/a 1"], 'line 1: "/a" is not a valid name'),
        (["a/../b 1"], 'line 1: "a/../b" is not a valid name'),
        (["a 1", "b 1"], 'lines 1 and 2: "a" and "b" both have index 1; keep one'),
        (["a 1", "Placeholder 1"], '"a" and "Placeholder 1" both have index 1'),
        (["a 1", "b 2", "a 3"], 'lines 1 and 3: "a" appears twice, at index 1 and 3'),
    ],
)
def test_a_bad_list_names_its_lines(lines, message):
    with pytest.raises(SliceListError, match=f"^list.txt: .*{message}"):
        parse_lines(lines, "list.txt")


def test_all_problems_are_named_up_to_twenty():
    with pytest.raises(SliceListError) as caught:
        parse_lines([f"x{i}" for i in range(23)], "list")
    text = str(caught.value)
    assert 'line 20: "x19"' in text
    assert "x20" not in text
    assert text.endswith("and 3 more")


def test_placeholders_gaps_and_missing_objects_hold_their_z():
    entries = parse_lines(["d 8", "a 3", "Placeholder 4", "b 6", "c 7"], "list")
    slots = resolve(entries, one_key, {"p/a.jpg", "p/b.jpg", "p/d.jpg", "p/other.jpg"}, "fill")
    assert slots == (
        Slot(0, "p/a.jpg", "a", "", 3),
        Slot(1, None, "Placeholder 4", "placeholder", 4),
        Slot(2, None, "index 5", "gap", 5),
        Slot(3, "p/b.jpg", "b", "", 6),
        Slot(4, None, "c", "not found", 7),
        Slot(5, "p/d.jpg", "d", "", 8),
    )


def test_missing_error_names_gaps_and_missing_objects_but_fills_placeholders():
    entries = parse_lines(["a 3", "Placeholder 4", "b 6", "c 7"], "list")
    with pytest.raises(SliceListError) as caught:
        resolve(entries, one_key, {"p/a.jpg", "p/b.jpg"}, "error")
    assert "index 5: no such slice (z 2)" in str(caught.value)
    assert "c: not found (z 4)" in str(caught.value)
    assert "Placeholder" not in str(caught.value)
    full = resolve(entries[:2], one_key, {"p/a.jpg"}, "error")
    assert whys(full) == [(0, "p/a.jpg", ""), (1, None, "placeholder")]


def test_a_folder_may_hold_the_download_form():
    entries = parse_lines(["a 1", "b 2"], "list")
    slots = resolve(entries, folder_keys, {"0001_a_.jpg", "b.jpg"}, "error")
    assert [slot.key for slot in slots] == ["0001_a_.jpg", "b.jpg"]


@pytest.mark.parametrize(
    ("lines", "existing", "message"),
    [
        (["a 1"], {"a.jpg", "0001_a_.jpg"}, '"a" could be "a.jpg" and "0001_a_.jpg"; remove one'),
        (["a 1", "0001_a_ 2"], {"0001_a_.jpg"}, 'the slice of both "a" and "0001_a_"'),
        (["a 1", "b 2"], set(), 'no slices found: none of 2 listed names exists; looked for "a.j'),
        (["Placeholder 1"], {"a.jpg"}, "no slices found: all 1 lines are placeholders"),
        (["a 1", "b 1021"], {"a.jpg"}, "2 lines span the indices 1 to 1021"),
    ],
)
def test_what_can_not_be_resolved(lines, existing, message):
    with pytest.raises(SliceListError, match=message.replace("(", r"\(")):
        resolve(parse_lines(lines, "list"), folder_keys, existing, "fill")


def test_a_list_may_be_mostly_gaps():
    slots = resolve(parse_lines(["a 1", "b 1020"], "list"), one_key, {"p/a.jpg"}, "fill")
    assert len(slots) == 1020


@pytest.mark.parametrize(
    ("keys", "expected", "note"),
    [
        (["a_10", "a_9", "a_8"], "a_8 a_9 a_10", ""),  # natural order
        (["a_1", "a_2", "a_4"], "a_1 a_2 - a_4", ""),  # a gap holds its z
        (["s1_a_1", "s1_a_3"], "s1_a_1 s1_a_3", "numbered 1 to 3 in steps of 2"),
        (["a_0", "a_20", "a_10", "a_50"], "a_0 a_10 a_20 - - a_50", "in steps of 10"),
        (["a_1", "a_2", "a_6"], "a_1 a_2 - - - a_6", ""),  # half of the places
        (["a_1", "a_2", "a_7"], "a_1 a_2 a_7", "only 3 of the 7 places"),  # less than half
        (["a_1", "a_3", "a_6"], "a_1 a_3 a_6", "not evenly spaced"),
        (["a_1_x_1", "a_2_x_3"], "a_1_x_1 a_2_x_3", ""),  # in step
        (["a_1_x_1", "a_2_x_2", "a_3_x_4"], "a_1_x_1 a_2_x_2 a_3_x_4", "2 numbers differ"),
        (["a_1", "b_2"], "a_1 b_2", "more than a number"),
        (["a_1", "a_1_b", "a_2"], "a_1 a_1_b a_2", "letters after the numbers"),
        (["only"], "only", ""),
        (["a_" + "9" * 30, "a_" + "8" * 30], f"a_{'8' * 30} a_{'9' * 30}", "in steps of 11"),
    ],
)
def test_a_listing_is_numbered_by_its_names(keys, expected, note):
    slots, notes = from_listing([f"p/{key}.png" for key in keys], "fill")
    want = [None if key == "-" else f"p/{key}.png" for key in expected.split()]
    assert [slot.key for slot in slots] == want
    assert [slot.z for slot in slots] == list(range(len(want)))
    assert all(slot.why == ("" if slot.key else "gap") for slot in slots)
    assert (note in notes[0]) if note else not notes


@pytest.mark.parametrize(
    ("keys", "missing", "message"),
    [
        ([], "fill", "no slices found in s3://b/p; check"),
        (["a_1.png", "a_01.png"], "fill", '"a_01.png" and "a_1.png" would be the same slice'),
        (["a_1.jpg", "a_1.png"], "fill", '"a_1.jpg" and "a_1.png" would be the same slice'),
        (["a_1.png", "a_2.png", "a_4.png"], "error", r"number 3: no such slice \(z 2\)"),
    ],
)
def test_what_a_listing_refuses(keys, missing, message):
    with pytest.raises(SliceListError, match=message):
        from_listing(keys, missing, "s3://b/p")


def test_fifty_thousand_lines():
    # A step of quadratic time would take hours, and so end by the tests' time limit.
    entries = parse_lines([f"img_{i} {i}" for i in range(50_000)], "list")
    resolve(entries, one_key, {f"p/img_{i}.jpg" for i in range(50_000)}, "error")
    slots, _ = from_listing([f"p/img_{i}.jpg" for i in range(50_000)], "error")
    assert len(slots) == 50_000


@given(st.lists(st.text(max_size=30), max_size=20))
def test_any_text_is_a_list_or_a_slice_list_error(lines):
    with contextlib.suppress(SliceListError):  # nothing else is let through
        assert parse_lines(lines, "list")


names = st.text("abc_-./ 12", min_size=1, max_size=8).filter(
    lambda name: name == name.strip() and not name.startswith("/") and ".." not in name.split("/")
)


@given(st.dictionaries(st.integers(0, 60), names, min_size=1, max_size=30), st.data())
def test_a_written_list_is_read_back_and_every_z_comes_once(by_index, data):
    if len(set(by_index.values())) < len(by_index):
        return
    entries = parse_lines([f"{name} {index}\n" for index, name in by_index.items()], "list")
    assert {entry.index: entry.name for entry in entries} == by_index
    present = data.draw(st.sets(st.sampled_from(sorted(by_index)), min_size=1))
    slots = resolve(entries, one_key, {f"p/{by_index[i]}.jpg" for i in present}, "fill")
    assert [slot.z for slot in slots] == list(range(max(by_index) - min(by_index) + 1))
    at = {slot.z + min(by_index): slot.key for slot in slots if slot.key}
    assert at == {index: f"p/{by_index[index]}.jpg" for index in present}


@given(st.sets(st.integers(0, 300), min_size=1, max_size=80), st.booleans())
def test_a_listing_gives_every_key_once_in_order(numbers, padded):
    width = 4 if padded else 1
    keys = [f"a_{number:0{width}d}.tif" for number in sorted(numbers)]
    slots, _ = from_listing(reversed(keys), "fill")
    assert [slot.key for slot in slots if slot.key] == keys
    assert [slot.z for slot in slots] == list(range(len(slots)))
    assert len(slots) <= 2 * len(keys)


@given(st.lists(st.text(max_size=8), max_size=10))
def test_any_keys_are_a_volume_or_a_slice_list_error(keys):
    try:
        slots, _ = from_listing(keys, "fill")
    except SliceListError:
        return
    assert {slot.key for slot in slots if slot.key is not None} == set(keys)


@given(st.integers(0, 10**30), st.integers(0, 10**30), st.integers(0, 5))
def test_natural_order_is_the_order_of_the_numbers(a, b, zeros):
    left, right = natural_key(f"x{'0' * zeros}{a}y"), natural_key(f"x{b}y")
    assert (left < right, left == right) == (a < b, a == b)


# --- other formats ------------------------------------------------------------------------------


def read(text):
    return [(e.name, e.index) for e in read_list(text.split("\n"), "list")]


SAME = [("a b,c", 3), (None, 4), ("d", 6)]


@pytest.mark.parametrize(
    "text",
    [
        'name,index\n"a b,c",3\n,4\nd,6\n',
        '\ufeffSection Number;File_Name;note\n3;a b,c;x\n4;Placeholder 1;\n\n6; d ;"y;y"',
        "z\tslice\n3\ta b,c\n4\t\n6.0\td",
        'section,file\n3,"a b,c"\n4,""\n6,d',
        '[["a b,c", 3], [null, 4], ["d", 6]]',
        '\n[{"z": 3, "name": "a b,c"},\n {"z": 4, "name": null}, {"name": "d", "z": 6}]\n',
        "a b,c 3\nPlaceholder 4\nd 6",
    ],
)
def test_lists_in_every_format(text):
    assert read(text) == SAME


@pytest.mark.parametrize(
    "text", ['["a", null, "c"]', "name\na\nPlaceholder\nc", "x,name\n1,a\n2,\n3,c"]
)
def test_without_an_index_the_place_is_one(text):
    assert read(text) == [("a", 0), (None, 1), ("c", 2)]


@pytest.mark.parametrize(
    "lines",
    [
        ["name,index 1", "b,c 2"],
        ["[brain] 1", "[brain2] 2"],
        ["name\t1", "index\t2"],
        ["[1] a 0", '["b"] 1'],
        ["slice 12", "section 13"],
        ["a;name 1"],
    ],
)
def test_a_list_of_pairs_is_never_taken_for_another_format(lines):
    assert read_list(lines, "list") == parse_lines(lines, "list")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,index\na,1\nb,x\n", 'line 3: column "index": "x" is not a whole number'),
        ("name,index\na,1\nb,2,3\n", "line 3: 3 columns where the header has 2"),
        ('name,index\n"a,1\n', "correct the quotes"),
        ("name,index\na,1\nb,1\n", 'lines 2 and 3: "a" and "b" both have index 1'),
        ("name,index\n../a,1\n", 'line 2: "../a" is not a valid name'),
        ("name,index\na,10000001\n", "line 2: index 10000001 is above"),
        ("name,index\n", "the list is empty"),
        ("foo,bar\na,1\n", "has no column of names"),
        ('["a", "b"', "begins like a JSON list but isn't one (it doesn't end with ])"),
        ('["a", ["b", 1]]', "some items have an index and some don't"),
        ('[["a", 1], ["b", 1]]', 'items 1 and 2: "a" and "b" both have index 1'),
        ('[["a", -1]]', "item 1: "),
        ('[["a", true]]', "item 1: "),
        ('[["a", 1.5]]', "item 1: "),
        ('[{"name": "a"}]', 'lacks "name" or "index"'),
        ("[[[]]]", "item 1: "),
        ("[1]", "item 1: "),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ("[" * 3_000_000 + "]", "more than 1000000 items"),
        ("[" + "1," * 5_000_000 + "1]", "more than 1000000 items"),
        ("[" + "9" * 5000 + "]", "begins like a JSON list but isn't one"),
        ('["a\\u0007"]', "control character"),
    ],
)
def test_what_is_wrong_with_a_list_is_named(text, words):
    with pytest.raises(SliceListError) as error:
        read(text)
    assert words in str(error.value)
    assert len(str(error.value)) < 5000


KEYS = ["p/s10_a.tif", "p/s9_a.tif", "p/s12_b.tif", "p/t1_a.tif"]


def test_filters_match_whole_names():
    assert match_glob("s*_a.tif", KEYS) == KEYS[:2]
    assert match_glob("*_A.tif", KEYS) == []
    assert match_regex("s(?P<z>[0-9]+)_.*", KEYS) == dict(zip(KEYS, [10, 9, 12], strict=False))
    assert match_regex(r"s\d+", KEYS) == {}
    assert match_regex(r".*_b.tif", KEYS) == {KEYS[2]: None}
    slots, _ = from_numbers({"p/x": Decimal(7), "p/y": Decimal(5)}, "fill")
    assert [(s.z, s.key, s.name) for s in slots] == [
        (0, "p/y", "y"), (1, None, "index 6"), (2, "p/x", "x")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(", "not a valid regular expression"),
        ("(?P<z>.*)_.*", "not a number"),
        ("(?P<z>9)?.*", "None"),
    ],
)
def test_odd_expressions_are_refused(pattern, words):
    with pytest.raises((InvalidConfig, SliceListError), match="filter: ") as error:
        match_regex(pattern, KEYS)
    assert words in str(error.value)


def test_an_expression_that_backtracks_forever_is_stopped(monkeypatch):
    monkeypatch.setattr(name_filter, "SECONDS", 0.2)
    with pytest.raises(InvalidConfig, match="filter: regex takes more than"):
        match_regex("(a|aa)+$", ["a" * 200 + "!"] * 3)


def test_numbers_that_are_given_twice_are_refused():
    with pytest.raises(SliceListError, match="both have number 5"):
        from_numbers({"a": Decimal(5), "b": Decimal(5)}, "fill")
    with pytest.raises(SliceListError, match='"missing" is "error"'):
        from_numbers({"a": Decimal(5), "b": Decimal(7)}, "error")
