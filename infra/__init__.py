"""The stack: what `cdk deploy` puts into an account."""
