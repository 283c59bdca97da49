"""Shells for AWS Lambda: an event comes in, one function of the core is called, a dict goes out.

What they say is JSON, a line each: log lines that name the execution and the task, and metrics
(CloudWatch's embedded format). A custom metric costs $0.30 a month, counted by the hour, while it
gets data: there are eight, with one dimension, the deployment.

Traces come from Lambda's active tracing alone. Powertools' Tracer needs the X-Ray SDK, which
would make a worker's import twice as long (0.3 → 0.6 CPU seconds, measured).
"""

import os
import warnings

from aws_lambda_powertools import Logger, Metrics

SERVICE = os.environ.get("POWERTOOLS_SERVICE_NAME", "zblocks")
"""The deployment: the stack's name."""

logger = Logger(service=SERVICE)
metrics = Metrics(namespace="zblocks", service=SERVICE)
# A config that Plan refuses leaves nothing to count; that is no news.
warnings.filterwarnings("ignore", "No application metrics to publish")
