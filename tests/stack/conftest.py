"""One synthesis for all tests of the stack, without building layers.

CDK is imported where it is used: it starts a process of Node.js in each process of the tests.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

CONTEXT = {
    "destination_bucket": "volumes",
    "source_buckets": "slices-a,slices-b",
    "jobs_bucket": "jobs",
    "aws:cdk:bundling-stacks": [],  # no pip here: test_layers.py builds layers
}


@pytest.fixture(autouse=True)
def sizes(monkeypatch):
    """What functions are told of the workers, as deployed by default."""
    monkeypatch.setenv("ZBLOCKS_WORKER_MEMORY_MB", "1769,3008")


@pytest.fixture(scope="session")
def cdk_json() -> dict:
    """What a deployer's synthesis gets from cdk.json."""
    return json.loads((Path(__file__).parents[2] / "cdk.json").read_text())["context"]


@pytest.fixture(scope="session")
def synthesise(cdk_json, tmp_path_factory):
    """A function: context → (template, path of the template)."""

    from infra.stack import make_app

    def run(context: Mapping) -> tuple[dict, Path]:
        folder = tmp_path_factory.mktemp("cdk")
        make_app({**cdk_json, **CONTEXT, **context}, outdir=str(folder)).synth()
        path = folder / "zblocks.template.json"
        return json.loads(path.read_text()), path

    return run


@pytest.fixture(scope="session")
def imported(synthesise):
    """The stack that uses buckets which exist."""
    return synthesise({})


@pytest.fixture(scope="session")
def created(synthesise):
    """The stack that makes its buckets."""
    return synthesise({"create_buckets": "true"})


@pytest.fixture(scope="session")
def watched(synthesise):
    """The stack that sends mails."""
    return synthesise({"notify_email": "lab@example.org, me@example.org"})


@pytest.fixture(scope="session")
def template(imported):
    return imported[0]


@pytest.fixture(scope="session")
def of_type():
    def find(template: dict, kind: str) -> dict[str, dict]:
        return {
            name: resource["Properties"]
            for name, resource in template["Resources"].items()
            if resource["Type"] == kind
        }

    return find
