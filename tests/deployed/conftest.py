"""The stack, deployed as docs/deploying.md says to an AWS on this machine; once for all tests."""

import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from demo.deploy import ROOT
from demo.emulator import Emulator, command, emulator, tail
from demo.signals import default_signals
from tests.docs.pages import Reader, settle

PAGE, REMOVING = ROOT / "docs/deploying.md", "## Removing everything"
SOURCE, VOLUMES, JOBS = "my-slices", "my-volumes", "my-volumes-jobs"
"""The page's."""
SECONDS_TO_END = 600


def pytest_collection_modifyitems(items):
    """Everything here waits for a deployment: minutes, not seconds."""
    for item in items:
        if "deployed" in item.path.parts:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(1800))


@dataclass(frozen=True)
class Cloud:
    """The deployed stack, used through the AWS command line; looked at through the SDK.

    For hundreds of questions the command line would start as many processes.
    """

    aws: Emulator
    reader: Reader
    """Who has deployed it."""
    outputs: Mapping[str, str]
    """Of the stack."""

    @property
    def machine(self) -> str:
        """ARN of the state machine."""
        return self.outputs["StateMachineArn"]

    def cli(self, *arguments: str | Path) -> str:
        """Run `aws …`; its output."""
        done = subprocess.run(
            [command("aws"), *map(str, arguments)],
            env=dict(self.aws.env), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"aws {arguments}: {done.stderr}\n{tail(self.aws.log)}"
        return done.stdout

    def start(self, config: Path, machine: str = "") -> str:
        """Start an execution; its ARN."""
        begun = self.aws.client("stepfunctions").start_execution(
            stateMachineArn=machine or self.machine, input=config.read_text()
        )
        return begun["executionArn"]

    def zblocks(self, *arguments: str | Path, endpoint: str = "") -> subprocess.Popen[str]:
        """Begin `zblocks …` as a user would here; ask it how it went with `communicate`."""
        env = {**self.aws.env, "AWS_ENDPOINT_URL": endpoint or self.aws.endpoint}
        with default_signals():
            return subprocess.Popen(
                [sys.executable, "-m", "zblocks", *map(str, arguments)],
                env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip

    def wait(self, execution: str) -> dict:
        """What describe-execution says once the execution has ended."""
        machines = self.aws.client("stepfunctions")
        deadline = time.monotonic() + SECONDS_TO_END
        while time.monotonic() < deadline:
            described = machines.describe_execution(executionArn=execution)
            if described["status"] != "RUNNING":
                return described
            time.sleep(0.2)
        raise AssertionError(f"{execution} still runs\n{tail(self.aws.log, 60)}")

    def executions(self) -> set[str]:
        """ARNs of all executions so far."""
        pages = self.aws.client("stepfunctions").get_paginator("list_executions")
        listed = pages.paginate(stateMachineArn=self.machine).build_full_result()
        return {each["executionArn"] for each in listed["executions"]}

    def keys(self, prefix: str) -> dict[str, Any]:
        """Key → time of last change, below a prefix of the volumes' bucket."""
        pages = self.aws.client("s3").get_paginator("list_objects_v2")
        listed = pages.paginate(Bucket=VOLUMES, Prefix=prefix).build_full_result()
        return {each["Key"]: each["LastModified"] for each in listed.get("Contents", [])}

    def document(self, key: str, bucket: str = VOLUMES) -> dict:
        return json.loads(self.aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())

    def put(self, key: str, data: bytes, bucket: str = VOLUMES) -> None:
        self.aws.client("s3").put_object(Bucket=bucket, Key=key, Body=data)


@pytest.fixture(scope="package")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """What the page makes, up to the chapter that removes it all: that is followed at the end.

    It says which addresses get mails in words only; here they are among its context values.
    """
    with emulator(wait_scale=0.05) as aws:
        folder = tmp_path_factory.mktemp("deployer") / "zblocks"
        reader = settle(folder, aws.env, "-c notify_email=lab@example.org")
        reader.follow(PAGE, until=REMOVING)
        (stack,) = aws.client("cloudformation").describe_stacks(StackName="zblocks")["Stacks"]
        outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
        yield Cloud(aws, reader, outputs)
        reader.follow(PAGE, since=REMOVING)


@pytest.fixture
def mails(cloud):
    """A function: a number → so many texts that were mailed, by way of a queue."""
    sqs = cloud.aws.client("sqs")
    place = sqs.create_queue(QueueName="mails")["QueueUrl"]
    asked = sqs.get_queue_attributes(QueueUrl=place, AttributeNames=["QueueArn"])
    cloud.aws.client("sns").subscribe(
        TopicArn=cloud.outputs["NoticesTopic"], Protocol="sqs",
        Endpoint=asked["Attributes"]["QueueArn"], Attributes={"RawMessageDelivery": "true"},
    )  # fmt: skip

    def take(count: int) -> list[str]:
        found: list[str] = []
        for _ in range(60):
            reply = sqs.receive_message(QueueUrl=place, WaitTimeSeconds=1)
            for message in reply.get("Messages", []):
                found.append(message["Body"])
                sqs.delete_message(QueueUrl=place, ReceiptHandle=message["ReceiptHandle"])
            if len(found) >= count:
                break
        return found

    return take


@dataclass(frozen=True)
class Stack:
    """Slices as files in a folder, and what is in them: (z, y, x), uint8."""

    folder: Path
    voxels: np.ndarray

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture(scope="package")
def stack(cloud, tmp_path_factory) -> Stack:
    """150 smooth JPEG slices of 90×70: three z-blocks of up to 64, edges everywhere.

    They are uploaded as the README says, to `whole/`.
    """
    folder = tmp_path_factory.mktemp("slices")
    z, y, x = np.ogrid[:150, :70, :90]
    smooth = (127 + 60 * np.sin(x / 15) + 40 * np.cos(y / 11) + z / 10).astype(np.uint8)
    decoded = []
    for index, plane in enumerate(smooth):
        data = io.BytesIO()
        Image.fromarray(plane).save(data, "JPEG", quality=90)
        (folder / f"s{index:04d}.jpg").write_bytes(data.getvalue())
        decoded.append(np.asarray(Image.open(data)))
    cloud.cli("s3", "cp", "--recursive", "--quiet", folder, f"s3://{SOURCE}/whole/")
    return Stack(folder, np.stack(decoded))


@pytest.fixture(scope="package")
def put_broken(cloud, stack):
    """A function: puts the slices below a prefix, one of them cut off after its header."""

    def put(prefix: str, broken: str) -> str:
        for path in stack.folder.iterdir():
            data = path.read_bytes()
            end = data.index(b"\xff\xda") + 40 if path.name == broken else len(data)
            cloud.put(f"{prefix}{path.name}", data[:end], SOURCE)
        return prefix

    return put


@pytest.fixture(scope="package")
def broken(put_broken) -> str:
    """Prefix of slices of which the second block can't read one, s0100.jpg."""
    return put_broken("broken/", "s0100.jpg")


@pytest.fixture
def job(stack, tmp_path):
    """A function: name → path of a config that makes a volume of this name, and more fields."""

    def write(name: str, more: Mapping[str, object] | None = None, prefix: str = "whole/") -> Path:
        config = {
            "s3_bucket_name_for_download": SOURCE,
            "s3_prefix": prefix,
            "ext": ".jpg",
            "s3_bucket_name_for_upload": VOLUMES,
            "s3_dir_to_write_to": f"brains/{name}",
            "voxel_resolution": [3680, 3680, 20000],
            **(more or {}),
        }
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(config))
        return path

    return write
