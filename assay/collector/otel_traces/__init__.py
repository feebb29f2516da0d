"""Calls from the table that the OpenTelemetry Collector's ClickHouse exporter writes, ``otel_traces``.

- :mod:`~assay.collector.otel_traces.table`: the table, its parts, and its rows as OTLP spans;
- :mod:`~assay.collector.otel_traces.progress`: which of its rows were read;
- :mod:`~assay.collector.otel_traces.bridge`: the service.
"""
