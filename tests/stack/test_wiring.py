"""The parts of the stack fit together, and fit what lies in lambdas/ and statemachine/."""

import ast
import json
import re
from pathlib import Path

import pytest

from handlers.sizes import deployed, worker_of
from zblocks.neuroglancer import CORS_RULE

from .plans import a_prepared

ROOT = Path(__file__).parents[2]
SIZES = (1769, 3008)
FUNCTIONS = ("plan", "finalize", *(f"worker-{mb}" for mb in SIZES))


@pytest.fixture
def functions(template, of_type) -> dict[str, dict]:
    found = of_type(template, "AWS::Lambda::Function").values()
    return {each["FunctionName"].removeprefix("zblocks-"): each for each in found}


def test_each_function_names_a_handler_that_exists(functions):
    assert set(functions) == set(FUNCTIONS)
    for name, function in functions.items():
        module, _, attribute = function["Handler"].rpartition(".")
        assert module == f"handlers.{name.partition('-')[0]}"
        source = (ROOT / "lambdas" / f"{module.replace('.', '/')}.py").read_text()
        defined = [node.name for node in ast.parse(source).body if hasattr(node, "name")]
        assert attribute in defined


def test_each_function_has_the_runtime_time_and_environment(functions):
    for name, function in functions.items():
        assert function["Runtime"] == "python3.13"
        assert function["Architectures"] == ["arm64"]
        assert function["Timeout"] == 900
        assert "ReservedConcurrentExecutions" not in function
        assert "EphemeralStorage" not in function
        variables = dict(function["Environment"]["Variables"])
        assert variables.pop("ZBLOCKS_DESTINATION_BUCKET") == "volumes"
        assert variables.pop("MALLOC_ARENA_MAX") == "1"
        assert variables.pop("OPENBLAS_NUM_THREADS") == "1"
        assert variables.pop("POWERTOOLS_SERVICE_NAME") == "zblocks"
        assert function["TracingConfig"] == {"Mode": "Active"}
        assert set(variables) == {
            "plan": {"ZBLOCKS_WORKER_MEMORY_MB"},
            "finalize": {"ZBLOCKS_WORKER_MEMORY_MB", "CLOUD_VOLUME_DIR"},
        }.get(name, set())


def test_the_plan_knows_the_functions_that_it_chooses_from(functions, monkeypatch):
    """And Finalize, which may send an execution back to its blocks."""
    for name in ("plan", "finalize"):
        told = functions[name]["Environment"]["Variables"]["ZBLOCKS_WORKER_MEMORY_MB"]
        monkeypatch.setenv("ZBLOCKS_WORKER_MEMORY_MB", told)
        assert tuple(worker.memory_mb for worker in deployed()) == SIZES
        for mb in SIZES:
            plan = a_prepared("s3://b/p", memory_mb=mb).plan
            function = functions[worker_of(plan).removeprefix("zblocks-")]
            assert function["MemorySize"] == mb


def test_only_finalize_has_the_reader_that_is_not_ours(template, functions):
    layers = {name: function["Layers"][0]["Ref"] for name, function in functions.items()}
    kinds = {name: template["Resources"][layer]["Properties"]["Description"]
             for name, layer in layers.items()}  # fmt: skip
    worker = "requirements/worker.lock"
    assert kinds == {**dict.fromkeys(FUNCTIONS, worker), "finalize": "requirements/finalize.lock"}


def test_every_log_is_kept_for_a_time_and_belongs_to_something(template, of_type, functions):
    logs = of_type(template, "AWS::Logs::LogGroup")
    assert {log["LogGroupName"] for log in logs.values()} == {
        "/aws/vendedlogs/states/zblocks",
        *(f"/aws/lambda/zblocks-{name}" for name in ("plan", "worker", "finalize")),
    }  # fmt: skip
    assert {log["RetentionInDays"] for log in logs.values()} == {30}
    for name, function in functions.items():
        group = logs[function["LoggingConfig"]["LogGroup"]["Ref"]]["LogGroupName"]
        assert group == f"/aws/lambda/zblocks-{name.partition('-')[0]}"


def test_the_machine_logs_errors_without_anybodys_data(template, of_type):
    (machine,) = of_type(template, "AWS::StepFunctions::StateMachine").values()
    assert machine["LoggingConfiguration"]["Level"] == "ERROR"
    assert machine["LoggingConfiguration"]["IncludeExecutionData"] is False
    assert machine["TracingConfiguration"] == {"Enabled": True}


def test_the_substitutions_are_those_of_the_definition(template, of_type):
    (machine,) = of_type(template, "AWS::StepFunctions::StateMachine").values()
    definition = (ROOT / "statemachine" / "zblocks.asl.json").read_text()
    wanted = set(re.findall(r"\$\{(\w+)\}", definition))
    assert set(machine["DefinitionSubstitutions"]) == wanted


def test_the_maps_label_is_the_one_that_permissions_name():
    from infra.stack import MAP_LABEL

    definition = json.loads((ROOT / "statemachine" / "zblocks.asl.json").read_text())
    assert definition["States"]["Convert"]["Label"] == MAP_LABEL


def test_an_upload_of_a_config_starts_the_machine_with_a_pointer_to_it(template, of_type):
    (rule,) = of_type(template, "AWS::Events::Rule").values()
    assert rule["EventPattern"] == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": ["jobs"]},
            "object": {"key": [{"wildcard": "jobs/*.json"}]},
        },
    }
    (target,) = rule["Targets"]
    (machine,) = of_type(template, "AWS::StepFunctions::StateMachine")
    assert target["Arn"] == {"Ref": machine}
    transformer = target["InputTransformer"]
    pointer = json.loads(re.sub(r"<([\w-]+)>", r'"\1"', transformer["InputTemplate"]))["trigger"]
    assert {name: transformer["InputPathsMap"][place] for name, place in pointer.items()} == {
        "bucket": "$.detail.bucket.name",
        "key": "$.detail.object.key",
        "etag": "$.detail.object.etag",
        "sequencer": "$.detail.object.sequencer",
        "event_id": "$.id",
    }


def test_the_outputs_are_what_people_and_scripts_need(template, of_type):
    outputs = template["Outputs"]
    assert set(outputs) == {
        "StateMachineArn", "DestinationBucket", "JobsBucket", "LostUploads", "Dashboard"
    }  # fmt: skip
    (machine,) = of_type(template, "AWS::StepFunctions::StateMachine")
    assert outputs["StateMachineArn"]["Value"] == {"Ref": machine}
    assert outputs["DestinationBucket"]["Value"] == "volumes"
    assert "must send its events to EventBridge" in outputs["JobsBucket"]["Description"]


def test_buckets_that_exist_are_left_alone(template, of_type):
    assert of_type(template, "AWS::S3::Bucket") == {}
    assert of_type(template, "AWS::S3::BucketPolicy") == {}


def test_buckets_made_here_are_private_and_kept(created, of_type):
    template = created[0]
    buckets = of_type(template, "AWS::S3::Bucket")
    named = {bucket["BucketName"]: bucket for bucket in buckets.values()}
    assert set(named) == {"volumes", "jobs", "slices-a", "slices-b"}
    for name in buckets:
        assert template["Resources"][name]["DeletionPolicy"] == "RetainExceptOnCreate"
    for bucket in named.values():
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        assert bucket["BucketEncryption"]
    assert [name for name, each in named.items() if "CorsConfiguration" in each] == ["volumes"]
    (cors,) = named["volumes"]["CorsConfiguration"]["CorsRules"]
    # In CloudFormation's words what the public-access check recommends for a bucket.
    words = {"ExposeHeaders": "ExposedHeaders", "MaxAgeSeconds": "MaxAge"}
    rule = {words.get(name, name): value for name, value in CORS_RULE.items()}
    assert cors == {**rule, "AllowedOrigins": ["*"]}
    notified = [name for name, each in named.items() if "NotificationConfiguration" in each]
    assert notified == ["jobs"]


def test_buckets_made_here_refuse_plain_http(created, of_type):
    policies = of_type(created[0], "AWS::S3::BucketPolicy").values()
    assert len(policies) == 4
    for policy in policies:
        (statement,) = policy["PolicyDocument"]["Statement"]
        assert statement["Effect"] == "Deny"
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_no_function_is_there_but_ours(created, of_type):
    assert len(of_type(created[0], "AWS::Lambda::Function")) == len(FUNCTIONS)
    assert not [kind for kind in created[0]["Resources"].values() if "Custom" in kind["Type"]]


def test_context_chooses_architecture_runtime_and_memory(synthesise, of_type):
    choice = {"architecture": "x86_64", "runtime": "python3.12", "worker_memory_mb": "2048"}
    template, _ = synthesise({**choice, "log_retention_days": "90"})
    functions = of_type(template, "AWS::Lambda::Function").values()
    assert {(each["Runtime"], *each["Architectures"]) for each in functions} == {
        ("python3.12", "x86_64")
    }
    assert {each["MemorySize"] for each in functions} == {1769, 2048, 3008}
    logs = of_type(template, "AWS::Logs::LogGroup").values()
    assert {log["RetentionInDays"] for log in logs} == {90}


@pytest.mark.parametrize("stack", ["imported", "created", "watched"])
def test_cdk_has_nothing_to_say(stack, request):
    """No warning of a construct, and no feature flag that cdk.json leaves open.

    `cdk flags --unstable=flags --set --recommended --all` sets them after an update of CDK.
    """
    manifest = json.loads((request.getfixturevalue(stack)[1].parent / "manifest.json").read_text())
    artifacts = manifest["artifacts"].values()
    texts = [m for each in artifacts for m in each.get("metadata", {}).values()]
    bad = ("aws:cdk:warning", "aws:cdk:error")
    said = [entry for entries in texts for entry in entries if entry["type"] in bad]
    assert said == []
    (report,) = (a for a in artifacts if a["type"] == "cdk:feature-flag-report")
    flags = report["properties"]["flags"]
    assert [name for name, flag in flags.items() if "userValue" not in flag] == []


def test_only_code_goes_to_the_functions(imported):
    (code,) = (path for path in imported[1].parent.glob("asset.*") if (path / "handlers").exists())
    assert {path.name for path in code.iterdir()} == {"handlers", "zblocks"}
