"""What is watched, and who is told: wired to the machine, the functions and the handlers."""

import ast
import json
import re
from pathlib import Path

import pytest

from infra.settings import MOST_SIZES
from zblocks.planning.bill import Prices

HANDLERS = Path(__file__).parents[2] / "lambdas" / "handlers"
FREE_METRICS = 50
"""What a dashboard may show for nothing, if it is among an account's first three."""
FREE_ALARMS = 10
FREE_CUSTOM_METRICS = 10


@pytest.fixture(scope="module")
def alarms(template, of_type):
    found = of_type(template, "AWS::CloudWatch::Alarm").values()
    return {alarm["AlarmName"]: alarm for alarm in found}


@pytest.fixture(scope="module")
def widgets(template, of_type) -> dict[str, dict]:
    """Title → properties; references are written as {logical id}."""
    (dashboard,) = of_type(template, "AWS::CloudWatch::Dashboard").values()
    parts = dashboard["DashboardBody"]["Fn::Join"][1]
    text = "".join(part if isinstance(part, str) else named(part) for part in parts)
    return {w["properties"]["title"]: w["properties"] for w in json.loads(text)["widgets"]}


def named(reference: dict) -> str:
    ((_, value),) = reference.items()
    return "{" + (value if isinstance(value, str) else value[0]) + "}"


def shown(widgets: dict) -> list[tuple]:
    """(namespace, name, dimension, value) of every metric of every widget."""
    rows = [row for widget in widgets.values() for row in widget.get("metrics", [])]
    return [tuple(row[:4]) for row in rows if isinstance(row[0], str)]


def metrics_of_handlers() -> set[str]:
    """The names that the handlers write, from their source."""
    calls = [
        node
        for path in HANDLERS.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_metric"
    ]
    return {k.value.value for call in calls for k in call.keywords if k.arg == "name"}


def test_every_custom_metric_that_is_shown_is_written_by_a_handler(widgets):
    ours = {(name, *dimension) for space, name, *dimension in shown(widgets) if space == "zblocks"}
    assert {name for name, *_ in ours} <= metrics_of_handlers()
    assert {"BlocksDone", "BlocksFailed", "Voxels", "PeakMemory"} <= {name for name, *_ in ours}
    assert {tuple(dimension) for _, *dimension in ours} == {("service", "zblocks")}


def test_executions_errors_and_throttles_are_those_of_this_stack(widgets, template, of_type):
    (machine,) = of_type(template, "AWS::StepFunctions::StateMachine")
    functions = set(of_type(template, "AWS::Lambda::Function"))
    found = shown(widgets)
    executions = {
        name for space, name, *rest in found if rest == ["StateMachineArn", f"{{{machine}}}"]
    }
    assert executions >= {"ExecutionsStarted", "ExecutionsSucceeded", "ExecutionsFailed"}
    for metric in ("Errors", "Throttles", "Duration", "Invocations"):
        of = {value.strip("{}") for _, name, _, value in found if name == metric}
        assert of == functions, metric


def test_time_and_memory_are_shown_against_their_limits(widgets, template, of_type):
    functions = of_type(template, "AWS::Lambda::Function").values()
    workers = [f for f in functions if f["FunctionName"].startswith("zblocks-worker-")]
    limits = {title: [line["value"] for line in widget["annotations"]["horizontal"]]
              for title, widget in widgets.items() if "annotations" in widget}  # fmt: skip
    assert limits.pop("Longest call") == [workers[0]["Timeout"] * 1000]
    assert list(limits.values()) == [sorted(worker["MemorySize"] for worker in workers)]


@pytest.mark.parametrize(("architecture", "price"), [("arm64", 1.33334e-5), ("x86_64", 1.66667e-5)])
def test_dollars_are_gb_seconds_and_requests(synthesise, of_type, architecture, price):
    template, _ = synthesise({"architecture": architecture, "worker_memory_mb": "2048"})
    (dashboard,) = of_type(template, "AWS::CloudWatch::Dashboard").values()
    text = json.dumps(dashboard["DashboardBody"])
    (millisecond, call) = re.search(
        r"FILL\(worker_2048_ms, 0\) \* (\S+) \+ FILL\(worker_2048_calls, 0\) \* (\S+)\)", text
    ).groups()
    assert float(millisecond) * 1000 == pytest.approx(2 * price)
    assert float(call) * 1e6 == pytest.approx(0.2)


def test_what_stands_stays_within_what_an_account_has_free(widgets, alarms):
    more = MOST_SIZES - 2  # sizes that may be deployed besides those of the template
    assert len(shown(widgets)) + 6 * more <= FREE_METRICS
    assert len(alarms) + more <= FREE_ALARMS
    assert len(metrics_of_handlers()) <= FREE_CUSTOM_METRICS


def test_each_way_to_fail_has_an_alarm_on_this_machine(alarms, template, of_type):
    (machine,) = of_type(template, "AWS::StepFunctions::StateMachine")
    watched = {a["MetricName"]: a for a in alarms.values() if a["Namespace"] == "AWS/States"}
    assert set(watched) == {"ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted"}
    for alarm in watched.values():
        assert alarm["Dimensions"] == [{"Name": "StateMachineArn", "Value": {"Ref": machine}}]
        assert (alarm["Statistic"], alarm["Threshold"]) == ("Sum", 1)
        assert alarm["EvaluationPeriods"] == 1


def test_throttles_of_the_blocks_alarm_when_they_go_on(alarms, template, of_type):
    functions = of_type(template, "AWS::Lambda::Function")
    for size in ("worker-1769", "worker-3008"):
        alarm = alarms[f"zblocks-throttled-{size}"]
        function = functions[alarm["Dimensions"][0]["Value"]["Ref"]]
        assert (function["FunctionName"], alarm["MetricName"]) == (f"zblocks-{size}", "Throttles")
        assert alarm["EvaluationPeriods"] * alarm["Period"] == 15 * 60


def test_uploads_that_started_nothing_alarm(alarms, template, of_type):
    alarm = alarms["zblocks-lost-uploads"]
    (queue,) = of_type(template, "AWS::SQS::Queue")
    assert alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
    assert alarm["Dimensions"] == [
        {"Name": "QueueName", "Value": {"Fn::GetAtt": [queue, "QueueName"]}}
    ]
    assert (alarm["Statistic"], alarm["Threshold"]) == ("Maximum", 1)
    (target,) = next(iter(of_type(template, "AWS::Events::Rule").values()))["Targets"]
    assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": [queue, "Arn"]}}


def test_while_nothing_runs_nothing_alarms(alarms):
    assert {alarm["TreatMissingData"] for alarm in alarms.values()} == {"notBreaching"}


def test_nobody_is_told_unless_somebody_asks(template, of_type, alarms):
    assert of_type(template, "AWS::SNS::Topic") == {}
    assert not [alarm for alarm in alarms.values() if "AlarmActions" in alarm]


def test_without_a_dashboard_nothing_is_left_standing(synthesise, of_type):
    template, _ = synthesise({"dashboard": "false"})
    kinds = {resource["Type"] for resource in template["Resources"].values()}
    assert not [kind for kind in kinds if kind.startswith(("AWS::CloudWatch", "AWS::SNS"))]
    assert "Dashboard" not in template["Outputs"]
    template, _ = synthesise({"dashboard": "false", "notify_email": "lab@example.org"})
    assert of_type(template, "AWS::CloudWatch::Dashboard") == {}
    assert len(of_type(template, "AWS::CloudWatch::Alarm")) == 6  # mailed, so they have a use


def test_alarms_and_ends_go_to_every_address(watched, of_type):
    template = watched[0]
    (topic,) = of_type(template, "AWS::SNS::Topic")
    subscriptions = of_type(template, "AWS::SNS::Subscription").values()
    assert {(s["Protocol"], s["Endpoint"]) for s in subscriptions} == {
        ("email", "lab@example.org"), ("email", "me@example.org")
    }  # fmt: skip
    assert {s["TopicArn"]["Ref"] for s in subscriptions} == {topic}
    for alarm in of_type(template, "AWS::CloudWatch::Alarm").values():
        assert alarm["AlarmActions"] == [{"Ref": topic}]
    assert template["Outputs"]["NoticesTopic"]["Value"] == {"Ref": topic}


def mail(watched, of_type, source: str) -> tuple[dict, str, dict]:
    """A rule's pattern, its mail's text, and the paths of the text's fields."""
    rules = of_type(watched[0], "AWS::Events::Rule").values()
    rule = next(r for r in rules if r["EventPattern"]["source"] == [source])
    (target,) = rule["Targets"]
    (topic,) = of_type(watched[0], "AWS::SNS::Topic")
    assert target["Arn"] == {"Ref": topic}
    assert "RoleArn" not in target  # EventBridge publishes by the topic's policy
    transformer = target["InputTransformer"]
    return rule["EventPattern"], transformer["InputTemplate"], transformer["InputPathsMap"]


def test_the_mail_of_a_published_volume_has_its_link(watched, of_type):
    pattern, text, paths = mail(watched, of_type, "zblocks")
    assert pattern["detail-type"] == ["Volume published"]
    (ours,) = pattern["resources"]
    assert ours["prefix"]["Fn::Join"][1][-1] == ":execution:zblocks:"
    assert "Open it: <detail-link> " in text
    assert paths["detail-link"] == "$.detail.link"
    assert set(re.findall(r"<([\w-]+)>", text)) == set(paths)


def test_the_mail_of_a_failure_has_the_reason(watched, of_type):
    """Step Functions' own event: it comes even if no function could speak."""
    pattern, text, paths = mail(watched, of_type, "aws.states")
    (machine,) = of_type(watched[0], "AWS::StepFunctions::StateMachine")
    assert pattern["detail"] == {
        "status": ["FAILED", "TIMED_OUT", "ABORTED"], "stateMachineArn": [{"Ref": machine}]
    }  # fmt: skip
    assert paths["detail-cause"] == "$.detail.cause"
    assert "<detail-cause>" in text


def test_the_dashboards_prices_are_those_of_the_plan():
    """Two places, since the stack doesn't import the package."""
    from infra.watch import GB_SECOND, REQUEST

    prices = Prices()
    assert {name: prices.lambda_gb_s(name) for name in GB_SECOND} == GB_SECOND
    assert prices.lambda_million_requests / 1e6 == REQUEST
