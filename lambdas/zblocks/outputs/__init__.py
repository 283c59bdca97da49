"""The output formats: the only place that knows all of them."""
