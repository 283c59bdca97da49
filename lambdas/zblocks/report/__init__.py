"""The reports of a run: `report.json`, `report.html` and the `provenance` document."""
