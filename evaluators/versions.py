"""The names under which Assay's own evaluators store their scores.

A change of a template or of a check that moves scores is a new version: scores of two versions are never
mixed.
"""

from __future__ import annotations

from typing import Final

JUDGE: Final = "llm-as-judge"
JUDGE_VERSION: Final = "v1"
HEURISTICS: Final = "heuristics"
HEURISTICS_VERSION: Final = "v1"

# The tenant under which Assay's own calls of models are recorded, so that their cost is shown apart.
OWN_TENANT: Final = "assay"
JUDGE_TASK: Final = "judge"
SOURCE: Final = "judge"
