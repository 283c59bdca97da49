"""One run, from the look at the destination to the published volume."""
