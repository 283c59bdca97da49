"""The documents of OME-Zarr images, as ome-zarr-models validates them.

It needs an environment of its own, which `make test` makes: `make .venv-zarr/.ready`.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.flow.conftest import textured, write_stack, zblocks

PYTHON = Path(__file__).parents[2] / ".venv-zarr" / "bin" / "python"
VALIDATE = """
import sys
import zarr
from ome_zarr_models.v05.image import Image
from ome_zarr_models.v05.image_label import ImageLabel
group = zarr.open_group(sys.argv[1], mode="r")
kind = ImageLabel if "image-label" in group.attrs["ome"] else Image
print(kind.from_zarr(group).attributes)
"""

pytestmark = pytest.mark.skipif(
    not PYTHON.exists(), reason="needs make .venv-zarr/.ready, as make test does"
)


def validate(folder: Path) -> subprocess.CompletedProcess[str]:
    line = [PYTHON, "-c", VALIDATE, folder]
    return subprocess.run(line, capture_output=True, text=True, check=False, env={})


@pytest.mark.parametrize(
    ("channels", "fields"),
    [
        (1, {"voxel_offset": [-3, 5, 7]}),
        (3, {"sharding": True}),
        (1, {"layer_type": "segmentation", "sharding": True}),
    ],
)
def test_the_documents_are_valid(tmp_path, write_config, channels, fields):
    write_stack(tmp_path / "in", textured((20, 60, 70, channels), "uint8"))
    config = write_config(format="ome-zarr", scales=3, **fields)
    assert zblocks("convert", config).code == 0
    done = validate(tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("VectorTranslation(") == 3


def test_it_would_say_so(tmp_path, write_config):
    write_stack(tmp_path / "in", textured((20, 60, 70, 1), "uint8"))
    assert zblocks("convert", write_config(format="ome-zarr")).code == 0
    document = json.loads((tmp_path / "out/zarr.json").read_text())
    del document["attributes"]["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    (tmp_path / "out/zarr.json").write_text(json.dumps(document))
    assert "coordinateTransformations" in validate(tmp_path / "out").stderr
