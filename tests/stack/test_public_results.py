"""What a public bucket shows: the bucket's policy, evaluated as IAM does."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from tests.flow.conftest import textured, write_config, write_stack, zblocks

OURS, OTHERS, NOBODY = "111122223333", "444455556666", None
"""Accounts of who asks."""

__all__ = ["write_config"]


def value(template, found):
    """A value of the template as text, with the bucket's name and our account."""
    if isinstance(found, str):
        return found
    ((kind, inner),) = found.items()
    if kind == "Fn::Join":
        return "".join(value(template, part) for part in inner[1])
    if kind == "Fn::GetAtt":
        return "arn:aws:s3:::" + template["Resources"][inner[0]]["Properties"]["BucketName"]
    return {"AWS::AccountId": OURS, "AWS::Partition": "aws"}[inner]


def holds(template, condition, request):
    """A negated operator is true of a key that the request hasn't; others are false."""
    for operator, asked in condition.items():
        negated = {"StringNotEquals": True, "Bool": False}[operator]
        for key, wanted in asked.items():
            if (request.get(key) == value(template, wanted)) == negated:
                return False
    return True


def concerns(template, statement, key):
    resources = statement["Resource"]
    resources = resources if isinstance(resources, list) else [resources]
    arn = f"arn:aws:s3:::volumes/{key}"
    return fnmatchcase("s3:GetObject", statement["Action"]) and any(
        fnmatchcase(arn, value(template, each)) for each in resources
    )


def may_read(template, statements, key, account):
    """Whether the bucket's policy by itself lets somebody of an account read an object."""
    request = {"aws:SecureTransport": "true"}
    request |= {"aws:PrincipalAccount": account} if account else {}
    for statement in statements:
        assert not {"NotAction", "NotResource", "NotPrincipal"} & set(statement)
        assert statement["Principal"] == {"AWS": "*"}
    return {
        statement["Effect"]
        for statement in statements
        if concerns(template, statement, key)
        and holds(template, statement.get("Condition", {}), request)
    } == {"Allow"}


def policy_of(template, of_type, bucket):
    policies = of_type(template, "AWS::S3::BucketPolicy").values()
    names = {
        template["Resources"][p["Bucket"]["Ref"]]["Properties"]["BucketName"]: p for p in policies
    }
    return names[bucket]["PolicyDocument"]["Statement"]


@pytest.fixture
def keys(tmp_path, write_config):
    """Of a volume whose block failed once, so that there are records of every kind."""
    write_stack(tmp_path / "in", textured((70, 30, 40, 1), "uint8"))
    whole = (tmp_path / "in" / "s_003.png").read_bytes()
    (tmp_path / "in" / "s_003.png").write_bytes(whole[: len(whole) // 2])
    assert zblocks("convert", write_config()).code == 1
    found = {p for p in (tmp_path / "out").rglob("*") if p.is_file()}
    (tmp_path / "in" / "s_003.png").write_bytes(whole)
    assert zblocks("convert", write_config(overwrite=True)).code == 0
    found |= {p for p in (tmp_path / "out").rglob("*") if p.is_file()}
    return {str(path.relative_to(tmp_path / "out")) for path in found}


def test_a_public_bucket_shows_volumes_and_their_pages_and_nothing_else(synthesise, of_type, keys):
    template, _ = synthesise({"create_buckets": "true", "public_results": "true"})
    policy = policy_of(template, of_type, "volumes")
    assert {".zblocks/config.json", ".zblocks/receipts/block-00000.json", "info"} <= keys
    assert any(key.startswith(".zblocks/failures/") for key in keys)
    made = "jobs/a.json", "jobs/a.error.json", ".zblocks/map/brain/f4/manifest.json"
    for folder in ("", "brain/", "labs/brain.1/"):
        for key in {f"{folder}{key}" for key in keys} | set(made):
            work = key.startswith("jobs/") or ".zblocks/" in key
            public = not work or key == f"{folder}.zblocks/report.html"
            for who in (NOBODY, OTHERS):
                assert may_read(template, policy, key, who) == public, (key, who)
            # Nothing is denied to those whose roles and users have permissions of their own.
            assert may_read(template, policy, key, OURS)


def test_results_are_public_only_by_the_deployers_word(synthesise, of_type):
    for context in ({}, {"public_results": "true"}):
        template, _ = synthesise({"create_buckets": "true", **context})
        for bucket in ("volumes", "jobs", "slices-a", "slices-b"):
            public = may_read(template, policy_of(template, of_type, bucket), "brain/info", NOBODY)
            assert public == (bucket == "volumes" and bool(context))
