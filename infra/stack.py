"""What is in the account after `cdk deploy`.

1. Buckets (infra/buckets.py): named ones that exist, or made here when `create_buckets` says so.
2. Functions from one asset (lambdas/) and two layers: Plan, Finalize, and one of each size of
   workers. Each has its own role and log; workers share theirs.
3. The state machine of statemachine/zblocks.asl.json, and what its Distributed Map needs.
4. The trigger: a config put at jobs/*.json in the jobs bucket starts the state machine; uploads
   that couldn't start it are kept in a queue.
5. What watches it (infra/watch.py): a dashboard and alarms; mails if somebody wants them.

Every role is written out here. No action is a `*`. A resource has a `*` only where it means
"objects of this bucket" or "executions of this machine", or where AWS knows nothing narrower,
which is then said at the place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from aws_cdk import (
    App,
    Arn,
    ArnComponents,
    ArnFormat,
    Aws,
    CfnOutput,
    CfnResource,
    Duration,
    RemovalPolicy,
    Stack,
)
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.buckets import Buckets, Statements
from infra.bundling import layer_code
from infra.layers import ROOT, Target
from infra.settings import Settings, read_settings
from infra.watch import Functions, Watch, Watched

MAP_LABEL = "Tasks"
"""The "Label" of the Distributed Map in the ASL: part of its child executions' ARNs."""
FUNCTION_TIMEOUT = Duration.minutes(15)
OURS = {"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
"""What a service does for resources of this account only."""
CONTROL_MEMORY_MB = 1769
"""Of the plan's function: one whole vCPU; it waits for headers most of the time."""
FINALIZE_MEMORY_MB = 3008
"""The most that Lambda gives a new account; it uses two cores at most."""


def make_app(context: Mapping[str, object] | None = None, outdir: str | None = None) -> App:
    """Make the app with its one stack; `context` stands in for `-c` options in tests."""
    app = App(context=dict(context or {}), outdir=outdir, analytics_reporting=False)
    settings = read_settings(app.node.try_get_context)
    ZblocksStack(app, settings.stack_name, settings)
    return app


@dataclass(frozen=True, slots=True)
class Part:
    """What the functions of one handler share."""

    name: str
    layer: lambda_.ILayerVersion
    log: logs.ILogGroup
    role: iam.IRole


class ZblocksStack(Stack):
    """The whole of zblocks in one account and region."""

    def __init__(self, scope: Construct, name: str, settings: Settings) -> None:
        super().__init__(scope, name, description="Image slices in S3 become Neuroglancer volumes")
        self._settings = settings
        self._buckets = Buckets(self, settings)
        self._code = lambda_.Code.from_asset(
            str(ROOT / "lambdas"), exclude=["**/__pycache__", "*.pyc", "*.egg-info"]
        )
        light, reader = self._layer("worker"), self._layer("finalize")
        plan = self._part("plan", light, self._plan_statements())
        worker = self._part("worker", light, self._worker_statements())
        finalize = self._part("finalize", reader, self._finalize_statements())
        control = {
            "plan": self._function(plan, CONTROL_MEMORY_MB),
            "finalize": self._function(finalize, FINALIZE_MEMORY_MB),
        }
        sizes = settings.worker_memory_mb
        workers = {f"worker-{mb}": self._function(worker, mb, f"-{mb}") for mb in sizes}
        for function in control.values():
            function.add_environment("ZBLOCKS_WORKER_MEMORY_MB", ",".join(map(str, sizes)))
        # cloud-volume makes this folder on import, and a function may write under /tmp only.
        control["finalize"].add_environment("CLOUD_VOLUME_DIR", "/tmp/cloudvolume")  # noqa: S108
        machine = self._state_machine(control, workers)
        lost = self._trigger(machine)
        self._outputs(machine, lost)
        Watch(self, Watched(machine, control, workers, lost), settings)
        if settings.permissions_boundary:
            boundary = settings.permissions_boundary
            limit = iam.ManagedPolicy.from_managed_policy_arn(self, "Boundary", boundary)
            iam.PermissionsBoundary.of(self).apply(limit)

    # What functions may do

    def _plan_statements(self) -> Statements:
        # Whether the execution that holds a destination still runs.
        ask = _allow(["states:DescribeExecution"], self._executions(self.stack_name, ":*"))
        buckets = self._buckets
        quota = _allow(["lambda:GetAccountSettings"], "*")  # it has no resource
        return [ask, quota, *buckets.read_uploads(), *self._read_sources(), *buckets.plan_volumes()]

    def _finalize_statements(self) -> Statements:
        bus = self.format_arn(service="events", resource="event-bus", resource_name="default")
        return [*self._buckets.write_volumes(delete=True), _allow(["events:PutEvents"], bus)]

    def _worker_statements(self) -> Statements:
        return [*self._read_sources(), *self._buckets.write_volumes(delete=False)]

    def _read_sources(self) -> Statements:
        roles = self._settings.source_role_arns
        assume = [_allow(["sts:AssumeRole"], *roles)] if roles else []
        return [*self._buckets.read_sources(), *assume]

    def _use_keys(self) -> Statements:
        keys = self._settings.kms_key_arns
        return [_allow(["kms:Decrypt", "kms:GenerateDataKey"], *keys)] if keys else []

    # Functions

    def _layer(self, name: str) -> lambda_.LayerVersion:
        chosen = self._settings
        target = Target(chosen.architecture, chosen.runtime, chosen.host)
        return lambda_.LayerVersion(
            self,
            f"Layer {name}",
            code=layer_code(name, target),
            compatible_architectures=[self._architecture()],
            compatible_runtimes=[self._runtime()],
            description=f"requirements/{name}.lock",
        )

    def _part(self, name: str, layer: lambda_.ILayerVersion, statements: Statements) -> Part:
        log = self._log(f"Log {name}", f"/aws/lambda/{self.stack_name}-{name}")
        return Part(name, layer, log, self._function_role(name, log, statements))

    def _function(self, part: Part, memory_mb: int, size: str = "") -> lambda_.Function:
        return lambda_.Function(
            self,
            f"Function {part.name}{size}",
            function_name=f"{self.stack_name}-{part.name}{size}",
            code=self._code,
            handler=f"handlers.{part.name}.handler",
            runtime=self._runtime(),
            architecture=self._architecture(),
            layers=[part.layer],
            memory_size=memory_mb,
            timeout=FUNCTION_TIMEOUT,
            log_group=part.log,
            # As the machine is; X-Ray takes a sample of the calls. It has no resource but *.
            tracing=lambda_.Tracing.ACTIVE,
            role=part.role,
            environment={
                "ZBLOCKS_DESTINATION_BUCKET": self._settings.destination_bucket,
                "POWERTOOLS_SERVICE_NAME": self.stack_name,  # the dimension of our metrics
                # As for workers on one machine: see zblocks/run/local/workers.py.
                "MALLOC_ARENA_MAX": "1",
                "OPENBLAS_NUM_THREADS": "1",
            },
        )

    def _function_role(self, name: str, log: logs.ILogGroup, statements: Statements) -> iam.Role:
        # Not AWSLambdaBasicExecutionRole: that may create and write any log group.
        write_log = _allow(["logs:CreateLogStream", "logs:PutLogEvents"], log.log_group_arn)
        document = iam.PolicyDocument(statements=[write_log, *statements, *self._use_keys()])
        return iam.Role(
            self,
            f"Role {name}",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com", conditions=OURS),
            inline_policies={"work": document},
        )

    def _log(self, name: str, group: str) -> logs.LogGroup:
        # CDK's enum has the same days as RETENTION_DAYS; the L1 property takes the number.
        log = logs.LogGroup(self, name, log_group_name=group, removal_policy=RemovalPolicy.DESTROY)
        _cfn(log).add_property_override("RetentionInDays", self._settings.log_retention_days)
        return log

    def _architecture(self) -> lambda_.Architecture:
        arm = self._settings.architecture == "arm64"
        return lambda_.Architecture.ARM_64 if arm else lambda_.Architecture.X86_64

    def _runtime(self) -> lambda_.Runtime:
        return lambda_.Runtime(self._settings.runtime, lambda_.RuntimeFamily.PYTHON)

    # State machine

    def _state_machine(self, control: Functions, workers: Functions) -> sfn.StateMachine:
        names = {f"{name.title()}Function": each.function_arn for name, each in control.items()}
        log = self._log("Log state machine", f"/aws/vendedlogs/states/{self.stack_name}")
        machine = sfn.StateMachine(
            self,
            "State machine",
            state_machine_name=self.stack_name,
            definition_body=sfn.DefinitionBody.from_file(
                str(ROOT / "statemachine" / "zblocks.asl.json")
            ),
            definition_substitutions={
                **names,
                "DestinationBucket": self._settings.destination_bucket,
                "Partition": Aws.PARTITION,
            },
            # Execution data stay out of the log: configs are the users' business.
            logs=sfn.LogOptions(
                destination=log, level=sfn.LogLevel.ERROR, include_execution_data=False
            ),
            # X-Ray and log delivery are the two places where AWS has no resource narrower than *.
            tracing_enabled=True,
        )
        self._grant(machine, [*control.values(), *workers.values()])
        return machine

    def _grant(self, machine: sfn.StateMachine, functions: Sequence[lambda_.Function]) -> None:
        """Allow what the definition needs; CDK can't read that from an ASL file.

        A policy of its own, because a role's default policy that named the machine would make
        a cycle (the machine waits for its role's policy).
        """
        invoke = [function.function_arn for function in functions]
        statements = [
            _allow(["lambda:InvokeFunction"], *invoke),
            *self._map_statements(machine),
            *self._use_keys(),
        ]
        iam.Policy(self, "Map policy", statements=statements, roles=[machine.role])

    def _map_statements(self, machine: sfn.StateMachine) -> Statements:
        name = machine.state_machine_name
        children = self._executions(name, f"/{MAP_LABEL}:*")
        return [
            _allow(["states:StartExecution"], machine.state_machine_arn),
            _allow(
                ["states:DescribeExecution", "states:StopExecution"],
                *(self._executions(name, ":*"), children),
            ),
            _allow(["states:RedriveExecution"], children),
            *self._buckets.run_map(),
        ]

    def _executions(self, name: str, suffix: str) -> str:
        parts = ArnComponents(
            service="states",
            resource="execution",
            resource_name=f"{name}{suffix}",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        return Arn.format(parts, self)

    # Trigger and outputs

    def _trigger(self, machine: sfn.StateMachine) -> sqs.Queue:
        """S3 tells EventBridge of the upload; only a pointer to it becomes the input.

        Return the queue of uploads that started nothing.
        """
        name = f"{self.stack_name}-upload"
        arn = self.format_arn(service="events", resource="rule", resource_name=name)
        by_rule = {**OURS, "ArnEquals": {"aws:SourceArn": arn}}
        events_service = iam.ServicePrincipal("events.amazonaws.com", conditions=by_rule)
        role = iam.Role(self, "Role upload", assumed_by=events_service)
        lost = self._lost_uploads(events_service)
        upload = {
            "bucket": events.EventField.from_path("$.detail.bucket.name"),
            "key": events.EventField.from_path("$.detail.object.key"),
            "etag": events.EventField.from_path("$.detail.object.etag"),
            "sequencer": events.EventField.from_path("$.detail.object.sequencer"),
            "event_id": events.EventField.event_id,
        }
        target = targets.SfnStateMachine(
            machine,
            input=events.RuleTargetInput.from_object({"trigger": upload}),
            role=role,
            # By its ARN: CDK would add a statement of its own, without the account.
            dead_letter_queue=sqs.Queue.from_queue_arn(self, "Lost", lost.queue_arn),
        )
        events.Rule(
            self,
            "Config uploaded",
            rule_name=name,
            description="A config at jobs/*.json starts a conversion",
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={
                    "bucket": {"name": [self._settings.jobs_bucket]},
                    "object": {"key": [{"wildcard": "jobs/*.json"}]},
                },
            ),
            targets=[target],
        )
        return lost

    def _lost_uploads(self, sender: iam.IPrincipal) -> sqs.Queue:
        """Make the queue that EventBridge fills when it has tried for a day."""
        lost = sqs.Queue(
            self,
            "Lost uploads",
            enforce_ssl=True,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            retention_period=Duration.days(14),
        )
        send = iam.PolicyStatement(
            actions=["sqs:SendMessage"], resources=[lost.queue_arn], principals=[sender]
        )
        lost.add_to_resource_policy(send)
        return lost

    def _outputs(self, machine: sfn.StateMachine, lost: sqs.Queue) -> None:
        chosen = self._settings
        jobs = f"Put a config at s3://{chosen.jobs_bucket}/jobs/NAME.json to start a conversion"
        if not chosen.create_buckets:
            jobs += "; the bucket must send its events to EventBridge (docs/deploying.md)"
        CfnOutput(self, "StateMachineArn", value=machine.state_machine_arn)
        CfnOutput(self, "DestinationBucket", value=chosen.destination_bucket)
        CfnOutput(self, "JobsBucket", value=chosen.jobs_bucket, description=jobs)
        CfnOutput(
            self,
            "LostUploads",
            value=lost.queue_url,
            description="Uploads that EventBridge couldn't deliver; upload these configs again",
        )


def _allow(actions: Sequence[str], *resources: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=list(actions), resources=list(resources))


def _cfn(construct: Construct) -> CfnResource:
    return cast("CfnResource", construct.node.default_child)
