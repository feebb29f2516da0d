"""The ``assay`` command and the supervisor behind ``assay up``."""
