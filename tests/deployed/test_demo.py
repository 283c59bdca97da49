"""The demo volume in the real Neuroglancer: every chunk fetched, none failed, a brain seen."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from demo import __main__ as steps
from demo.__main__ import (
    FOLDER,
    check,
    convert,
    upload_slices,
    viewer_url,
    write_config,
)
from demo.browser import find_chromium, open_page, viewing, with_client

from .conftest import SOURCE, VOLUMES


@pytest.fixture(scope="module")
def demo(cloud, tmp_path_factory):
    """The output of the run that the demo's own steps start, in the buckets that are there."""
    folder, aws = tmp_path_factory.mktemp("demo"), cloud.aws
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "SLICES", SOURCE)
        patch.setattr(steps, "VOLUMES", VOLUMES)
        lines = upload_slices(aws, folder)
        ending = convert(aws, cloud.machine, write_config(folder))
        check(aws, folder, lines)
        yield ending


def test_the_report_names_the_placeholder(cloud, demo):
    report = cloud.document(f"{FOLDER}/.zblocks/report.json")
    assert report["filled_slices"] == [
        {"z": 60, "name": "Placeholder_0060 60", "why": "placeholder", "how": "fill 0"}
    ]
    assert report["chunks_compared_by_second_reader"] == 7  # three of scales 0 and 1, one of 2
    assert report["execution"].startswith("arn:aws:states:")


@pytest.mark.browser
@pytest.mark.skipif(find_chromium() is None, reason="Chromium is not installed")
def test_every_chunk_loads_in_neuroglancer(cloud, demo, tmp_path):
    aws, place = cloud.aws, f"{cloud.aws.endpoint}/{VOLUMES}/{FOLDER}"
    info, keys = cloud.document(f"{FOLDER}/info"), cloud.keys(f"{FOLDER}/1000000_")
    # The client is served here; the volume comes from the bucket, whose CORS rule is needed.
    with (
        viewing(f"s3://{VOLUMES}/{FOLDER}", "--offline", env=aws.env) as offline,
        open_page(with_client(viewer_url(aws, demo["link"]), offline)) as page,
    ):
        page.show()
        page.screenshot(tmp_path / "brain.png")
        for scale in info["scales"]:
            factor = scale["resolution"][0] / info["scales"][0]["resolution"][0]
            depth = scale["chunk_sizes"][0][2]
            for z in range(depth // 2, scale["size"][2] + depth // 2, depth):
                middle = [98, 116, min(z, scale["size"][2] - 1) * factor]
                page.show(position=middle, crossSectionScale=factor * 0.9, layout="xy")
        assert page.failed == 0
        fetched = {url: status for url, status in page.fetched.items() if url.startswith(place)}
        assert set(fetched.values()) == {200}
        chunks = {url for url in fetched if "-" in url.rsplit("/", 1)[-1]}
    assert {f"{aws.endpoint}/{VOLUMES}/{key}" for key in keys} <= chunks
    assert {url.split("/")[-2] for url in chunks} == {s["key"] for s in info["scales"]}
    # Seen, not only fetched: the upper left panel holds a brain of many grey levels.
    panel = np.asarray(Image.open(tmp_path / "brain.png").convert("L"))[60:460, 80:560]
    assert panel.std() > 40
    assert len(np.unique(panel)) > 100
