"""The buckets: made here, or found; and what a role may do with them.

With `create_buckets` they are this account's, and every permission says so: should somebody else
make a bucket of that name after one was deleted, nothing is written to it or read from it.
"""

from collections.abc import Sequence
from typing import cast

from aws_cdk import Aws, CfnResource, Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3

from infra.settings import Settings

Statements = Sequence[iam.PolicyStatement]
SETTINGS = [
    f"s3:GetBucket{each}" for each in ("Notification", "ObjectLockConfiguration", "Versioning")
]
JOBS, ANSWERS = "jobs/*", "jobs/*.error.json"
"""Uploaded configs, and what is put beside those that can't be planned."""
PRIVATE = (JOBS, "*.zblocks/*.json")
"""Of a public bucket: uploads, and what runs store about themselves. `report.html` is public."""
OPEN_TO_POLICY = s3.BlockPublicAccess(
    block_public_acls=True,
    ignore_public_acls=True,
    block_public_policy=False,
    restrict_public_buckets=False,
)
"""Readable through the bucket's policy; never through an object's ACL."""
EXPIRE_MAP_RESULTS = s3.LifecycleRule(
    id="map-results", prefix=".zblocks/map/", expiration=Duration.days(30)
)
"""Step Functions' own record of each block; receipts and reports stay with their volume."""
ABORT_UPLOADS = s3.LifecycleRule(
    id="unfinished-uploads", abort_incomplete_multipart_upload_after=Duration.days(1)
)


class Buckets:
    """All buckets of a deployment."""

    def __init__(self, scope: Stack, settings: Settings) -> None:
        self._scope = scope
        self._settings = settings
        ours = {"StringEquals": {"aws:ResourceAccount": Aws.ACCOUNT_ID}}
        self._conditions = ours if settings.create_buckets else None
        make = self._new if settings.create_buckets else self._old
        found = {name: make(name) for name in settings.buckets}
        self._sources = [found[name] for name in settings.source_buckets]
        self._target = found[settings.destination_bucket]
        self._jobs = found[settings.jobs_bucket]

    # Statements

    def read_sources(self) -> Statements:
        """Allow to list and read slices."""
        return [
            self._allow(["s3:GetObject"], *(each.arn_for_objects("*") for each in self._sources)),
            # Without it S3 answers 403 where 404 is meant, and a prefix cannot be listed.
            self._allow(["s3:ListBucket"], *(each.bucket_arn for each in self._sources)),
        ]

    def read_uploads(self) -> Statements:
        """Allow to read uploaded configs, and to answer beside them; answers start nothing."""
        answer = ["s3:PutObject", "s3:DeleteObject"]
        return [
            self._allow(["s3:GetObject"], self._jobs.arn_for_objects(JOBS)),
            self._allow(answer, self._jobs.arn_for_objects(ANSWERS)),
        ]

    def plan_volumes(self) -> Statements:
        """Allow to write documents of volumes, and to read and delete all that is theirs."""
        documents = "*.zblocks/*"
        refused = self._target.arn_for_objects(f"jobs/{documents}")
        return [
            *self._read_volumes(["s3:GetObject", "s3:DeleteObject"]),
            # Whether each object is billed an event, too, and old versions are kept.
            self._allow(SETTINGS, self._target.bucket_arn),
            self._allow(["s3:PutObject", "s3:AbortMultipartUpload"], self._in_target(documents)),
            self._deny(["s3:PutObject"], refused),
        ]

    def write_volumes(self, *, delete: bool) -> Statements:
        """Allow to write volumes, never uploads: those start executions."""
        deleting = ["s3:DeleteObject"] if delete else []
        actions = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", *deleting]
        refused = ["s3:PutObject", *deleting]
        return [*self._read_volumes(actions), self._deny(refused, self._in_target(JOBS))]

    def run_map(self) -> Statements:
        """Allow what the Distributed Map reads and writes."""
        results = ["s3:GetObject", "s3:PutObject"]
        results += ["s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"]
        return [
            self._allow(["s3:GetObject"], self._in_target("*.zblocks/stages/*")),
            self._allow(results, self._in_target(".zblocks/map/*")),
        ]

    def _read_volumes(self, actions: list[str]) -> Statements:
        return [
            self._allow(actions, self._in_target("*")),
            self._allow(["s3:ListBucket"], self._target.bucket_arn),
        ]

    def _in_target(self, keys: str) -> str:
        return self._target.arn_for_objects(keys)

    def _allow(self, actions: list[str], *resources: str) -> iam.PolicyStatement:
        return iam.PolicyStatement(
            actions=actions, resources=list(resources), conditions=self._conditions
        )

    def _deny(self, actions: list[str], *resources: str) -> iam.PolicyStatement:
        return iam.PolicyStatement(
            effect=iam.Effect.DENY, actions=actions, resources=list(resources)
        )

    # Buckets

    def _old(self, name: str) -> s3.IBucket:
        return s3.Bucket.from_bucket_name(self._scope, f"Bucket {name}", name)

    def _new(self, name: str) -> s3.IBucket:
        chosen = self._settings
        results = name == chosen.destination_bucket
        public = results and chosen.public_results
        bucket = s3.Bucket(
            self._scope,
            f"Bucket {name}",
            bucket_name=name,
            block_public_access=OPEN_TO_POLICY if public else s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            # A volume can be made again from its slices: old versions of chunks would only cost.
            versioned=False,
            lifecycle_rules=[EXPIRE_MAP_RESULTS, ABORT_UPLOADS] if results else [ABORT_UPLOADS],
            cors=[self._viewer_may_read()] if results else None,
            # A first deployment that fails takes its buckets away, so that the next one can make
            # them; `cdk deploy --import-existing-resources` takes over what an old stack kept.
            removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        )
        # Its policy goes with the stack: CloudFormation makes no second one for a bucket.
        cast("s3.BucketPolicy", bucket.policy).apply_removal_policy(RemovalPolicy.DESTROY)
        for statement in _publish(bucket) if public else ():
            bucket.add_to_resource_policy(statement)
        if name == chosen.jobs_bucket:
            # event_bridge_enabled=True would add a custom-resource function for this one line.
            resource = cast("CfnResource", bucket.node.default_child)
            key = "NotificationConfiguration.EventBridgeConfiguration.EventBridgeEnabled"
            resource.add_property_override(key, True)
        return bucket

    def _viewer_may_read(self) -> s3.CorsRule:
        return s3.CorsRule(
            allowed_methods=[s3.HttpMethods.GET, s3.HttpMethods.HEAD],
            allowed_origins=list(self._settings.viewer_origins),
            allowed_headers=["*"],
            exposed_headers=["Content-Encoding", "Content-Length", "Content-Range", "ETag"],
            max_age=3600,
        )


def _publish(bucket: s3.Bucket) -> Statements:
    """Let everybody read volumes and their pages, and other accounts nothing else."""
    return [
        iam.PolicyStatement(
            actions=["s3:GetObject"],
            resources=[bucket.arn_for_objects("*")],
            principals=[iam.AnyPrincipal()],
        ),
        iam.PolicyStatement(
            effect=iam.Effect.DENY,
            actions=["s3:GetObject"],
            resources=[bucket.arn_for_objects(keys) for keys in PRIVATE],
            principals=[iam.AnyPrincipal()],
            # Also true where nobody signs.
            conditions={"StringNotEquals": {"aws:PrincipalAccount": Aws.ACCOUNT_ID}},
        ),
    ]
