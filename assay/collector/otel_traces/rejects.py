"""What of the table could not be read, and which of it is noted already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import xxhash
from clickhouse_connect.driver.client import Client

from assay.collector.envelope import Reject

# In the column of that name, of what came from the table, whichever way.
SOURCE: Final = "otel_traces"
# Of a query's parameters, which travel in the URL.
_HASHES: Final = 500


def unknown(store: Client, rejects: Sequence[Reject]) -> list[Reject]:
    """Those that are not in ``ingest_rejects`` yet: spans have an identity, what is no span has none.

    Args:
        store: Assay's own.
        rejects: of spans that were read, maybe not for the first time.
    """
    hashes = [xxhash.xxh64_intdigest(reject.payload) for reject in rejects]
    known: set[int] = set()
    for start in range(0, len(hashes), _HASHES):
        found = store.query(
            "SELECT DISTINCT xxHash64(payload) FROM ingest_rejects WHERE source = {source:String} "
            "AND xxHash64(payload) IN {hashes:Array(UInt64)}",
            parameters={"source": SOURCE, "hashes": hashes[start : start + _HASHES]},
        )
        known |= {row[0] for row in found.result_rows}
    return [reject for reject, digest in zip(rejects, hashes, strict=True) if digest not in known]
