"""The bill, by hand: primes for sizes and prices, so that no two terms can be swapped."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from tests.plans import chunk_format
from zblocks.errors import InvalidConfig
from zblocks.geometry import Box, Vec
from zblocks.planning import finish
from zblocks.planning.bill import UNCONFIRMED, Prices, WorkerPool
from zblocks.planning.cost import (
    CHILD_TRANSITIONS,
    CONTROL_MEMORY_MB,
    PARENT_TRANSITIONS,
    RUN_GETS,
    RUN_LISTS,
    RUN_PUTS,
    STAGE_TRANSITIONS,
    WorkDone,
    actual,
    estimate,
)
from zblocks.planning.plan import BlockTask, CoarseStage, MissingSlices, Plan, StackFormat
from zblocks.planning.requests import PUT_RATE, TASK_GETS, block_seconds, slice_gets
from zblocks.precomputed.scale import Scale, Volume
from zblocks.slices.slice_ref import SliceRef
from zblocks.slices.transforms.rows import RowFormat
from zblocks.storage import Bucket

ASL = Path(__file__).parents[2] / "statemachine" / "zblocks.asl.json"
PRICES = Prices(
    events_million=23e6,
    lambda_gb_s_arm64=2.0, lambda_gb_s_x86_64=3.0, lambda_million_requests=5e6,
    transitions_thousand=7e3, put_thousand=11e3, get_thousand=13e3, logs_gb=17.0,
    storage_gb_month=19.0, other_region_gb=29.0,
)  # fmt: skip


def a_scale(factor: int, size: Vec, chunk: Vec) -> Scale:
    f = float(factor)
    box, kind = Box(Vec(0, 0, 0), size), chunk_format(dtype="uint16")
    return Scale(f"{factor}", Vec(factor, factor, factor), (f, f, f), box, chunk, kind)


SCALES = (
    a_scale(1, Vec(40, 30, 12), Vec(16, 16, 4)),
    a_scale(2, Vec(20, 15, 6), Vec(16, 16, 4)),
)


def a_plan(source="s3://a", destination="s3://b/c") -> Plan:
    """12 slices of 40×30 in blocks of 8, chunks of 16×16×4; no block owns the second scale."""
    return Plan(
        volume_id="v", source=source, source_role="", destination=destination,
        volume=Volume("image", SCALES),
        stack=StackFormat(RowFormat(40, 30, 1, "uint16"), "auto", ()),
        missing=MissingSlices(), filled=(), sparse_labels=False, region=None,
        owned=1, block_shape=Vec(0, 0, 8), block_grid=Vec(1, 1, 2),
        coarse_stages=(CoarseStage(1, 2, Vec(0, 0, 0), Vec(1, 1, 1)),), rows=30, decoders=4,
        memory_mb=2048, predicted_peak_mb=100, predicted_block_s=44.0, notes=(),
    )  # fmt: skip


def blocks(kind="jpeg") -> tuple[BlockTask, ...]:
    refs = tuple(SliceRef(z, f"s{z}", 500, "e", kind) for z in range(12))
    boxes = [Box(Vec(0, 0, a), Vec(40, 30, b)) for a, b in ((0, 8), (8, 12))]
    return BlockTask(0, boxes[0], refs[:8]), BlockTask(1, boxes[1], refs[8:])


def lines(bill):
    return {(line.service, line.what.split(",")[0]): line for line in bill.lines}


def test_the_lines_by_hand():
    e = estimate(a_plan(), blocks(), WorkerPool(1), PRICES)
    found = {name: line.quantity for name, line in lines(e.bill).items()}
    assert found[("Lambda", "calls")] == 2 + 1 + 2
    assert found[("Step Functions", "transitions")] == 6 + 2 * 3 + 3 * 2
    # scale 0: 3×2×3 chunks; scale 1: 2×1×2
    assert found[("S3", "PUT")] == 18 + 4 + 3 + RUN_PUTS
    # 12 slices and 12 headers; 18 chunks to coarsen; three tasks, and a receipt of each
    assert found[("S3", "GET")] == 24 + 18 + 3 * TASK_GETS + 3 + RUN_GETS
    assert found[("S3", "LIST")] == 1 + 2 + 2 + RUN_LISTS
    assert found[("CloudWatch", "logs")] == pytest.approx(5 * 2000 / 1e9)
    # a full block takes 44 s, four of them to start; the other one has half as many slices
    assert e.busy_s == pytest.approx(44 + 24 + e.coarse_s)
    control = e.plan_s * CONTROL_MEMORY_MB + e.finalize_s * finish.MEMORY_MB
    gb_s = 2 * e.busy_s + control / 1024
    assert found[("Lambda", "compute")] == pytest.approx(gb_s)
    assert e.stored_gb == pytest.approx((40 * 30 * 12 + 20 * 15 * 6) * 2 * 0.7 / 1e9)
    assert e.month == pytest.approx(e.stored_gb * 19)


def test_headers_of_slices_that_several_blocks_read_are_read_once():
    """By Plan; a box of each half of the slices reads the slices themselves."""
    whole, _ = blocks()
    halves = [
        dataclasses.replace(whole, index=n, box=Box(Vec(20 * n, 0, 0), Vec(20 * n + 20, 30, 8)))
        for n in range(2)
    ]
    one, two = (estimate(a_plan(), tasks, WorkerPool(1), PRICES) for tasks in ([whole], halves))
    assert one.plan_s == two.plan_s
    gets = [lines(e.bill)[("S3", "GET")].quantity for e in (one, two)]
    assert gets[1] - gets[0] == 8 + TASK_GETS + 1  # JPEGs, one request each; documents of a task


def test_every_line_has_its_own_price():
    bill = estimate(a_plan(), blocks(), WorkerPool(1), PRICES).bill
    prices = {name: line.unit_price for name, line in lines(bill).items()}
    assert prices == pytest.approx({
        ("Lambda", "compute"): 2, ("Lambda", "calls"): 5, ("Step Functions", "transitions"): 7,
        ("CloudWatch", "logs"): 17, ("S3", "PUT"): 11, ("S3", "LIST"): 11, ("S3", "GET"): 13,
    })  # fmt: skip
    assert bill.dollars == pytest.approx(sum(n.quantity * n.unit_price for n in bill.lines))
    other = estimate(a_plan(), blocks(), WorkerPool(1, "x86_64"), PRICES).bill
    assert lines(other)[("Lambda", "compute")].unit_price == 3


@pytest.mark.parametrize("cloud", [True, False])
def test_each_put_to_a_bucket_that_sends_events_is_an_event(cloud):
    pool = WorkerPool(1, cloud=cloud)
    quiet = estimate(a_plan(), blocks(), pool, PRICES).bill
    told = dataclasses.replace(a_plan(), bucket=Bucket(sends_events=True))
    bill = estimate(told, blocks(), pool, PRICES).bill
    line = lines(bill)[("EventBridge", "events")]
    assert line.quantity == lines(quiet)[("S3", "PUT")].quantity
    assert line.unit_price == pytest.approx(23)
    assert bill.dollars == pytest.approx(quiet.dollars + line.dollars)


@pytest.mark.parametrize(
    ("here", "there", "cloud", "far"),
    [("us-east-1", "eu-west-1", True, True), ("us-east-1", "us-east-1", True, False),
     ("us-east-1", "", True, False), ("", "eu-west-1", True, False),
     ("us-east-1", "eu-west-1", False, False)],
)  # fmt: skip
def test_bytes_of_slices_in_another_region_are_traffic(here, there, cloud, far):
    pool = WorkerPool(1, cloud=cloud)
    usual = estimate(a_plan(), blocks(), pool, PRICES).bill
    plan = dataclasses.replace(a_plan(), bucket=Bucket(here), source_region=there)
    bill = estimate(plan, blocks(), pool, PRICES).bill
    line = lines(bill).get(("S3", "traffic from eu-west-1"))
    assert (line is not None) == far
    if line:
        read = sum(r.bytes for t in blocks() for s in t.slices for r in s.reads)
        assert line.quantity == pytest.approx(read / 1e9)
        assert line.unit_price == 29
    assert bill.dollars == pytest.approx(usual.dollars + (line.dollars if line else 0))


@pytest.mark.parametrize(
    ("source", "destination", "charged"),
    [
        ("file:///a", "file:///b", set()),
        ("s3://a", "file:///b", {"LIST", "GET"}),
        ("file:///a", "s3://b/c", {"PUT", "LIST", "GET"}),
    ],
)
def test_one_machine_pays_for_requests_to_buckets_only(source, destination, charged):
    e = estimate(a_plan(source, destination), blocks(), WorkerPool(2, cloud=False), PRICES)
    assert {line.what for line in e.bill.lines} == charged
    assert {line.service for line in e.bill.lines} <= {"S3"}
    assert (e.month > 0) == destination.startswith("s3")
    assert bool(e.bill.dollars) == bool(charged)


def test_workers_take_blocks_in_order():
    plan, both = a_plan(), blocks()
    assert [block_seconds(plan, t) for t in both] == [44, 24]
    assert estimate(plan, both, WorkerPool(1), PRICES).blocks_s == 68
    assert estimate(plan, both, WorkerPool(2), PRICES).blocks_s == 44
    assert estimate(plan, both[1:], WorkerPool(2), PRICES).blocks_s == 24
    assert estimate(plan, (), WorkerPool(2), PRICES).blocks_s == 0


def test_requests_of_one_prefix_have_a_rate():
    scale = a_scale(1, Vec(4000, 4000, 12), Vec(4, 4, 4))
    plan = dataclasses.replace(a_plan(), volume=Volume("image", (scale,)), coarse_stages=())
    assert estimate(plan, blocks(), WorkerPool(2), PRICES).blocks_s == 3_000_000 / PUT_RATE


@pytest.mark.parametrize(
    ("kind", "size", "rows", "gets"),
    [
        ("jpeg", 10**8, 30, 1),  # whole: one read
        ("jpeg", 16_000, 10, 1),  # in strips: 16 KiB, 64, 256, then 1 MiB each
        ("jpeg", 17_000, 10, 2),
        ("jpeg", (16 + 64 + 256 + 1024) << 10, 10, 4),
        ("png", ((16 + 64 + 256 + 1024) << 10) + 1, 30, 5),
        ("jp2", 10**8, 10, 1),
        ("jp2-strips", 10**8, 30, 1),
        ("jp2-strips", 10**8, 10, 3 + 6),  # its header, and 16 MiB each
        ("tiff", 10**8, 30, 2),  # its tags, and its only strip
    ],
)
def test_reads_of_a_slice(kind, size, rows, gets):
    plan = dataclasses.replace(a_plan(), rows=rows)
    assert slice_gets(plan, SliceRef(0, "s", size, "e", kind)) == gets
    assert slice_gets(plan, SliceRef(0, None)) == 0


@pytest.mark.parametrize(("pieces", "gets"), [((40, 3), 2), ((16, 16), 2), ((20_000, 16), 3)])
def test_reads_of_a_tiff_in_pieces(pieces, gets):
    """Its tags, and strips or tiles of about 4 MiB of pixels together; here rows of 40 kB."""
    wide = dataclasses.replace(a_plan().stack, rows=RowFormat(20_000, 150, 1, "uint16"))
    stack = wide if pieces[0] > 100 else a_plan().stack
    plan = dataclasses.replace(
        a_plan(), stack=stack, pieces=pieces, block_shape=Vec(20_000, 150, 8)
    )
    assert slice_gets(plan, SliceRef(0, "s", 10**8, "e", "tiff")) == gets


@pytest.mark.parametrize(("pieces", "gets"), [((40, 16), 3), ((40, 30), 2), (None, 1 + 96)])
def test_reads_of_a_jpeg_2000_in_tiles(pieces, gets):
    """Its header, and each row of tiles; about as many as for all of it if they aren't known."""
    plan = dataclasses.replace(a_plan(), pieces=pieces)
    assert slice_gets(plan, SliceRef(0, "s", 10**8, "e", "jp2-tiles")) == gets


def test_what_it_took_is_of_the_work_done():
    plan, said = a_plan(), estimate(a_plan(), blocks(), WorkerPool(1), PRICES)
    read = tuple(r for task in blocks() for r in task.slices)
    done = WorkDone(blocks=2, tasks=3, seconds=3.0 + 5.0 + 1.0, objects=12 + 6 + 4, read=read)
    took, predicted = actual(plan, blocks(), done, WorkerPool(1), PRICES), said.bill
    ours, theirs = lines(took), lines(predicted)
    compute = ("Lambda", "compute")
    gone = theirs[compute].quantity - 2 * said.busy_s
    assert ours.pop(compute).quantity == pytest.approx(gone + 2 * (3 + 5 + 1))
    theirs.pop(compute)
    assert ours == theirs  # the same blocks, objects and slices: all that was predicted
    one = WorkDone(blocks=1, tasks=1, seconds=3.0, objects=12, read=read[:8])
    fewer = lines(actual(plan, blocks(), one, WorkerPool(1), PRICES))
    assert fewer[("S3", "PUT")].quantity == 12 + 1 + RUN_PUTS
    assert fewer[("Step Functions", "transitions")].quantity == 6 + 2 * 3 + 2
    throttled = lines(
        actual(plan, blocks(), dataclasses.replace(one, retries=7), WorkerPool(1), PRICES)
    )
    assert throttled[("Step Functions", "transitions")].quantity == 6 + 2 * 3 + 2 + 7


def path(machine, start, taken=()):
    """The states that are entered when nothing fails; `taken` are those that choices go to."""
    at = start
    while at:
        yield at
        state = machine["States"][at]
        nexts = [each["Next"] for each in state.get("Choices", ())]
        at = next((n for n in nexts if n in taken), state.get("Next") or state.get("Default"))
        if at == start:
            return


def test_transitions_are_the_states_of_the_machine():
    """A state entered is a transition; so is the start of a Distributed Map's child."""
    machine = json.loads(ASL.read_text())
    entered = list(path(machine, machine["StartAt"]))
    assert entered[-1] == "Published"
    assert len(entered) == PARENT_TRANSITIONS
    stage = list(path(machine, "Tasks left?", taken=("Next stage",)))
    assert stage == ["Tasks left?", "Next stage", "Convert"]
    assert len(stage) == STAGE_TRANSITIONS
    child = machine["States"]["Convert"]["ItemProcessor"]
    assert child["ProcessorConfig"]["ExecutionType"] == "STANDARD"
    assert 1 + len(list(path(child, child["StartAt"]))) == CHILD_TRANSITIONS


def test_a_file_of_prices_changes_what_it_names(tmp_path):
    file = tmp_path / "prices.json"
    file.write_text('{"date": "2027-01", "region": "eu-central-1", "put_thousand": 0.0054}')
    prices = Prices.load(file)
    assert (prices.region, prices.put_thousand) == ("eu-central-1", 0.0054)
    assert prices.get_thousand == Prices().get_thousand


PRICE = re.compile(
    r"^\| `(\w+)`[^|]* \| ([\d.]+) \| "
    r"\[\w[\w ]+\]\(https://aws\.amazon\.com/[\w-]+/pricing/\) \| "
    r"(unconfirmed|\d{4}-\d\d)[^|]* \|$",
    re.MULTILINE,
)
"""A row of the table of prices."""


def test_every_price_has_its_page_and_date():
    text = (Path(__file__).parents[2] / "docs" / "costs.md").read_text()
    rows, prices = PRICE.findall(text), Prices()
    figures = prices.model_dump(exclude={"date", "region"})
    assert {name: float(figure) for name, figure, _ in rows} == figures
    assert {name for name, _, found in rows if found == "unconfirmed"} == UNCONFIRMED
    assert {found for *_, found in rows} == {"unconfirmed", prices.date}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"put_thousand": -1}', "put_thousand: found -1; give dollars"),
        ('{"put_thousand": "5"}', 'put_thousand: found "5"; give dollars'),
        ('{"puts_thousand": 1}', 'puts_thousand": no such field; did you mean "put_thousand"?'),
        ('{"date": 2026}', "date: found 2026; give a short text"),
        ("[]", "give one JSON object"),
    ],
)
def test_odd_prices_are_named(tmp_path, text, message):
    file = tmp_path / "prices.json"
    file.write_text(text)
    with pytest.raises(InvalidConfig, match=r"prices\.json") as error:
        Prices.load(file)
    assert message in str(error.value)
