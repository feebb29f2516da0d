"""The dbt models as assets: whatever is in ``dbt_project`` is here, no Python to touch."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtProject, dbt_assets

from assay.settings import load_settings
from assay.warehouse.dbt import PROJECT
from orchestration.manifest import load_manifest, target_dir
from orchestration.resources import Dbt

# Sources that an asset of another name produces.
_PRODUCED_BY = {"kpi_baselines": "ewma_baselines"}

_settings = load_settings()
PROJECT_OF_CHECKOUT = DbtProject(PROJECT, target_path=target_dir(_settings), profiles_dir=PROJECT)


class Translator(DagsterDbtTranslator):
    """Names as people know them: a model's, a table's; grouped by the folder of the model."""

    def __init__(self) -> None:
        super().__init__(
            # Tests of sources are checks of the raw assets.
            DagsterDbtTranslatorSettings(enable_source_tests_as_checks=True, enable_code_references=True)
        )

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """The bare name: a source and the asset that fills it are one node of the lineage."""
        name = dbt_resource_props["name"]
        return dg.AssetKey(_PRODUCED_BY.get(name, name) if _is_source(dbt_resource_props) else name)

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """The first folder below ``models``: staging, rollups, marts; seeds together."""
        folder = dbt_resource_props["fqn"][1]
        if dbt_resource_props["resource_type"] == "seed":
            return "seeds"
        return None if _is_source(dbt_resource_props) else folder


def _is_source(props: Mapping[str, Any]) -> bool:
    return bool(props["resource_type"] == "source")


@dbt_assets(
    manifest=load_manifest(_settings),
    project=PROJECT_OF_CHECKOUT,
    dagster_dbt_translator=Translator(),
    name="dbt_models",
    # Two runs of dbt would replace the same views under each other.
    pool="dbt",
)
def dbt_models(context: dg.AssetExecutionContext, dbt: Dbt) -> Iterator[Any]:
    """Build the chosen models and run their tests. Unit tests prove code, not data: CI runs those."""
    yield from dbt.cli(["build", "--exclude-resource-type", "unit_test"], context=context).stream()
