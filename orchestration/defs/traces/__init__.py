"""Telemetry that the collector's writer stores, outside Dagster."""
