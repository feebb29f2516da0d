"""The second screen: what a unit of work costs, whether answers run away or are cut short, what not caching
costs, and what conversions and sessions cost, by template over days.
"""

from assay.dashboard.efficiency.callbacks import register
from assay.dashboard.efficiency.layout import VIEW, layout
from assay.dashboard.efficiency.selection import PATH

__all__ = ["PATH", "VIEW", "layout", "register"]
