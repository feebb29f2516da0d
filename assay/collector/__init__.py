"""Telemetry in: HTTP service, mappings, queue, writer."""
