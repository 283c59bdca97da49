"""The report that people read: `report.html` beside `report.json`."""
