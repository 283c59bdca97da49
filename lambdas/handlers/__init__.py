"""Shells for AWS Lambda: an event comes in, one function of the core is called, a dict goes out."""

from aws_lambda_powertools import Logger

logger = Logger(service="zblocks")
