"""An OTLP request in protobuf taken apart by its framing alone, for when it does not parse as a whole.

One attribute that is no UTF-8 makes the parser refuse a request. The framing around the spans is whole then,
so that each span can be parsed by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

_RESOURCE_SPANS = 1
_RESOURCE = 1
_SCOPE_SPANS = 2
_SPANS = 2


def split(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each span's bytes and those of its resource.

    Raises:
        ValueError: the framing is broken as well.
    """
    for resource_spans in _messages(body, _RESOURCE_SPANS):
        resource = b"".join(_messages(resource_spans, _RESOURCE))
        for scope_spans in _messages(resource_spans, _SCOPE_SPANS):
            for span in _messages(scope_spans, _SPANS):
                yield span, resource


def _messages(data: bytes, wanted: int) -> Iterator[bytes]:
    """The length-delimited fields of number ``wanted``."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        field, wire_type = tag >> 3, tag & 7
        length = 0
        match wire_type:
            case 0:
                _, position = _varint(data, position)
            case 1:
                length = 8
            case 2:
                length, position = _varint(data, position)
            case 5:
                length = 4
            case _:
                raise ValueError(f"wire type {wire_type} at byte {position}")
        end = position + length
        if field == 0 or end > len(data):
            raise ValueError(f"field {field} of {length} bytes at byte {position}")
        if wire_type == 2 and field == wanted:
            yield data[position:end]
        position = end


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(data) and shift < 64:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError(f"varint at byte {position}")
