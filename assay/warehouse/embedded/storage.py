"""Volumes of the embedded store: hot where the engine lives, warm beside it, cold on S3 or beside it, too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element, SubElement

# The names that retention.yml refers to. A table changes from the engine's `default` policy to
# this one in place, because the first volume has the name and the disk of the only one of `default`.
POLICY: Final = "assay"
_VOLUMES: Final = ("default", "warm", "cold")


@dataclass(frozen=True)
class S3:
    """A bucket for cold parts.

    Attributes:
        endpoint: URL of the bucket, with a prefix where wanted:
            ``https://s3.eu-central-1.amazonaws.com/bucket/assay/``.
        access_key_id, secret_access_key: both empty: what the environment offers (instance role, …).
        region: empty: told from the endpoint.
    """

    endpoint: str
    access_key_id: str = ""
    secret_access_key: str = ""
    region: str = ""


def add_storage(root: Element, data_dir: Path, cold: S3 | None) -> None:
    """Describe disks and the storage policy to the engine.

    Args:
        root: of its configuration.
        data_dir: under which the local volumes are.
        cold: None: a third local directory.
    """
    configuration = SubElement(root, "storage_configuration")
    disks = SubElement(configuration, "disks")
    _local(SubElement(disks, "warm"), data_dir / "warm")
    if cold is None:
        _local(SubElement(disks, "cold"), data_dir / "cold")
    else:
        _s3(SubElement(disks, "cold"), data_dir, cold)
    volumes = SubElement(SubElement(SubElement(configuration, "policies"), POLICY), "volumes")
    for name in _VOLUMES:
        SubElement(SubElement(volumes, name), "disk").text = name
    # A part goes to a slower volume because of its age alone, never because the first is nearly full.
    SubElement(configuration.find(f"policies/{POLICY}"), "move_factor").text = "0"  # type: ignore[arg-type]


def _local(disk: Element, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    SubElement(disk, "type").text = "local"
    SubElement(disk, "path").text = f"{directory}/"


def _s3(disk: Element, data_dir: Path, cold: S3) -> None:
    metadata = data_dir / "cold-metadata"
    metadata.mkdir(parents=True, exist_ok=True)
    given = {
        "type": "s3",
        "endpoint": f"{cold.endpoint.rstrip('/')}/",
        # Which object belongs to which part: lost, the bucket's objects cannot be read any more.
        "metadata_path": f"{metadata}/",
        "region": cold.region,
        "access_key_id": cold.access_key_id,
        "secret_access_key": cold.secret_access_key,
        "use_environment_credentials": "" if cold.access_key_id else "true",
    }
    for name, text in given.items():
        if text:
            SubElement(disk, name).text = text
