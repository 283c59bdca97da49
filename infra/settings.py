"""What a deployer may choose, and what holds if they don't.

Every value is a CDK context value (`-c name=value`, or "context" in cdk.json). Lists may be
JSON arrays or comma separated strings.
"""

import platform
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass

Lookup = Callable[[str], object]
BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
IAM_ARN = {
    "role": re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,512}"),
    "policy": re.compile(r"arn:aws[a-z-]*:iam::(\d{12}|aws):policy/[\w+=,.@/-]{1,512}"),
}
MOST_SIZES = 4
"""Of workers: each adds six metrics to the dashboard, of which 50 are free, and an alarm."""
ADDRESS = re.compile(r"[^@\s,]+@[^@\s,]+\.[^@\s,.]+")
RETENTION_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 3653)


class SettingsError(ValueError):
    """A context value that cannot be deployed: which one, what it holds, what to write."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One deployment's choices, checked."""

    stack_name: str
    """The stack, and the prefix of its functions' names."""
    destination_bucket: str
    """Where volumes are written; the functions can write nowhere else."""
    source_buckets: tuple[str, ...]
    """Where slices may be read from."""
    jobs_bucket: str
    """Where a config put at jobs/*.json starts a conversion: unless named, DESTINATION-jobs if the
    stack makes it (a bucket that sends events is billed for each chunk), else the destination."""
    create_buckets: bool = False
    """True: the stack makes the buckets, or takes over those that an earlier one kept. False: they
    exist already."""
    viewer_origins: tuple[str, ...] = ("*",)
    """Web pages that may read a destination bucket made by the stack (CORS)."""
    public_results: bool = False
    """True: anybody may read the volumes in the destination bucket that the stack makes."""
    kms_key_arns: tuple[str, ...] = ()
    """Keys of buckets that are encrypted with SSE-KMS."""
    source_role_arns: tuple[str, ...] = ()
    """Roles that a config may name to read slices of other accounts."""
    permissions_boundary: str = ""
    """ARN of the policy that every role made here gets as its permissions boundary."""
    runtime: str = "python3.13"
    """Lambda's name of the Python version."""
    architecture: str = "arm64"
    """arm64 or x86_64, in Lambda's words."""
    host: bool = False
    """True: layers hold this machine's own wheels (rehearsals on an emulator)."""
    worker_memory_mb: tuple[int, ...] = (1769, 3008)
    """Of the functions that convert blocks, the smallest first: the plan takes the one with which a
    run costs least. 1769 MB buy one vCPU; 3008 is the most that Lambda gives a new account."""
    log_retention_days: int = 30
    """How long logs are kept."""
    dashboard: bool = True
    """True: a CloudWatch dashboard and alarms. Free for the first three dashboards and ten alarms
    of an account; beyond these they are the one thing that costs while nothing runs, $3.40 a
    month. False: none, and alarms only if they are mailed."""
    notify_email: tuple[str, ...] = ()
    """Who is told by mail of the end of each conversion, and of alarms; each address has to
    confirm SNS's first mail."""

    @property
    def buckets(self) -> tuple[str, ...]:
        """Every bucket, once."""
        names = (self.destination_bucket, self.jobs_bucket, *self.source_buckets)
        return tuple(dict.fromkeys(names))


def read_settings(lookup: Lookup) -> Settings:
    """Read the settings from context; `lookup(name)` gives a context value or None."""
    destination = _bucket("destination_bucket", lookup("destination_bucket"))
    architecture = _one_of("architecture", lookup("architecture") or "arm64", ARCHITECTURES)
    host = architecture == "host"
    create = _flag("create_buckets", lookup("create_buckets"))
    jobs = lookup("jobs_bucket") or (f"{destination}-jobs" if create else destination)
    return Settings(
        stack_name=str(lookup("stack_name") or "zblocks"),
        destination_bucket=destination,
        source_buckets=_buckets("source_buckets", lookup("source_buckets")),
        jobs_bucket=_bucket("jobs_bucket", jobs),
        create_buckets=create,
        viewer_origins=_words(lookup("viewer_origins")) or ("*",),
        public_results=_flag("public_results", lookup("public_results")),
        kms_key_arns=_words(lookup("kms_key_arns")),
        source_role_arns=_arns("source_role_arns", lookup("source_role_arns"), "role"),
        permissions_boundary=_policy(lookup("permissions_boundary")),
        runtime=_runtime(lookup("runtime"), host),
        architecture=host_architecture() if host else architecture,
        host=host,
        worker_memory_mb=_sizes(lookup("worker_memory_mb") or "1769,3008"),
        log_retention_days=_retention(lookup("log_retention_days") or 30),
        dashboard=_flag("dashboard", lookup("dashboard"), default=True),
        notify_email=_addresses(lookup("notify_email")),
    )


ARCHITECTURES = ("arm64", "x86_64", "host")


def host_architecture() -> str:
    """Name the architecture of the machine we run on, in Lambda's words."""
    return "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x86_64"


def _runtime(value: object, host: bool) -> str:
    here = f"python{sys.version_info.major}.{sys.version_info.minor}"
    name = str(value or (here if host else "python3.13"))
    if not re.fullmatch(r"python3\.\d+", name):
        raise SettingsError(f"context runtime: {name!r} is not like python3.13")
    if host and name != here:
        raise SettingsError(f"context runtime: architecture=host runs {here} only, not {name}")
    return name


def _words(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    items = value if isinstance(value, list | tuple) else str(value).strip("[] ").split(",")
    return tuple(word for item in items if (word := str(item).strip().strip("\"'")))


def _bucket(name: str, value: object) -> str:
    if not value:
        raise SettingsError(f"context {name} is missing: add `-c {name}=my-bucket`")
    if not BUCKET_NAME.fullmatch(str(value)):
        raise SettingsError(f"context {name}: {value!r} is not a bucket name (no s3://, no folder)")
    return str(value)


def _buckets(name: str, value: object) -> tuple[str, ...]:
    words = _words(value)
    if not words:
        raise SettingsError(f"context {name} is missing: add `-c {name}=bucket-a,bucket-b`")
    return tuple(dict.fromkeys(_bucket(name, word) for word in words))


def _arns(name: str, value: object, kind: str) -> tuple[str, ...]:
    words = _words(value)
    for word in words:
        if not IAM_ARN[kind].fullmatch(word):
            raise SettingsError(f"context {name}: {word!r} is not the ARN of a {kind}")
    return words


def _policy(value: object) -> str:
    words = _arns("permissions_boundary", value, "policy")
    if len(words) > 1:
        raise SettingsError(f"context permissions_boundary: {value!r} is more than one ARN")
    return words[0] if words else ""


def _addresses(value: object) -> tuple[str, ...]:
    words = _words(value)
    for word in words:
        if not ADDRESS.fullmatch(word):
            raise SettingsError(f"context notify_email: {word!r} is not like me@example.org")
    return words


def _flag(name: str, value: object, *, default: bool = False) -> bool:
    text = str(value if value is not None else default).lower()
    return _one_of(name, text, ("true", "false")) == "true"


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> str:
    if str(value) not in allowed:
        raise SettingsError(f"context {name}: {value!r} is not one of {', '.join(allowed)}")
    return str(value)


def _whole(name: str, value: object, low: int, high: int) -> int:
    if not str(value).isdecimal() or not low <= int(str(value)) <= high:
        raise SettingsError(f"context {name}: {value!r} is not a whole number of {low} to {high}")
    return int(str(value))


def _sizes(value: object) -> tuple[int, ...]:
    sizes = {_whole("worker_memory_mb", word, 512, 10240) for word in _words(value)}
    if not 1 <= len(sizes) <= MOST_SIZES:
        raise SettingsError(
            f"context worker_memory_mb: {value!r}: give 1 to {MOST_SIZES} sizes, such as 1769,3008"
        )
    return tuple(sorted(sizes))


def _retention(value: object) -> int:
    days = _whole("log_retention_days", value, 1, 3653)
    if days not in RETENTION_DAYS:
        allowed = ", ".join(map(str, RETENTION_DAYS))
        raise SettingsError(f"context log_retention_days: {days} is not one of {allowed}")
    return days
