"""Imports into AWS HealthImaging: from a queued Ahlijob row to image sets, one verb a module."""
