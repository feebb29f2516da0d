"""Forms: how clients send parameters that are too long for a URL."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException, MultiPartParser

_FORM = "multipart/form-data"


class ExternalTableError(ValueError):
    """A form carries a file, which a ClickHouse server would read as a temporary table."""


def is_form(headers: Headers) -> bool:
    """Whether the body is a form.

    As on a server, ``application/x-www-form-urlencoded`` is none: curl calls any SQL that.
    """
    return headers.get("content-type", "").lower().startswith(_FORM)


async def fields(headers: Headers, body: bytes) -> dict[str, str]:
    """The fields of a form.

    Args:
        headers: of the request; its content type names the boundary.
        body: decompressed.

    Raises:
        ExternalTableError: one of them is a file.
        ValueError: the body is not of that form.
    """

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        # What the body may have, a field may have.
        form = await MultiPartParser(headers, stream(), max_part_size=len(body)).parse()
    except MultiPartException as error:
        raise ValueError(f"the body is not multipart/form-data: {error.message}") from error
    found = {}
    for name, value in form.multi_items():
        if not isinstance(value, str):
            await form.close()
            raise ExternalTableError(
                f"External tables are not supported by the embedded server ({name}): insert the rows into a "
                "temporary table of a session, or give them as an Array parameter"
            )
        found[name] = value
    return found
