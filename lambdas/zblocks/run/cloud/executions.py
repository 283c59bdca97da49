"""Finds the deployed state machine, starts its executions, and reads their state.

The only module besides `storage` that uses boto3, which repeats calls that AWS throttles.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from zblocks.errors import InvalidConfig, StorageError, ZblocksError
from zblocks.run.lock import Holder

SIZES = "ZBLOCKS_WORKER_MEMORY_MB"
"""Environment variable of functions: the deployed sizes of workers, MiB, the smallest first."""

INPUT_BYTES = 255 * 1024
"""Maximum size of an execution's input: Step Functions' 256 KiB, since Plan gets its name, too."""


@dataclass(frozen=True, slots=True)
class Execution:
    """The state of one execution, from Step Functions."""

    arn: str
    status: str  # `RUNNING`, `SUCCEEDED`, `FAILED`, `TIMED_OUT`, `ABORTED` or `PENDING_REDRIVE`
    begun: float  # seconds since the epoch: when it was started, or redriven last
    given: dict[str, Any] = field(default_factory=dict)  # its input
    output: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    cause: str = ""
    stopped: float = 0.0  # seconds since the epoch: when it ended; 0 before

    @property
    def ended(self) -> bool:
        """Whether it has ended and is not to be redriven."""
        return self.status not in ("RUNNING", "PENDING_REDRIVE")


@dataclass(frozen=True, slots=True)
class Workers:
    """Sizes and architecture of the deployed functions that convert blocks."""

    sizes_mb: tuple[int, ...]  # the smallest first
    architecture: str


def find_machine(stack: str) -> str:
    """Return the ARN of a stack's state machine, from the stack's outputs; an ARN as it is.

    Raises InvalidConfig: there is no such stack here, or it isn't one of zblocks.
    """
    if stack.startswith("arn:"):
        return stack
    with _asked(f"the stack {stack}", "give another one, or the machine's ARN, with --machine"):
        stacks = _client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    outputs = {o["OutputKey"]: o["OutputValue"] for o in stacks[0].get("Outputs", [])}
    if "StateMachineArn" not in outputs:
        msg = f"the stack {stack}: has no output StateMachineArn, so it isn't a stack of zblocks"
        raise InvalidConfig(msg)
    return str(outputs["StateMachineArn"])


def workers_of(machine: str) -> Workers | None:
    """Return what the machine's workers have; None without permission to ask."""
    from botocore.exceptions import BotoCoreError, ClientError

    name = f"{machine.rpartition(':')[2]}-plan"  # it is told the sizes
    try:
        found = _client("lambda", machine).get_function_configuration(FunctionName=name)
    except (ClientError, BotoCoreError):
        return None
    sizes = found["Environment"]["Variables"][SIZES].split(",")
    return Workers(tuple(map(int, sizes)), found.get("Architectures", ["x86_64"])[0])


def functions_at_once(machine: str = "") -> int | None:
    """Return how many functions the account may run at once, less what is reserved.

    None if unknown. The quota is the one of the machine's region, or else of the user's.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    patience = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 3})
    try:
        client = boto3.client("lambda", region_name=_region(machine), config=patience)
        limit = client.get_account_settings()["AccountLimit"]
        return int(limit["UnreservedConcurrentExecutions"])
    except (ClientError, BotoCoreError, KeyError):
        return None


def start(machine: str, name: str, given: dict[str, Any]) -> str:
    """Start an execution; return its ARN.

    Raises InvalidConfig: the input is too large, or there is no such machine.
    """
    text = json.dumps(given)
    if len(text.encode()) > INPUT_BYTES:
        msg = (
            f"the input has {len(text.encode()) >> 10} KiB, an execution takes "
            f"{INPUT_BYTES >> 10}: put the list of slices into the bucket (aws s3 cp names.txt "
            's3://BUCKET/names.txt) and give "sorted_filename": "s3://BUCKET/names.txt"'
        )
        raise InvalidConfig(msg)
    with _asked(machine, "give the ARN of a deployed state machine"):
        reply = _client("stepfunctions", machine).start_execution(
            stateMachineArn=machine, name=name, input=text
        )
    return str(reply["executionArn"])


def execution_of(machine: str, name: str) -> str:
    """Return the ARN of a machine's execution by its name."""
    return f"{machine.replace(':stateMachine:', ':execution:')}:{name}"


def describe(arn: str) -> Execution:
    """Return the state of an execution.

    Raises InvalidConfig: it doesn't exist; StorageError: AWS doesn't answer; asking again may help.
    """
    with _asked(arn, "give the ARN that starting it printed"):
        found = _client("stepfunctions", arn).describe_execution(executionArn=arn)
    return Execution(
        arn=arn,
        status=found["status"],
        begun=(found.get("redriveDate") or found["startDate"]).timestamp(),
        given=_object(found.get("input")),
        output=_object(found.get("output")),
        error=found.get("error") or "",
        cause=found.get("cause") or "",
        stopped=found["stopDate"].timestamp() if found.get("stopDate") else 0.0,
    )


def ask(arn: str) -> Holder:
    """Return what Step Functions says about the execution that holds a lock.

    Raises StorageError: AWS doesn't answer; asking again may help.
    """
    try:
        found = describe(arn)
    except ZblocksError as error:
        answer = getattr(error.__cause__, "response", {})
        code = answer.get("Error", {}).get("Code", "")
        if code == "ExecutionDoesNotExist":
            return Holder("ended")
        if isinstance(error, StorageError) and not code.startswith("Kms"):
            raise
        return Holder("unknown", why=code or "no access")
    if found.status == "RUNNING":
        return Holder("running")
    if not found.ended:
        return Holder("unknown", why=found.status)
    return Holder("ended", found.stopped)


def count_running(arn: str) -> int | None:
    """Return how many tasks of an execution are running; None if unknown."""
    from botocore.exceptions import BotoCoreError, ClientError

    client = _client("stepfunctions", arn)
    try:
        runs = client.list_map_runs(executionArn=arn)["mapRuns"]
        found = [client.describe_map_run(mapRunArn=r["mapRunArn"]) for r in runs]
    except (ClientError, BotoCoreError):
        return None
    return sum(int(f["itemCounts"]["running"]) for f in found) if found else None


def _object(text: str | None) -> dict[str, Any]:
    """Return a JSON object; an empty one for anything else."""
    try:
        document = json.loads(text or "{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


_clients: dict[tuple[str, str | None], Any] = {}


def _region(arn: str) -> str | None:
    return arn.split(":")[3] if arn.count(":") > 3 else None


def _client(service: str, arn: str = "") -> Any:
    """Return a client, in the region of an ARN where there is one."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    region = _region(arn)
    if (service, region) not in _clients:
        retries = Config(retries={"mode": "adaptive", "max_attempts": 8})
        try:
            _clients[service, region] = boto3.client(service, region_name=region, config=retries)
        except BotoCoreError as error:
            raise InvalidConfig(f"{service}: {error}; set AWS_REGION, or a profile") from error
    return _clients[service, region]


NOT_FOUND = (
    "ExecutionDoesNotExist", "StateMachineDoesNotExist", "InvalidArn", "InvalidName",
    "ValidationError", "ValidationException", "InvalidExecutionInput",
)  # fmt: skip
DENIED = ("AccessDenied", "AccessDeniedException", "ExpiredToken", "ExpiredTokenException",
          "UnrecognizedClientException", "InvalidClientTokenId")  # fmt: skip


@contextmanager
def _asked(what: str, advice: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        said = error.response["Error"].get("Message", "")[:300]
        if code in NOT_FOUND:
            raise InvalidConfig(f"{what}: {said or code}; {advice}") from error
        if code in DENIED:
            raise InvalidConfig(f"{what}: {code} ({said}); check your credentials") from error
        raise StorageError(f"{what}: AWS answered {code} ({said}); try again") from error
    except NoCredentialsError as error:
        raise InvalidConfig(f"{what}: no AWS credentials here; set them up first") from error
    except BotoCoreError as error:
        raise StorageError(f"{what}: {error}; try again") from error
