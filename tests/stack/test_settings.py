"""Context values: what they default to, and what is said about wrong ones."""

import re
import sys

import pytest

from infra.settings import SettingsError, read_settings

LEAST = {"destination_bucket": "volumes", "source_buckets": "slices"}
HERE = f"python{sys.version_info.major}.{sys.version_info.minor}"


def read(**context):
    return read_settings({**LEAST, **context}.get)


def test_defaults():
    settings = read()
    assert (settings.stack_name, settings.jobs_bucket) == ("zblocks", "volumes")
    assert (settings.runtime, settings.architecture, settings.host) == (
        "python3.13",
        "arm64",
        False,
    )
    assert (settings.create_buckets, settings.worker_memory_mb) == (False, (1769, 3008))
    assert (settings.dashboard, settings.notify_email) == (True, ())


def test_a_jobs_bucket_that_is_made_is_one_of_its_own():
    """Each object of a bucket that sends events is billed for its event."""
    assert read(create_buckets="true").jobs_bucket == "volumes-jobs"
    assert read(create_buckets="true", jobs_bucket="mine").jobs_bucket == "mine"
    with pytest.raises(SettingsError, match=r"jobs_bucket: .* is not a bucket name"):
        read(create_buckets="true", destination_bucket="v" * 60)


@pytest.mark.parametrize(
    "given",
    ["slices-a,slices-b", "slices-a, slices-b,", ["slices-a", "slices-b"],
     '["slices-a", "slices-b"]', "slices-a,slices-b,slices-a"],
)  # fmt: skip
def test_lists_are_arrays_or_comma_separated(given):
    assert read(source_buckets=given).source_buckets == ("slices-a", "slices-b")


@pytest.mark.parametrize("given", ["3008, 1769", [3008, 1769], "[1769,3008]", "1769,3008,1769"])
def test_sizes_of_workers_are_sorted(given):
    assert read(worker_memory_mb=given).worker_memory_mb == (1769, 3008)
    assert read(worker_memory_mb=2048).worker_memory_mb == (2048,)


def test_host_means_this_machine_and_this_python():
    settings = read(architecture="host")
    assert settings.host
    assert settings.runtime == HERE
    assert settings.architecture in ("arm64", "x86_64")


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({"destination_bucket": None}, "destination_bucket is missing: add `-c"),
        ({"source_buckets": ""}, "source_buckets is missing: add `-c"),
        ({"destination_bucket": "s3://volumes/a"}, "is not a bucket name (no s3://, no folder)"),
        ({"source_buckets": "ok-one,Not_ok"}, "'Not_ok' is not a bucket name"),
        ({"architecture": "riscv"}, "'riscv' is not one of arm64, x86_64, host"),
        ({"runtime": "3.13"}, "'3.13' is not like python3.13"),
        ({"architecture": "host", "runtime": "python3.9"}, f"runs {HERE} only, not python3.9"),
        ({"source_role_arns": "arn:aws:iam::1:user/a"}, "'arn:aws:iam::1:user/a' is not the ARN"),
        ({"permissions_boundary": "Lab"}, "'Lab' is not the ARN of a policy"),
        (
            {"permissions_boundary": [f"arn:aws-cn:iam::111122223333:policy/{n}" for n in "ab"]},
            "is more than one ARN",
        ),
        ({"create_buckets": "yes"}, "'yes' is not one of true, false"),
        ({"worker_memory_mb": "20000"}, "not a whole number of 512 to 10240"),
        ({"worker_memory_mb": "1769,3008 MB"}, "'3008 MB' is not a whole number"),
        ({"worker_memory_mb": "1024,1280,1769,2048,3008"}, "give 1 to 4 sizes, such as 1769,3008"),
        ({"log_retention_days": "31"}, "31 is not one of 1, 3, 5"),
        ({"dashboard": "no"}, "dashboard: 'no' is not one of true, false"),
        ({"notify_email": "a@b.org,lab"}, "notify_email: 'lab' is not like me@example.org"),
    ],
)
def test_wrong_values_are_named(context, message):
    with pytest.raises(SettingsError, match=re.escape(message)):
        read(**context)


def test_the_cost_model_knows_what_is_deployed():
    """`zblocks plan` reckons with these; infra and zblocks meet by name only, so this holds it."""
    from infra.stack import CONTROL_MEMORY_MB, FINALIZE_MEMORY_MB
    from zblocks.planning import cost, finish
    from zblocks.run import forecast

    assert CONTROL_MEMORY_MB == cost.CONTROL_MEMORY_MB
    assert FINALIZE_MEMORY_MB == finish.MEMORY_MB
    assert read().worker_memory_mb == forecast.LAMBDA_SIZES_MB
