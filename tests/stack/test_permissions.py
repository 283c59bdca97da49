"""Each role may do what is listed here, and nothing else."""

import re
from fnmatch import fnmatch

import pytest

LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
READ, LIST = {"s3:GetObject"}, {"s3:ListBucket"}
PUT = {"s3:PutObject", "s3:AbortMultipartUpload"}
WRITE = READ | PUT
REPLACE = WRITE | {"s3:DeleteObject"}
SETTINGS = {
    "s3:GetBucketNotification", "s3:GetBucketObjectLockConfiguration", "s3:GetBucketVersioning",
}  # fmt: skip
RESULTS = WRITE | {"s3:ListMultipartUploadParts"}
SOURCES = {"slices-a": LIST, "slices-b": LIST, "slices-a/*": READ, "slices-b/*": READ}
TRACES = {"*": {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}}
"""AWS knows no narrower resource."""
EXECUTIONS = "states:execution:{Statemachine.Name}"

ALLOWED = {
    "Roleplan": {
        "{Logplan}": LOGS, "jobs/jobs/*": READ,
        "jobs/jobs/*.error.json": {"s3:PutObject", "s3:DeleteObject"},
        "states:execution:zblocks:*": {"states:DescribeExecution"},
    }
    | SOURCES
    # AWS knows no narrower resource for quotas, either.
    | {"*": TRACES["*"] | {"lambda:GetAccountSettings"}}
    | {
        "volumes": LIST | SETTINGS,
        "volumes/*": READ | {"s3:DeleteObject"}, "volumes/*.zblocks/*": PUT,
    },
    "Roleworker": {"{Logworker}": LOGS, "volumes": LIST, "volumes/*": WRITE} | SOURCES | TRACES,
    "Rolefinalize": {
        "{Logfinalize}": LOGS, "volumes": LIST, "volumes/*": REPLACE,
        "events:event-bus/default": {"events:PutEvents"},
    } | TRACES,
    "StatemachineRole": {
        **{f"{{Function{name}}}": {"lambda:InvokeFunction"} for name in
           ("plan", "worker1769", "worker3008", "finalize")},
        "{Statemachine}": {"states:StartExecution"},
        f"{EXECUTIONS}:*": {"states:DescribeExecution", "states:StopExecution"},
        f"{EXECUTIONS}/Tasks:*": {
            "states:DescribeExecution", "states:StopExecution", "states:RedriveExecution",
        },
        "volumes/*.zblocks/stages/*": READ,
        "volumes/.zblocks/map/*": RESULTS,
        # AWS knows no narrower resource for these two groups.
        "*": {
            "xray:PutTraceSegments", "xray:PutTelemetryRecords",
            "xray:GetSamplingRules", "xray:GetSamplingTargets",
            "logs:CreateLogDelivery", "logs:GetLogDelivery", "logs:UpdateLogDelivery",
            "logs:DeleteLogDelivery", "logs:ListLogDeliveries", "logs:PutResourcePolicy",
            "logs:DescribeResourcePolicies", "logs:DescribeLogGroups",
        },
    },
    "Roleupload": {"{Statemachine}": {"states:StartExecution"}},
}  # fmt: skip


REFUSED = {
    "Roleplan": {"volumes/jobs/*.zblocks/*": {"s3:PutObject"}},
    "Roleworker": {"volumes/jobs/*": {"s3:PutObject"}},
    "Rolefinalize": {"volumes/jobs/*": {"s3:PutObject", "s3:DeleteObject"}},
}
"""Uploads start executions, and those could upload; whichever bucket is for uploads."""


@pytest.mark.parametrize("stack", ["imported", "created", "watched"])
def test_every_role_may_do_exactly_what_is_listed(stack, request):
    template = request.getfixturevalue(stack)[0]
    assert granted(template) == ALLOWED
    assert granted(template, "Deny") == REFUSED


def test_no_function_can_write_a_config_for_another_execution(synthesise):
    """In one bucket for uploads and volumes, but for Plan's answers, which start nothing."""
    template, _ = synthesise({"jobs_bucket": "volumes"})
    for role, rights in granted(template).items():
        denied = granted(template, "Deny").get(role, {})
        for key in ("jobs/a.json", "jobs/a/b.json", "jobs/a.zblocks/b.json"):
            may = any("s3:PutObject" in does and fnmatch(f"volumes/{key}", pattern)
                      for pattern, does in rights.items())  # fmt: skip
            refused = any("s3:PutObject" in does and fnmatch(f"volumes/{key}", pattern)
                          for pattern, does in denied.items())  # fmt: skip
            assert refused or not may, (role, key)


def test_a_bucket_of_somebody_else_gets_nothing_under_the_name_of_ours(created, imported):
    ours = {"StringEquals": {"aws:ResourceAccount": {"Ref": "AWS::AccountId"}}}
    for template, expected in ((created[0], ours), (imported[0], None)):
        allowed = [s for _, s in statements(template) if s["Effect"] == "Allow"]
        about_s3 = [s for s in allowed if as_list(s["Action"])[0].startswith("s3:")]
        assert len(about_s3) > 10
        assert all(s.get("Condition") == expected for s in about_s3)


def test_no_service_acts_for_another_account(watched):
    """Of each statement whose principal is a service: the account, and what in it."""
    template = watched[0]
    documents = [
        r["AssumeRolePolicyDocument"] for r in of_type(template, "AWS::IAM::Role").values()
    ]
    for kind in ("AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy"):
        documents += [p["PolicyDocument"] for p in of_type(template, kind).values()]
    seen = {}
    for statement in (s for document in documents for s in document["Statement"]):
        if "Service" not in (principal := statement["Principal"]):
            continue
        condition = statement["Condition"]
        flat = {key: value for each in condition.values() for key, value in each.items()}
        assert flat["aws:SourceAccount"] == {"Ref": "AWS::AccountId"}
        seen.setdefault(principal["Service"], []).append("aws:SourceArn" in flat)
    assert seen == {
        # Lambda names the account, and roles are passed to functions by who may deploy.
        "lambda.amazonaws.com": [False] * 3,
        "states.amazonaws.com": [True],
        "events.amazonaws.com": [True, True, True],
        "cloudwatch.amazonaws.com": [True],
    }


def test_the_rule_alone_starts_executions_and_fills_the_queue(template):
    (rule,) = of_type(template, "AWS::Events::Rule").values()
    role = of_type(template, "AWS::IAM::Role")
    trust = next(r for name, r in role.items() if name.startswith("Roleupload"))
    (queue,) = of_type(template, "AWS::SQS::QueuePolicy").values()
    for document in (trust["AssumeRolePolicyDocument"], queue["PolicyDocument"]):
        condition = document["Statement"][-1]["Condition"]
        arn = plain(template, condition["ArnEquals"]["aws:SourceArn"])
        assert arn.endswith(f":rule/{rule['Name']}")


def test_every_role_has_the_boundary_that_is_named(synthesise, template):
    arn = "arn:aws:iam::111122223333:policy/Lab"
    bounded, _ = synthesise({"permissions_boundary": arn, "create_buckets": "true"})
    roles = of_type(bounded, "AWS::IAM::Role").values()
    assert {role["PermissionsBoundary"] for role in roles} == {arn}
    for role in of_type(template, "AWS::IAM::Role").values():
        assert "PermissionsBoundary" not in role


def test_no_statement_uses_what_the_walk_would_miss(template):
    for _role, statement in statements(template):
        assert not {"NotAction", "NotResource", "NotPrincipal", "Principal"} & set(statement)
    for role in of_type(template, "AWS::IAM::Role").values():
        assert "ManagedPolicyArns" not in role
    kinds = {resource["Type"] for resource in template["Resources"].values()}
    assert not {"AWS::IAM::ManagedPolicy", "AWS::IAM::User", "AWS::Lambda::Permission"} & kinds


def test_each_role_is_for_one_service(template):
    for name, role in of_type(template, "AWS::IAM::Role").items():
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        service = "events" if "upload" in name else "states" if "State" in name else "lambda"
        assert statement["Principal"] == {"Service": f"{service}.amazonaws.com"}


def test_a_key_is_granted_when_named(synthesise):
    arn = "arn:aws:kms:us-east-1:111122223333:key/one"
    template, _ = synthesise({"kms_key_arns": arn})
    use = {"kms:Decrypt", "kms:GenerateDataKey"}
    assert {role for role, rights in granted(template).items() if rights.get(arn) == use} == {
        role for role in ALLOWED if role != "Roleupload"
    }


def test_a_role_of_another_account_may_be_assumed_when_named(synthesise):
    arn = "arn:aws:iam::444455556666:role/slices"
    template, _ = synthesise({"source_role_arns": arn})
    holders = {role for role, rights in granted(template).items() if arn in rights}
    assert holders == {"Roleplan", "Roleworker"}
    assert granted(template)["Roleworker"][arn] == {"sts:AssumeRole"}


def test_buckets_made_here_are_closed_encrypted_and_kept_tidy(synthesise):
    template, _ = synthesise({"create_buckets": "true"})
    for properties in of_type(template, "AWS::S3::Bucket").values():
        assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
        assert properties["BucketEncryption"]
        assert "VersioningConfiguration" not in properties
        rules = {r["Id"]: r for r in properties["LifecycleConfiguration"]["Rules"]}
        assert rules["unfinished-uploads"]["AbortIncompleteMultipartUpload"]
        results = properties["BucketName"] == "volumes"
        assert (rules.get("map-results", {}).get("Prefix") == ".zblocks/map/") == results
    policies = of_type(template, "AWS::S3::BucketPolicy").values()
    effects = [s["Effect"] for p in policies for s in p["PolicyDocument"]["Statement"]]
    assert set(effects) == {"Deny"}  # of what isn't TLS


def test_only_alarms_and_eventbridge_may_publish_notices_and_only_by_tls(watched):
    template = watched[0]
    (policy,) = of_type(template, "AWS::SNS::TopicPolicy").values()
    deny, alarms, rules = policy["PolicyDocument"]["Statement"]
    assert (deny["Effect"], deny["Condition"]) == (
        "Deny", {"Bool": {"aws:SecureTransport": "false"}}
    )  # fmt: skip
    assert {s["Action"] for s in (deny, alarms, rules)} == {"sns:Publish"}
    assert alarms["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    named = alarms["Condition"]["ArnEquals"]["aws:SourceArn"]
    assert {arn["Fn::GetAtt"][0] for arn in named} == set(
        of_type(template, "AWS::CloudWatch::Alarm")
    )
    assert rules["Principal"] == {"Service": "events.amazonaws.com"}
    named = rules["Condition"]["ArnEqualsIfExists"]["aws:SourceArn"]
    mails = {n for n in of_type(template, "AWS::Events::Rule") if n.startswith("Watch")}
    assert {arn["Fn::GetAtt"][0] for arn in named} == mails


def granted(template: dict, effect: str = "Allow") -> dict[str, dict[str, set[str]]]:
    """Role → resource → actions."""
    found: dict[str, dict[str, set[str]]] = {}
    for role, statement in statements(template):
        if statement["Effect"] != effect:
            continue
        for resource in as_list(statement["Resource"]):
            rights = found.setdefault(role, {}).setdefault(plain(template, resource), set())
            rights.update(as_list(statement["Action"]))
    return found


def statements(template: dict):
    for name, role in of_type(template, "AWS::IAM::Role").items():
        for policy in role.get("Policies", []):
            for statement in policy["PolicyDocument"]["Statement"]:
                yield title(template, name), statement
    for policy in of_type(template, "AWS::IAM::Policy").values():
        for role in policy["Roles"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                yield title(template, role["Ref"]), statement


def of_type(template: dict, kind: str) -> dict[str, dict]:
    found = template["Resources"].items()
    return {name: each["Properties"] for name, each in found if each["Type"] == kind}


def title(template: dict, logical_id: str) -> str:
    """A bucket's own name; of others the logical id without CDK's hash."""
    resource = template["Resources"][logical_id]
    if resource["Type"] == "AWS::S3::Bucket":
        return resource["Properties"]["BucketName"]
    return re.sub(r"[0-9A-F]{8}$", "", logical_id)


def plain(template: dict, value: object) -> str:
    """An ARN as a short text: bucket/key, {construct}, states:execution:…"""
    if isinstance(value, str):
        return value
    ((kind, inner),) = value.items()
    if kind == "Fn::Join":
        text = "".join(plain(template, part) for part in inner[1])
        text = re.sub(r"^arn:\(AWS::Partition\):s3:::", "", text)
        ours = r"^arn:\(AWS::Partition\):(states|events):[^{]*:(execution|event-bus)([:/])"
        return re.sub(ours, r"\1:\2\3", text)
    if kind == "Ref" and inner.startswith("AWS::"):
        return f"({inner})"
    logical_id, attribute = (inner, "Arn") if kind == "Ref" else inner
    name = title(template, logical_id)
    if template["Resources"][logical_id]["Type"] == "AWS::S3::Bucket":
        return name
    return f"{{{name}}}" if attribute == "Arn" else f"{{{name}.{attribute}}}"


def as_list(value: object) -> list:
    return value if isinstance(value, list) else [value]
