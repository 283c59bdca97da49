"""A first deployment in a new account: CloudFormation's rules about names, and Lambda's quotas.

`Account` is stricter than the emulator: every name is taken until it is deleted, and what a failed
creation keeps stays in the way.
"""

import json
import re
from dataclasses import dataclass, field

import pytest

from .conftest import CONTEXT

NAMES = ("BucketName", "FunctionName", "LogGroupName", "StateMachineName", "AlarmName",
         "DashboardName", "QueueName", "TopicName", "RoleName", "PolicyName", "Name")  # fmt: skip
WITHOUT_OWN_NAME = {"AWS::S3::BucketPolicy": "Bucket", "AWS::IAM::Policy": None}
GLOBAL = (
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",
    "AWS::CloudWatch::Dashboard",
    "AWS::IAM::Role",
)
SMALL_MB = 3008
PARTITIONS = {"aws": "console.aws.amazon.com", "aws-cn": "console.amazonaws.cn",
              "aws-us-gov": "console.amazonaws-us-gov.com"}  # fmt: skip


class DeployError(Exception):
    pass


@dataclass
class Account:
    """What has a name, and the stack that it belongs to; "" if it was kept by one."""

    there: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def deploy(self, template, region="us-east-1", *, fails=None, importing=False):
        """Create a stack; delete what it made if resource number `fails`, or a name, fails."""
        made = []
        for number, (name, resource) in enumerate(template["Resources"].items()):
            key = self.key(resource, region)
            wrong = f"{name}: Limit exceeded" if number == fails else ""
            if key in self.there and not (importing and self.is_kept(key, resource)):
                wrong = wrong or f"{key[1]} already exists"
            if wrong:
                self.roll_back(made)
                raise DeployError(wrong)
            if key is not None:
                made += [] if key in self.there else [(key, resource.get("DeletionPolicy"))]
                self.there[key] = region

    def is_kept(self, key, resource):
        """Whether `--import-existing-resources` takes it: a name written out, no stack's."""
        literal = isinstance(resource["Properties"].get("BucketName"), str)
        kept = ("Retain", "RetainExceptOnCreate")
        return literal and self.there[key] == "" and resource.get("DeletionPolicy") in kept

    def roll_back(self, made):
        for key, policy in made:
            if policy == "Retain":
                self.there[key] = ""
            else:
                del self.there[key]

    def destroy(self, template, region="us-east-1"):
        for resource in template["Resources"].values():
            if (key := self.key(resource, region)) is None:
                continue
            if resource.get("DeletionPolicy", "Delete") == "Delete":
                del self.there[key]
            else:
                self.there[key] = ""

    def key(self, resource, region):
        """(type, name, region); None for what CloudFormation names anew each time."""
        kind, given = resource["Type"], resource["Properties"]
        if kind in WITHOUT_OWN_NAME:
            named = given.get(WITHOUT_OWN_NAME[kind])
        else:
            named = next((given[name] for name in NAMES if name in given), None)
        if named is None:
            return None
        text = json.dumps(named).replace("AWS::Region", region)
        return kind, text, "" if kind in GLOBAL else region


def test_a_first_deployment_that_failed_can_be_repeated(created):
    template = created[0]
    for fails in range(len(template["Resources"])):
        account = Account()
        with pytest.raises(DeployError, match="Limit exceeded"):
            account.deploy(template, fails=fails)
        account.deploy(template)


def test_what_was_destroyed_is_deployed_again_with_the_buckets_that_were_kept(created):
    template, account = created[0], Account()
    for _ in range(3):
        account.deploy(template, importing=True)
        account.destroy(template)
    kept = {json.loads(name) for kind, name, _ in account.there}
    assert kept == {"volumes", "jobs", "slices-a", "slices-b"}
    with pytest.raises(DeployError, match=r"volumes.* already exists"):
        account.deploy(template)


def test_two_regions_take_a_stack_of_the_same_name(synthesise):
    account = Account()
    for region in ("us-east-1", "eu-west-1"):
        template, _ = synthesise({"notify_email": "lab@example.org"})
        account.deploy(template, region)


def test_lambda_gives_a_new_account_what_is_asked_for(created, of_type):
    for function in of_type(created[0], "AWS::Lambda::Function").values():
        assert function["MemorySize"] <= SMALL_MB
        assert not {"ReservedConcurrentExecutions", "VpcConfig", "EphemeralStorage"} & set(function)


def test_nothing_names_a_partition_or_its_hosts(synthesise):
    template, _ = synthesise({"create_buckets": "true", "notify_email": "lab@example.org"})
    consoles = template.pop("Mappings")
    (hosts,) = consoles.values()
    assert {partition: each["host"] for partition, each in hosts.items()} == PARTITIONS
    dashboard = template["Outputs"]["Dashboard"]["Value"]["Fn::Join"][1]
    assert {"Fn::FindInMap": [*consoles, {"Ref": "AWS::Partition"}, "host"]} in dashboard
    text = json.dumps(template)
    assert "arn:aws" not in text
    services = set(re.findall(r'"([\w.]+)\.amazonaws\.com', text))
    assert services == {"lambda", "states", "events", "cloudwatch"}
    assert set(re.findall(r"[\w.-]*amazonaws[\w.-]*", text)) == {
        f"{service}.amazonaws.com" for service in services
    }


def test_a_context_without_a_jobs_bucket_makes_one(synthesise, of_type):
    """Uploads' events are billed for every object of their bucket."""
    assert CONTEXT["jobs_bucket"] == "jobs"
    template, _ = synthesise({"create_buckets": "true", "jobs_bucket": ""})
    buckets = {b["BucketName"]: b for b in of_type(template, "AWS::S3::Bucket").values()}
    assert "NotificationConfiguration" not in buckets["volumes"]
    sends = buckets["volumes-jobs"]["NotificationConfiguration"]["EventBridgeConfiguration"]
    assert sends == {"EventBridgeEnabled": True}
    (rule,) = of_type(template, "AWS::Events::Rule").values()
    assert rule["EventPattern"]["detail"]["bucket"] == {"name": ["volumes-jobs"]}
