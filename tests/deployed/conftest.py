"""The stack, deployed as docs/deploying.md says to an AWS on this machine; once for all tests."""

import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demo.deploy import ROOT, deploy
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
    """The deployed stack, used through the AWS command line only."""

    aws: Emulator
    reader: Reader
    """Who has deployed it."""
    machine: str
    """ARN of the state machine."""
    topic: str
    """ARN of the topic that mails are sent through."""

    def cli(self, *arguments: str | Path) -> str:
        """Run `aws …`; its output."""
        done = subprocess.run(
            [command("aws"), *map(str, arguments)],
            env=dict(self.aws.env), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"aws {arguments}: {done.stderr}\n{tail(self.aws.log)}"
        return done.stdout

    def start(self, config: Path, machine: str = "") -> str:
        """Start an execution as the README says; its ARN."""
        reply = self.cli(
            *("stepfunctions", "start-execution", "--state-machine-arn", machine or self.machine),
            *("--input", f"file://{config}"),
        )
        return json.loads(reply)["executionArn"]

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
        deadline = time.monotonic() + SECONDS_TO_END
        while time.monotonic() < deadline:
            what = ("stepfunctions", "describe-execution", "--execution-arn", execution)
            described = json.loads(self.cli(*what))
            if described["status"] != "RUNNING":
                return described
            time.sleep(0.5)
        raise AssertionError(f"{execution} still runs\n{tail(self.aws.log, 60)}")

    def executions(self) -> dict[str, str]:
        """ARN → status of all executions so far."""
        what = ("stepfunctions", "list-executions", "--state-machine-arn", self.machine)
        listed = json.loads(self.cli(*what))["executions"]
        return {each["executionArn"]: each["status"] for each in listed}

    def upload(self, folder: Path, place: str) -> None:
        self.cli("s3", "cp", "--recursive", "--quiet", folder, place)

    def keys(self, prefix: str) -> dict[str, str]:
        """Key → time of last change, below a prefix of the volumes' bucket."""
        what = ("s3api", "list-objects-v2", "--bucket", VOLUMES, "--prefix", prefix)
        listed = json.loads(self.cli(*what) or "{}").get("Contents", [])
        return {each["Key"]: each["LastModified"] for each in listed}

    def document(self, key: str) -> dict:
        return json.loads(self.cli("s3", "cp", f"s3://{VOLUMES}/{key}", "-"))

    def put(self, key: str, document: object, path: Path) -> None:
        path.write_text(json.dumps(document))
        self.cli("s3", "cp", path, f"s3://{VOLUMES}/{key}")


@pytest.fixture(scope="package")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """What the page makes, up to the chapter that removes it all: that is followed at the end."""
    context = {"destination_bucket": VOLUMES, "source_buckets": SOURCE, "create_buckets": "true"}
    with emulator(wait_scale=0.05) as aws:
        reader = settle(tmp_path_factory.mktemp("deployer") / "zblocks", aws.env)
        reader.follow(PAGE, until=REMOVING)
        outputs = deploy(aws, context | {"notify_email": "lab@example.org"})
        yield Cloud(aws, reader, outputs["StateMachineArn"], outputs["NoticesTopic"])
        reader.follow(PAGE, since=REMOVING)


@pytest.fixture
def mails(cloud):
    """A function: a number → so many texts that were mailed, by way of a queue."""

    def sqs(verb: str, *options: str) -> dict:
        # The CLI's SQS looks for no endpoint in the environment.
        reply = cloud.cli("sqs", verb, *options, "--endpoint-url", cloud.aws.endpoint)
        return json.loads(reply or "{}")

    place = ("--queue-url", sqs("create-queue", "--queue-name", "mails")["QueueUrl"])
    asked = sqs("get-queue-attributes", *place, "--attribute-names", "QueueArn")
    queue = asked["Attributes"]["QueueArn"]
    to = ("--topic-arn", cloud.topic, "--protocol", "sqs", "--notification-endpoint", queue)
    cloud.cli("sns", "subscribe", *to, "--attributes", "RawMessageDelivery=true")

    def take(count: int) -> list[str]:
        found: list[str] = []
        for _ in range(60):
            reply = sqs("receive-message", *place, "--wait-time-seconds", "1")
            for message in reply.get("Messages", []):
                found.append(message["Body"])
                sqs("delete-message", *place, "--receipt-handle", message["ReceiptHandle"])
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


@pytest.fixture
def stack(tmp_path) -> Stack:
    """150 smooth JPEG slices of 90×70: three z-blocks of up to 64, edges everywhere."""
    folder = tmp_path / "slices"
    folder.mkdir()
    z, y, x = np.ogrid[:150, :70, :90]
    smooth = (127 + 60 * np.sin(x / 15) + 40 * np.cos(y / 11) + z / 10).astype(np.uint8)
    decoded = []
    for index, plane in enumerate(smooth):
        data = io.BytesIO()
        Image.fromarray(plane).save(data, "JPEG", quality=90)
        (folder / f"s{index:04d}.jpg").write_bytes(data.getvalue())
        decoded.append(np.asarray(Image.open(data)))
    return Stack(folder, np.stack(decoded))


@pytest.fixture
def job(tmp_path):
    """A function: name → path of a config for the slices under that name, and more fields."""

    def write(name: str, more: Mapping[str, object] | None = None) -> Path:
        config = {
            "s3_bucket_name_for_download": SOURCE,
            "s3_prefix": f"{name}/",
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
