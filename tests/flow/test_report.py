"""The report for people: read by an HTML parser, its pictures by Pillow, and all by a browser."""

from __future__ import annotations

import base64
import io
import json
import re
import zlib
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from demo.browser import CHROMIUM_FLAGS, find_chromium, state_of
from tests.flow.conftest import write_stack, zblocks
from zblocks.planning.bill import Bill, Line
from zblocks.report.page import render_report
from zblocks.run.audit import audit
from zblocks.run.job import open_job
from zblocks.run.outcome import Outcome, build_report
from zblocks.run.start import Run

VOID = {"img", "meta", "link"}


@dataclass
class Node:
    tag: str
    attributes: dict[str, str]
    children: list = field(default_factory=list)

    @property
    def text(self) -> str:
        inner = (c if isinstance(c, str) else c.text for c in self.children)
        return "".join(inner)

    def all(self, tag: str) -> list[Node]:
        below = [c for c in self.children if isinstance(c, Node)]
        return [n for c in below for n in ([c] if c.tag == tag else []) + c.all(tag)]

    def section(self, title: str) -> Node:
        return next(s for s in self.all("section") if s.all("h2")[0].text == title)


class Parser(HTMLParser):
    """Builds a tree; every element that was opened must be closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open = [Node("", {})]

    def handle_starttag(self, tag, attrs):
        node = Node(tag, dict(attrs))
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag, attrs):
        self.open[-1].children.append(Node(tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop().tag == tag

    def handle_data(self, data):
        self.open[-1].children.append(data)


def parse(html: str) -> Node:
    parser = Parser()
    parser.feed(html)
    parser.close()
    (root,) = parser.open
    return root


def read_page(folder) -> Node:
    return parse((folder / ".zblocks/report.html").read_text("utf-8"))


def read_report(folder):
    return json.loads((folder / ".zblocks/report.json").read_text())


def picture(image: Node) -> np.ndarray:
    head, data = image.attributes["src"].split(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def cells(page: Node) -> list[Node]:
    return page.section("Contact sheet").all("ol")[0].all("li")


def a_stack(depth=40, dtype="uint8", channels=1, top=255) -> np.ndarray:
    """Slices (z, y, x, c) that no two look alike: a bright square that wanders."""
    rng = np.random.default_rng(3)
    voxels = rng.integers(top // 10, top // 4, (depth, 60, 100, channels)).astype(dtype)
    for z in range(depth):
        y, x = 4 + z % 8 * 6, 4 + z // 8 * 18
        voxels[z, y : y + 10, x : x + 10] = top
    return voxels


@pytest.fixture
def odd(tmp_path, write_config):
    """A stack with a missing, a blank, a repeated and an outlying slice, converted."""
    voxels = a_stack()
    voxels[7], voxels[21] = 33, voxels[20]
    voxels[30] = np.clip(voxels[30].astype(int) + 90, 0, 255)
    write_stack(tmp_path / "in", voxels)
    (tmp_path / "in/s_012.png").unlink()
    voxels[12] = 0
    done = zblocks("convert", write_config(voxel_offset=[0, 0, 5], chunk_size=[32, 32, 8]))
    assert done.code == 0, done.err
    assert f"report: file://{tmp_path}/out/.zblocks/report.html" in done.out
    return voxels, tmp_path / "out"


FLAGS = {12: "blank", 17: "missing", 26: "duplicate", 35: "outlier"}
"""By z: the offset is 5."""


def test_odd_slices_are_named_to_people_and_to_machines(odd):
    _, out = odd
    found = read_report(out)["slices"]
    assert found["blank"] == [{"z": 12, "slice": "s_007.png", "value": 33}]
    assert found["duplicates"] == [{"z": 26, "slice": "s_021.png", "same_as": 25, "certain": False}]
    assert [(o["z"], o["slice"]) for o in found["outliers"]] == [(35, "s_030.png")]
    table = read_page(out).section("Slices to look at").all("table")[0]
    rows = [[c.text for c in r.all("td")] for r in table.all("tbody")[0].all("tr")]
    assert {int(r[1]): r[0] for r in rows} == FLAGS
    assert [r[2] for r in rows] == ["number 12", "s_007.png", "s_021.png", "s_030.png"]
    assert "looks the same as z 25" in rows[2][3]


def test_every_slice_has_its_own_picture(odd):
    """Each picture is most like the slice that its z names."""
    voxels, out = odd
    shown = cells(read_page(out))
    assert [int(re.match(r"\d+", c.all("span")[0].text)[0]) for c in shown] == [*range(5, 45)]
    flagged = {5 + i: c for i, c in enumerate(shown) if c.attributes.get("class")}
    assert {z: c.all("span")[0].text.split(" · ")[1] for z, c in flagged.items()} == FLAGS
    link = state_of(read_report(out)["link"])
    low, high = link["layers"][0]["shaderControls"]["normalized"]["range"]
    due = [np.clip((v[..., 0] - float(low)) / (high - low), 0, 1) * 255 for v in voxels]
    for z, cell in enumerate(shown):
        seen = np.asarray(
            Image.fromarray(picture(cell.all("img")[0])).resize((100, 60)), np.float64
        )
        errors = [np.abs(seen - d).mean() for d in due]
        best = int(np.argmin(errors))
        assert best == (20 if z == 21 else z)
        assert errors[best] < 25


def test_planes_through_the_middle(odd):
    voxels, out = odd
    figures = read_page(out).section("Middle planes").all("figure")
    words = [f.all("figcaption")[0].text for f in figures]
    assert [w.split(" · ")[0] for w in words] == ["xy at z 25", "xz at y 30", "yz at x 50"]
    planes = [voxels[20, :, :, 0], voxels[:, 30, :, 0], voxels[:, :, 50, 0]]
    chosen = state_of(read_report(out)["link"])["layers"][0]["shaderControls"]
    low, high = chosen["normalized"]["range"]
    for figure, plane in zip(figures, planes, strict=True):
        seen = picture(figure.all("img")[0])
        assert seen.shape == plane.shape
        due = np.clip((plane - float(low)) / (high - low), 0, 1) * 255
        assert np.abs(seen - due).mean() < 12
    shapes = [f.all("img")[0].attributes["style"].split(";")[0] for f in figures]
    assert shapes == [  # nm: 400 × 240 × 1600
        "aspect-ratio:640/384", "aspect-ratio:160/640", "aspect-ratio:96/640",
    ]  # fmt: skip


def test_the_histogram_marks_what_the_link_shows(odd):
    _, out = odd
    page = read_page(out)
    link = page.all("a")[0].attributes["href"]
    assert link == read_report(out)["link"]
    low, high = state_of(link)["layers"][0]["shaderControls"]["normalized"]["range"]
    drawn = page.section("Histogram")
    assert f"shows {low} black and {high} white" in drawn.text
    window = next(r for r in drawn.all("rect") if r.attributes.get("class") == "window")
    end = int(drawn.all("div")[-1].all("span")[-1].text) + 1
    x, width = (float(window.attributes[n]) for n in ("x", "width"))
    assert x == pytest.approx(low / end * 1000, abs=0.1)
    assert x + width == pytest.approx((high + 1) / end * 1000, abs=0.2)


def test_it_asks_for_nothing(odd):
    _, out = odd
    page = read_page(out)
    text = (out / ".zblocks/report.html").read_text("utf-8")
    assert {e.attributes["src"][:5] for e in page.all("img")} == {"data:"}
    assert [e.attributes["href"] for e in page.all("link")] == ["data:,"]
    assert len(page.all("a")) == 1
    assert not page.all("script")
    assert "url(" not in text
    assert "@import" not in text
    (policy,) = [
        m.attributes["content"]
        for m in page.all("meta")
        if m.attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")


def test_blocks_are_held_against_their_prediction(odd):
    _, out = odd
    plan = json.loads((out / ".zblocks/plan.json").read_text())
    part = read_page(out).section("Time and memory of each block")
    rows = [[c.text for c in r.all("td")] for r in part.all("tbody")[0].all("tr")]
    names = {p.stem for p in (out / ".zblocks/receipts").iterdir()}
    assert {r[0] for r in rows} == names
    seconds = [float(r[2]) for r in rows]
    assert seconds == sorted(seconds, reverse=True)
    assert f"{plan['predicted_peak_mb']} MiB; a worker has" in part.text
    assert len(part.all("svg")) == 2


def test_the_bill_is_shown_when_it_is_known(odd):
    _, out = odd
    assert "Bill" not in [s.all("h2")[0].text for s in read_page(out).all("section")]
    job = open_job(out.as_uri())
    report = build_report(job, Run(), {}, audit(job.plan, job.target), Outcome("COMPLETE"))
    lines = [("Lambda", "<arm64>", 1234, "GB-s"), ("S3,", "PUT", 1000, "requests")]
    predicted, actual = (
        Bill(
            tuple(Line(*line, dollars / line[2]) for line, dollars in zip(lines, each, strict=True))
        )
        for each in ((16.456, 0.005), (15.1, 0.0049))
    )
    bills = replace(report.bills, predicted=predicted, actual=actual)
    page = render_report(replace(report, bills=bills), job.target)
    assert page.html == render_report(replace(report, bills=bills), job.target).html
    (table,) = parse(page.html.decode()).section("Bill").all("table")
    assert [[c.text for c in r.all("td")] for r in table.all("tr")[1:]] == [
        ["Lambda <arm64>", "1,234 GB-s", "$16.46", "$15.10"],
        ["S3, PUT", "1,000 requests", "$0.005", "$0.0049"],
        ["total", "", "$16.46", "$15.10"],
    ]


def test_many_odd_slices_are_all_there_by_z(tmp_path, write_config):
    voxels = a_stack(80)
    voxels[10:40], voxels[50] = 7, 7
    write_stack(tmp_path / "in", voxels)
    assert zblocks("convert", write_config()).code == 0
    part = read_page(tmp_path / "out").section("Slices to look at")
    rows = [[c.text for c in r.all("td")] for r in part.all("table")[0].all("tbody")[0].all("tr")]
    assert rows[0] == ["31 blank", "10–39, 50"]
    named = part.all("details")[0].all("tbody")[0].all("tr")
    assert [r.all("td")[1].text for r in named][:31] == [str(z) for z in (*range(10, 40), 50)]


def break_slice(tmp_path, name):
    path = tmp_path / "in" / name
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def test_a_failed_run_says_why_and_shows_what_stands(tmp_path, write_config):
    write_stack(tmp_path / "in", a_stack(150)[:, :, :64])
    break_slice(tmp_path, "s_070.png")
    assert zblocks("convert", write_config(chunk_size=[32, 32, 8])).code == 1
    report, page = read_report(tmp_path / "out"), read_page(tmp_path / "out")
    assert not (tmp_path / "out/info").exists()
    assert not page.all("a")
    trouble = page.section("Not published")
    assert "block-00001" in trouble.all("b")[0].text
    assert "s_070.png: damaged PNG" in trouble.all("ol")[0].text
    assert "s_064.png, s_065.png" in trouble.all("details")[0].text
    assert trouble.all("pre")[0].text == report["resume"]
    shown = cells(page)
    assert len(shown) == 150
    bare = {z for z, c in enumerate(shown) if not c.all("img")}
    assert bare == set(range(64, 128))
    assert all("not made" in shown[z].text for z in bare)
    assert "64 not made" in page.section("Slices to look at").text
    assert "slices s_" not in page.text


def test_a_partial_volume_has_its_holes_marked(tmp_path, write_config):
    voxels = write_stack(tmp_path / "in", a_stack(150)[:, :, :64])
    break_slice(tmp_path, "s_070.png")
    config = write_config(chunk_size=[32, 32, 8], allow_partial=True, damaged="error")
    assert zblocks("convert", config).code == 0
    report, page = read_report(tmp_path / "out"), read_page(tmp_path / "out")
    assert report["status"] == page.all("header")[0].all("span")[0].text == "PARTIAL"
    part = page.section("Published with holes")
    assert len(part.all("details")[1].all("li")) == len(report["holes"])
    xy, xz, yz = (f.all("img")[0] for f in page.section("Middle planes").all("figure"))
    assert "z 63" in xy.attributes["alt"]  # the middle is in the hole
    for image in (xz, yz):
        seen = picture(image).astype(int)
        coloured = (seen.max(axis=2) - seen.min(axis=2)).mean(axis=1) > 20
        assert np.flatnonzero(coloured).tolist() == list(range(64, 128))
    assert len(voxels) == 150


def test_a_run_of_which_nothing_stands_has_a_page(tmp_path, write_config):
    write_stack(tmp_path / "in", a_stack(5))
    break_slice(tmp_path, "s_003.png")
    assert zblocks("convert", write_config()).code == 1
    page = read_page(tmp_path / "out")
    assert "s_003.png" in page.section("Not published").text
    assert not page.all("img")
    assert not [s for s in page.all("section") if s.all("h2")[0].text == "Contact sheet"]


def test_hostile_names_are_text(tmp_path, write_config):
    evil = "a\"><script>alert(1)<script>&amp;<img src=x onerror=alert(1)>'"
    voxels = write_stack(tmp_path / "in", a_stack(12))
    (tmp_path / "in/s_004.png").rename(tmp_path / "in" / f"{evil}.png")
    voxels[4] = 0
    names = [f"{evil if z == 4 else f's_{z:03d}'} {z}" for z in range(12)]
    names[7] = f"Placeholder{evil} 7"
    write_stack(tmp_path / "blank", voxels[4:5])
    (tmp_path / "blank/s_000.png").rename(tmp_path / "in" / f"{evil}.png")
    config = write_config(
        sorted_filename=names, ext=".png", destination=f"file://{tmp_path}/out <b>'\"&"
    )
    done = zblocks("convert", config)
    assert done.code == 0, done.err
    page = read_page(tmp_path / "out <b>'\"&")
    assert not page.all("script")
    assert not [n for n in page.all("img") if "onerror" in n.attributes]
    assert not page.all("b")
    rows = page.section("Slices to look at").all("tbody")[0].all("tr")
    assert [r.all("td")[2].text for r in rows] == [f"Placeholder{evil} 7", f"{evil}.png"]
    assert evil in cells(page)[4].all("img")[0].attributes["alt"]
    assert page.all("h1")[0].text == "out%20%3Cb%3E%27%22%26"
    assert json.dumps(names[4], ensure_ascii=False) in page.section("How it was made").text


def test_sixteen_bits_are_shown_as_the_link_does(tmp_path, write_config):
    write_stack(tmp_path / "in", a_stack(20, "uint16", top=4000), ".tif")
    assert zblocks("convert", write_config(ext=".tif")).code == 0
    page = read_page(tmp_path / "out")
    note = "values use 12 of 16 bits, up to 4000"
    assert note in page.section("Histogram").text
    assert note in read_report(tmp_path / "out")["notes"]
    seen = picture(cells(page)[3].all("img")[0])
    assert seen.max() > 240
    assert seen.min() < 30


def test_colour_stays_colour(tmp_path, write_config):
    voxels = np.zeros((6, 40, 60, 3), np.uint8)
    voxels[:, :, :20, 0], voxels[:, :, 20:40, 1], voxels[:, :, 40:, 2] = 200, 150, 100
    voxels[:, 0, 0] = np.arange(6)[:, None] + 1
    write_stack(tmp_path / "in", voxels)
    assert zblocks("convert", write_config()).code == 0
    for cell in cells(read_page(tmp_path / "out")):
        seen = picture(cell.all("img")[0]).astype(int)
        h, w = seen.shape[:2]
        for part, due in ((1, (200, 0, 0)), (3, (0, 150, 0)), (5, (0, 0, 100))):
            assert np.abs(seen[h // 2, w * part // 6] - due).max() < 12


def test_labels_have_colours_of_their_own(tmp_path, write_config):
    labels = np.zeros((6, 40, 60, 1), np.uint16)
    labels[:, :, 20:40], labels[:, :, 40:] = 7, 8
    labels[3] = 9
    write_stack(tmp_path / "in", labels, ".tif")
    config = write_config(ext=".tif", layer_type="segmentation", encoding="compressed_segmentation")
    done = zblocks("convert", config)
    assert done.code == 0, done.err
    report, page = read_report(tmp_path / "out"), read_page(tmp_path / "out")
    assert report["slices"]["outliers"] == []
    assert [b["z"] for b in report["slices"]["blank"]] == [3]
    assert not [s for s in page.all("section") if s.all("h2")[0].text == "Histogram"]
    seen = picture(cells(page)[0].all("img")[0]).astype(int)
    h, w = seen.shape[:2]
    none, seven, eight = (seen[h // 2, w * part // 6] for part in (1, 3, 5))
    assert none.max() < 12
    assert min(seven.max(), eight.max()) > 64
    assert np.abs(seven - eight).max() > 30


@pytest.mark.parametrize("encoding", ["jpeg", "png"])
@pytest.mark.parametrize("sharding", [False, True])
def test_pictures_come_from_chunks_of_any_kind(tmp_path, write_config, encoding, sharding):
    voxels = write_stack(tmp_path / "in", a_stack(20))
    fields = {"encoding": encoding, "sharding": sharding, "chunk_size": [32, 32, 8]}
    assert zblocks("convert", write_config(**fields)).code == 0
    figure = read_page(tmp_path / "out").section("Middle planes").all("figure")[0]
    seen = picture(figure.all("img")[0]).astype(float)
    assert np.corrcoef(seen.ravel(), voxels[10].ravel())[0, 1] > 0.95


def test_floats_are_shown_from_their_lowest_to_their_highest(tmp_path, write_config):
    import tifffile

    (tmp_path / "in").mkdir()
    for z in range(6):
        plane = np.linspace(-3 - z, 5, 40 * 60, dtype=np.float32).reshape(40, 60)
        tifffile.imwrite(tmp_path / "in" / f"s_{z}.tif", plane)
    assert zblocks("convert", write_config(ext=".tif")).code == 0
    seen = picture(cells(read_page(tmp_path / "out"))[5].all("img")[0])
    assert seen[0].mean() < 12
    assert seen[-1].mean() > 240


def test_a_deep_stack_shows_evenly_chosen_slices(tmp_path, write_config):
    voxels = np.random.default_rng(0).integers(0, 255, (450, 16, 20, 1), np.uint8)
    voxels[3] = 9
    write_stack(tmp_path / "in", voxels)
    assert zblocks("convert", write_config()).code == 0
    page = read_page(tmp_path / "out")
    shown = [int(re.match(r"\d+", c.all("span")[0].text)[0]) for c in cells(page)]
    assert len(shown) == 400
    assert (shown[0], shown[-1]) == (0, 449)
    assert max(np.diff(shown)) == 2
    assert "400 of 450, evenly spaced" in page.section("Contact sheet").text
    assert "s_003.png" in page.section("Slices to look at").text


def test_a_large_volume_is_seen_from_a_coarser_scale(tmp_path, write_config):
    """Too many chunks to read: each picture covers two slices, at an odd offset too."""
    voxels = np.repeat(np.repeat(a_stack(48), 3, axis=1), 2, axis=2)
    voxels[20] = 5
    write_stack(tmp_path / "in", voxels)
    config = write_config(
        voxel_offset=[0, 0, -5], chunk_size=[8, 8, 8], voxel_resolution=[4, 4, 4], sharding=True
    )
    assert zblocks("convert", config).code == 0
    page = read_page(tmp_path / "out")
    assert "Each picture covers up to 2 slices" in page.section("Contact sheet").text
    shown = cells(page)
    spans = [c.all("span")[0].text for c in shown]
    assert spans[:3] == ["-5", "-4 to -3", "-2 to -1"]
    assert spans[-1] == "42"
    assert [s for s in spans if "blank" in s] == ["14–15 · blank"]
    pairs = [voxels[:1], *(voxels[z : z + 2] for z in range(1, 47, 2)), voxels[47:]]
    due = [pair[..., 0].mean(axis=0) for pair in pairs]
    for at, cell in enumerate(shown):
        image = Image.fromarray(picture(cell.all("img")[0])).resize((200, 180))
        alike = [np.corrcoef(np.asarray(image).ravel(), d.ravel())[0, 1] for d in due]
        assert int(np.argmax(alike)) == at


def test_what_cannot_be_shown_is_no_reason_to_withhold_a_volume(tmp_path, write_config):
    """A chunk that can't be decoded, receipted as it lies: report.json says so."""
    write_stack(tmp_path / "in", a_stack(9))
    config = write_config(chunk_size=[32, 32, 8])
    assert zblocks("convert", config).code == 0
    assert read_report(tmp_path / "out")["page"].endswith("/.zblocks/report.html")
    chunk = tmp_path / "out/4_4_40/0-32_0-32_0-8.gz"
    size = chunk.stat().st_size
    chunk.write_bytes(b"\0" * size)
    path = tmp_path / "out/.zblocks/receipts/block-00000.json"
    receipt = json.loads(path.read_text())
    for row in receipt["objects"]:
        if row[0] == "4_4_40/0-32_0-32_0-8":
            row[2] = zlib.crc32(b"\0" * size)
    path.write_text(json.dumps(receipt))
    done = zblocks("convert", config)
    assert done.code == 0, done.err
    assert "report.json" in done.out
    report = read_report(tmp_path / "out")
    assert report["status"] == "COMPLETE"
    assert report["page_error"].startswith("SliceError: ")
    assert "0-32_0-32_0-8" in report["page_error"]
    assert "page" not in report
    assert not (tmp_path / "out/.zblocks/report.html").exists()


def test_in_a_bucket_it_is_a_page(tmp_path, write_config, cloud):
    write_stack(tmp_path / "in", a_stack(9))
    assert zblocks("convert", write_config(destination="s3://volumes/v")).code == 0
    found = cloud.s3.get_object(Bucket="volumes", Key="v/.zblocks/report.html")
    assert found["ContentType"] == "text/html; charset=utf-8"
    assert found["CacheControl"] == "no-cache"
    page = parse(found["Body"].read().decode())
    assert len(cells(page)) == 9
    assert page.all("a")[0].attributes["href"].startswith("https://")


@pytest.mark.browser
@pytest.mark.skipif(find_chromium() is None, reason="Chromium is not installed")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_opens_from_a_folder_in_a_browser(odd, width, scheme):
    from playwright.sync_api import sync_playwright

    _, out = odd
    said, asked = [], []
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
        page.on("console", lambda m: said.append(m.text))
        page.on("pageerror", lambda e: said.append(str(e)))
        page.on("request", lambda r: asked.append(r.url))
        page.goto((out / ".zblocks/report.html").as_uri())
        page.wait_for_load_state("networkidle")
        room = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        empty = page.evaluate("[...document.images].filter(i => !i.naturalWidth).length")
        count = page.evaluate("document.images.length")
        style = page.evaluate(
            "['body', 'section'].map(n => getComputedStyle(document.querySelector(n)))"
            ".flatMap(s => [s.color, s.backgroundColor])"
        )
        small = page.evaluate(
            "[...document.querySelectorAll('main *')].filter(e => e.innerText"
            " && parseFloat(getComputedStyle(e).fontSize) < 12).length"
        )
        browser.close()
    assert said == []
    assert {url.split(":")[0] for url in asked} <= {"file", "data"}
    assert room[0] <= room[1]
    assert (count, empty, small) == (43, 0, 0)
    ink, ground = (np.mean([int(n) for n in re.findall(r"\d+", style[i])[:3]]) for i in (0, 3))
    assert (ink < ground) == (scheme == "light")
    assert abs(ink - ground) > 150
