"""The first screen: spend, requests, latency, cache hit rate, token velocity and quality, with the open
alerts.
"""

from assay.dashboard.overview.callbacks import register
from assay.dashboard.overview.layout import VIEW, layout
from assay.dashboard.overview.selection import PATH

__all__ = ["PATH", "VIEW", "layout", "register"]
