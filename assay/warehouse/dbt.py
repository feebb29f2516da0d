"""Running the dbt project against the configured store."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from assay.settings import Settings, load_settings

PROJECT = Path(__file__).parents[2] / "dbt_project"


class DbtError(RuntimeError):
    """dbt did not finish; the message is the end of what it printed."""


def dbt_environment(settings: Settings) -> dict[str, str]:
    """What ``dbt_project/profiles.yml`` reads, for the configured store."""
    url = urlsplit(settings.clickhouse)
    secure = url.scheme == "https"
    return {
        "ASSAY_DBT_HOST": url.hostname or "127.0.0.1",
        "ASSAY_DBT_PORT": str(url.port or (8443 if secure else 8123)),
        "ASSAY_DBT_SECURE": str(secure),
        "ASSAY_DBT_USER": unquote(url.username or "default"),
        "ASSAY_DBT_PASSWORD": unquote(url.password or ""),
        "ASSAY_DBT_DATABASE": settings.clickhouse_database,
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DO_NOT_TRACK": "1",
    }


def run_dbt(
    settings: Settings, command: str, *arguments: str, project: Path = PROJECT, target: Path | None = None
) -> str:
    """Run one dbt command; return what it printed.

    Args:
        settings: where the store is.
        command: ``run``, ``build``, ``test``, ….
        arguments: more of dbt's arguments.
        project: another copy of the project.
        target: where dbt writes; under the data directory unless given.

    Raises:
        DbtError: dbt exited with an error.
    """
    folder = target or settings.data_dir / "dbt"
    done = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("dbt")), "--no-use-colors", command, *arguments),
            *("--project-dir", str(project), "--profiles-dir", str(project)),
            *("--target-path", str(folder / "target"), "--log-path", str(folder / "logs")),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **dbt_environment(settings)},
    )
    if done.returncode != 0:
        raise DbtError(f"dbt {command} failed:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
    return done.stdout


def build(
    settings: Settings, *, arguments: Sequence[str] = (), project: Path = PROJECT, target: Path | None = None
) -> str:
    """Create what is missing of rollups and marts, and load the seeds; what exists is kept."""
    without = [part for kind in ("test", "unit_test") for part in ("--exclude-resource-type", kind)]
    return run_dbt(settings, "build", *without, *arguments, project=project, target=target)


def main(argv: Sequence[str]) -> None:
    """``python -m assay.warehouse.dbt``: one dbt command against the configured store."""
    try:
        sys.stdout.write(run_dbt(load_settings(), *argv))
    except DbtError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
