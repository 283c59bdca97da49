"""Others' rule books: cfn-lint and cdk-nag read the templates."""

import fnmatch
import json
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import CONTEXT

ACCEPTED = {
    # (rule, construct): why it stays.
    (
        "AwsSolutions-IAM5[Resource::*/[*]]",
        "Role *",
    ): "objects of one bucket; volumes' documents; uploaded configs",
    ("AwsSolutions-IAM5[Resource::[*]]", "State machine/Role/DefaultPolicy"): (
        "X-Ray and log deliveries have no names that a policy could give"
    ),
    ("AwsSolutions-IAM5[Resource::*]", "Role */DefaultPolicy"): (
        "X-Ray has no names that a policy could give"
    ),
    ("AwsSolutions-IAM5[Resource::*:execution:<*.Name>*:[*]]", "Map policy"): (
        "executions of this machine get their ids at run time"
    ),
    ("AwsSolutions-IAM5[Resource::*/[*].zblocks/stages/[*]]", "Map policy"): (
        "the lists of tasks of a volume in any folder of the bucket"
    ),
    ("AwsSolutions-IAM5[Resource::*/.zblocks/map/[*]]", "Map policy"): (
        "the map's results of a volume in any folder of the bucket"
    ),
    ("AwsSolutions-IAM5[Resource::*:execution:zblocks:[*]]", "Role plan"): (
        "executions of this machine get their ids at run time"
    ),
    ("AwsSolutions-IAM5[Resource::*/jobs/[*].error.json]", "Role plan"): (
        "answers beside uploads of any name"
    ),
    ("AwsSolutions-IAM5[Resource::*]", "Role plan"): (
        "the account's limits of Lambda have no name that a policy could give"
    ),
    ("AwsSolutions-SQS3", "Lost uploads"): "it is itself where undelivered events go",
    ("AwsSolutions-SF1", "State machine"): (
        "ALL would log an event for each state of each of thousands of blocks; errors are logged"
    ),
    ("AwsSolutions-L1", "Function *"): (
        "the runtime is a choice of the deployer's; the default is what the layers are tested with"
    ),
    ("AwsSolutions-S1", "Bucket *"): (
        "access logs need another bucket and are the account's choice; volumes get many requests"
    ),
}


def test_cfn_lint_finds_nothing(imported, created, watched):
    command = [Path(sys.executable).parent / "cfn-lint", "--non-zero-exit-code", "informational"]
    command += ["--ignore-checks", "W3005"]  # CDK's own redundant DependsOn
    paths = [path for _, path in (imported, created, watched)]
    done = subprocess.run([*command, "--", *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_cdk_nag_finds_nothing_that_is_not_explained_here(cdk_json, tmp_path):
    from aws_cdk import Validations
    from cdk_nag import AwsSolutionsChecks

    from infra.stack import make_app

    choice = {"create_buckets": "true", "notify_email": "lab@example.org"}
    context = {**cdk_json, **CONTEXT, **choice}
    app = make_app(context, outdir=str(tmp_path))
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        app.synth()  # the findings that are accepted are still findings
    found = findings(json.loads((tmp_path / "validation-report.json").read_text()))
    assert found
    used = {finding: accepted_by(finding) for finding in found}
    assert [finding for finding, entry in used.items() if entry is None] == []
    assert set(ACCEPTED) - set(used.values()) == set(), "no longer needed"


def findings(report: dict) -> set[tuple[str, str]]:
    """(rule, construct path below the stack)."""
    return {
        (violation["ruleName"], place(construct["constructPath"]))
        for plugin in report["pluginReports"]
        for violation in plugin["violations"]
        for construct in violation["violatingConstructs"]
    }


def place(path: str) -> str:
    return path.removeprefix("zblocks/").removesuffix("/Resource")


def accepted_by(finding: tuple[str, str]) -> tuple[str, str] | None:
    rule, construct = finding
    for entry in ACCEPTED:
        pattern = entry[0].replace("IAM5[", "IAM5[[]", 1)
        if fnmatch.fnmatchcase(rule, pattern) and fnmatch.fnmatchcase(construct, entry[1]):
            return entry
    return None
