"""What an API key looks like: ``assay_<id>_<secret><checksum>``, letters and digits throughout.

The prefix and the checksum let scanners of repositories and logs tell a leaked key from any other text
without asking anybody. The id is no secret: it names the key in listings and metrics.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib
from typing import Final, NamedTuple

PREFIX: Final = "assay"
ID_LENGTH: Final = 12
# 62^43 > 2^256.
SECRET_LENGTH: Final = 43
# 62^6 > 2^32.
CHECKSUM_LENGTH: Final = 6
PATTERN: Final = rf"{PREFIX}_[0-9A-Za-z]{{{ID_LENGTH}}}_[0-9A-Za-z]{{{SECRET_LENGTH + CHECKSUM_LENGTH}}}"

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LENGTH: Final = len(PREFIX) + 2 + ID_LENGTH + SECRET_LENGTH + CHECKSUM_LENGTH
_SHAPE: Final = re.compile(PATTERN)


class KeyShapeError(ValueError):
    """The text is no API key. The message never repeats it."""


class Presented(NamedTuple):
    """A key as somebody showed it: which one it claims to be, and the hash that has to be on record."""

    key_id: str
    secret_hash: str


def generate() -> tuple[str, Presented]:
    """A new key: the text to hand out, which is not to be kept, and what is kept of it."""
    body = f"{PREFIX}_{_random(ID_LENGTH)}_{_random(SECRET_LENGTH)}"
    text = body + _checksum(body)
    return text, present(text)


def present(text: str) -> Presented:
    """Take a key apart.

    Raises:
        KeyShapeError: it has not the form of a key, or its checksum does not fit: cut off or mistyped.
    """
    if _SHAPE.fullmatch(text) is None:
        raise KeyShapeError(
            f"it does not have the form {PREFIX}_<id>_<secret> ({_LENGTH} characters); copy it whole"
        )
    body, checksum = text[:-CHECKSUM_LENGTH], text[-CHECKSUM_LENGTH:]
    if _checksum(body) != checksum:
        raise KeyShapeError("its checksum does not fit: a character was lost or changed; copy it again")
    return Presented(text[len(PREFIX) + 1 :][:ID_LENGTH], secret_hash(text))


def secret_hash(text: str) -> str:
    """What is stored of a key, hex.

    A plain SHA-256 is right here, and a slow password hash is not: the secret is 256 random bits, so that
    there is no dictionary to try, however fast the hash is; and it is computed for every request.
    """
    return hashlib.sha256(text.encode()).hexdigest()


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _checksum(body: str) -> str:
    """CRC-32 in base 62, as GitHub's tokens have it."""
    number = zlib.crc32(body.encode())
    digits = ""
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
