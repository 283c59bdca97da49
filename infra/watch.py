"""Who looks at the conversions: a dashboard, alarms, and mails at the end of each.

What stands while nothing runs, in dollars a month (us-east-1, November 2026): the dashboard 3 and
six alarms 0.10 each, but CloudWatch gives every account three dashboards of up to 50 metrics and
ten alarms free. That is why they are there unless `dashboard` is false. Topic and rules cost
nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from aws_cdk import Arn, ArnComponents, ArnFormat, Aws, CfnMapping, CfnOutput, Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.settings import Settings

GB_SECOND = {"arm64": 0.0000133334, "x86_64": 0.0000166667}
"""Dollars, by architecture; list prices of us-east-1, November 2026."""
REQUEST = 0.20 / 1e6
"""Dollars of one call of a function; list price of us-east-1, November 2026."""
FUNCTION_SECONDS = 900
"""What Lambda gives a call at most."""
CONSOLES = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}
"""Partition → host of the console."""
MINUTE, ALARM_PERIOD = Duration.minutes(1), Duration.minutes(5)
ENDED_BADLY = ("FAILED", "TIMED_OUT", "ABORTED")
Graph = cloudwatch.GraphWidget
Functions = Mapping[str, lambda_.Function]


@dataclass(frozen=True, slots=True)
class Watched:
    """What there is to look at."""

    machine: sfn.StateMachine
    control: Functions
    workers: Functions  # by size
    lost_uploads: sqs.Queue


class Watch(Construct):
    """All of it for one deployment; each part only if somebody is to see it."""

    def __init__(self, scope: Stack, watched: Watched, settings: Settings) -> None:
        super().__init__(scope, "Watch")
        self._name = scope.stack_name
        self._machine = watched.machine
        self._functions = {**watched.control, **watched.workers}
        self._workers = watched.workers
        self._lost = watched.lost_uploads
        self._settings = settings
        if not settings.dashboard and not settings.notify_email:
            return
        alarms = [self._alarm(*each) for each in self._worries()]
        if settings.dashboard:
            self._dashboard(alarms)
        if settings.notify_email:
            topic = self._topic(alarms)
            self._allow_rules(topic, self._tell_the_end(topic))

    # Alarms

    def _worries(self) -> list[tuple[str, cloudwatch.IMetric, int, str]]:
        """Name, metric, periods in a row, and what it means."""
        machine, every = self._machine, {"period": ALARM_PERIOD, "statistic": "Sum"}
        look = "; the execution's page says why, and report.json beside the volume"
        lost = (
            "Uploaded configs started nothing: upload them again, then empty the queue LostUploads"
        )
        unsent = self._lost.metric_approximate_number_of_messages_visible(
            period=ALARM_PERIOD, statistic="Maximum"
        )
        throttled = "Lambda refuses workers: lower max_concurrency, or ask for a higher quota"
        return [
            ("failed", machine.metric_failed(**every), 1, f"A conversion failed{look}"),
            ("timed-out", machine.metric_timed_out(**every), 1, f"A conversion timed out{look}"),
            ("aborted", machine.metric_aborted(**every), 1, f"A conversion was stopped{look}"),
            ("lost-uploads", unsent, 1, lost),
            # Single throttles are retried and pass: only those that go on are worth a mail.
            *(
                (f"throttled-{name}", function.metric_throttles(**every), 3, throttled)
                for name, function in self._workers.items()
            ),
        ]

    def _alarm(
        self, name: str, metric: cloudwatch.IMetric, periods: int, meaning: str
    ) -> cloudwatch.Alarm:
        return cloudwatch.Alarm(
            self,
            f"Alarm {name}",
            alarm_name=f"{self._name}-{name}",
            alarm_description=meaning,
            metric=metric,
            threshold=1,
            evaluation_periods=periods,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )

    # Mails

    def _topic(self, alarms: list[cloudwatch.Alarm]) -> sns.Topic:
        # Not encrypted at rest: CloudWatch can't use SNS's own key, and a key of one's own costs a
        # dollar a month. What is sent are names, reasons and a link.
        topic = sns.Topic(self, "Notices", display_name=self._name, enforce_ssl=True)
        for address in self._settings.notify_email:
            topic.add_subscription(subscriptions.EmailSubscription(address))
        publish = iam.PolicyStatement(
            actions=["sns:Publish"],
            resources=[topic.topic_arn],
            principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
            conditions={
                "ArnEquals": {"aws:SourceArn": [alarm.alarm_arn for alarm in alarms]},
                "StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID},
            },
        )
        topic.add_to_resource_policy(publish)
        for alarm in alarms:
            alarm.add_alarm_action(actions.SnsAction(topic))
        CfnOutput(
            Stack.of(self),
            "NoticesTopic",
            value=topic.topic_arn,
            description="Alarms and the end of each conversion",
        )
        return topic

    def _allow_rules(self, topic: sns.Topic, rules: list[events.Rule]) -> None:
        # "IfExists": Amazon's pages disagree on whether EventBridge names its rule to SNS.
        publish = iam.PolicyStatement(
            actions=["sns:Publish"],
            resources=[topic.topic_arn],
            principals=[iam.ServicePrincipal("events.amazonaws.com")],
            conditions={
                "ArnEqualsIfExists": {"aws:SourceArn": [rule.rule_arn for rule in rules]},
                "StringEqualsIfExists": {"aws:SourceAccount": Aws.ACCOUNT_ID},
            },
        )
        topic.add_to_resource_policy(publish)

    def _tell_the_end(self, topic: sns.ITopic) -> list[events.Rule]:
        """Mail the link of a published volume, and the reason of any execution that failed.

        Of failures Step Functions' own event is taken: it comes even if no function could speak.
        """
        ours = self._executions()
        detail = events.EventField.from_path
        # By its ARN: CDK would add a statement of its own, for the rules of all accounts.
        topic = sns.Topic.from_topic_arn(self, "Told", topic.topic_arn)
        published = self._mail(
            "Published",
            topic,
            events.EventPattern(
                source=["zblocks"],
                detail_type=["Volume published"],
                resources=events.Match.prefix(ours),
            ),
            f"{detail('$.detail.location')} is published ({detail('$.detail.status')}).\n"
            # The space keeps the link apart from the quotes that EventBridge puts around lines.
            f"Open it: {detail('$.detail.link')} \n"
            f"Report: {detail('$.detail.report')}\n"
            f"Execution: {detail('$.detail.execution')}",
        )
        failed = self._mail(
            "Not published",
            topic,
            events.EventPattern(
                source=["aws.states"],
                detail_type=["Step Functions Execution Status Change"],
                detail={
                    "status": list(ENDED_BADLY),
                    "stateMachineArn": [self._machine.state_machine_arn],
                },
            ),
            f"A conversion ended as {detail('$.detail.status')}; nothing was published.\n"
            f"Why: {detail('$.detail.error')}: {detail('$.detail.cause')}\n"
            f"Execution: {detail('$.detail.executionArn')}",
        )
        return [published, failed]

    def _mail(
        self, name: str, topic: sns.ITopic, pattern: events.EventPattern, text: str
    ) -> events.Rule:
        message = events.RuleTargetInput.from_multiline_text(text)
        return events.Rule(
            self,
            name,
            description="A mail at the end of a conversion",
            event_pattern=pattern,
            targets=[targets.SnsTopic(topic, message=message)],
        )

    def _executions(self) -> str:
        """Give what the ARNs of the machine's executions begin with."""
        parts = ArnComponents(
            service="states",
            resource="execution",
            resource_name=f"{self._name}:",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        return Arn.format(parts, Stack.of(self))

    # Dashboard

    def _dashboard(self, alarms: list[cloudwatch.Alarm]) -> None:
        # An account's dashboards are shared by its regions, unlike everything else here.
        name = f"{self._name}-{Aws.REGION}"
        cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=name,
            default_interval=Duration.hours(12),
            widgets=[
                [cloudwatch.AlarmStatusWidget(title="Alarms", alarms=alarms, width=24, height=3)],
                [self._executions_graph(), self._blocks_graph(), self._speed_graph()],
                [self._errors_graph(), self._throttles_graph(), self._dollars_graph()],
                [self._duration_graph(), self._memory_graph()],
            ],
        )
        hosts = {partition: {"host": host} for partition, host in CONSOLES.items()}
        console = CfnMapping(self, "Consoles", mapping=hosts).find_in_map(Aws.PARTITION, "host")
        CfnOutput(
            Stack.of(self),
            "Dashboard",
            value=f"https://{console}/cloudwatch/home?region={Aws.REGION}"
            f"#dashboards/dashboard/{name}",
        )

    def _executions_graph(self) -> Graph:
        machine, every = self._machine, {"period": MINUTE, "statistic": "Sum"}
        started = machine.metric_started(**every, label="started")
        succeeded = machine.metric_succeeded(**every, label="succeeded")
        failed = machine.metric_failed(**every, label="failed")
        stopped = machine.metric_aborted(**every, label="stopped")
        timed_out = machine.metric_timed_out(**every, label="timed out")
        lines = [started, succeeded, failed, stopped, timed_out]
        return Graph(title="Executions", left=lines, width=8)

    def _blocks_graph(self) -> Graph:
        names = {"BlocksPlanned": "planned", "BlocksDone": "done", "BlocksFailed": "failed"}
        return Graph(
            title="Blocks",
            left=[self._ours(name, label=f"{label} a minute") for name, label in names.items()],
            width=8,
        )

    def _speed_graph(self) -> Graph:
        speed = cloudwatch.MathExpression(
            expression="voxels / PERIOD(voxels)",
            using_metrics={"voxels": self._ours("Voxels")},
            label="voxels/s",
            period=MINUTE,
        )
        return Graph(title="Voxels a second, scale 0", left=[speed], width=8)

    def _errors_graph(self) -> Graph:
        each = self._functions.items()
        return Graph(
            title="Calls that failed, retries included",
            left=[f.metric_errors(period=MINUTE, label=name) for name, f in each],
            width=8,
        )

    def _throttles_graph(self) -> Graph:
        each = self._functions.items()
        return Graph(
            title="Calls that Lambda refused (left), workers at the same time (right)",
            left=[f.metric_throttles(period=MINUTE, label=name) for name, f in each],
            right=[
                f.metric("ConcurrentExecutions", statistic="Maximum", period=MINUTE, label=name)
                for name, f in self._workers.items()
            ],
            width=8,
        )

    def _dollars_graph(self) -> Graph:
        """GB-seconds and requests; Step Functions and S3 are in docs/scaling.md."""
        return Graph(
            title="Dollars of Lambda so far, over the time shown",
            left=[self._dollars(name) for name in self._functions],
            stacked=True,
            width=8,
        )

    def _dollars(self, name: str) -> cloudwatch.MathExpression:
        function = self._functions[name]
        memory_mb = cast("lambda_.CfnFunction", function.node.default_child).memory_size or 128
        key = name.replace("-", "_")  # a metric's id has no hyphen
        millisecond = memory_mb / 1024 * GB_SECOND[self._settings.architecture] / 1000
        return cloudwatch.MathExpression(
            expression=f"RUNNING_SUM(FILL({key}_ms, 0) * {millisecond:.15f}"
            f" + FILL({key}_calls, 0) * {REQUEST:.15f})",
            using_metrics={
                f"{key}_ms": function.metric_duration(statistic="Sum", period=MINUTE),
                f"{key}_calls": function.metric_invocations(period=MINUTE),
            },
            label=name,
            period=MINUTE,
        )

    def _duration_graph(self) -> Graph:
        each = self._functions.items()
        limit = cloudwatch.HorizontalAnnotation(value=FUNCTION_SECONDS * 1000, label="limit")
        return Graph(
            title="Longest call",
            left=[
                f.metric_duration(statistic="Maximum", period=MINUTE, label=name)
                for name, f in each
            ],
            left_annotations=[limit],
            width=12,
        )

    def _memory_graph(self) -> Graph:
        limits = [
            cloudwatch.HorizontalAnnotation(value=mb, label=f"worker-{mb}")
            for mb in self._settings.worker_memory_mb
        ]
        return Graph(
            title="Memory of workers, MB (a worker that is killed can't tell its own)",
            left=[
                self._ours("PeakMemory", statistic="Maximum", label="highest"),
                self._ours("PeakMemory", statistic="p50", label="median"),
            ],
            left_annotations=limits,
            width=12,
        )

    def _ours(
        self, name: str, statistic: str = "Sum", label: str | None = None
    ) -> cloudwatch.Metric:
        """Give a metric that the handlers write."""
        return cloudwatch.Metric(
            namespace="zblocks",
            metric_name=name,
            dimensions_map={"service": self._name},
            statistic=statistic,
            label=label,
            period=MINUTE,
        )
