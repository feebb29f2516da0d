"""Who may use the collector: the key of a request, what it is good for, how fast it may send."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request

from assay.collector.keyring import Keyring
from assay.collector.rates import RateLimits
from assay.contracts import api_key
from assay.contracts.api_key import KeyShapeError
from assay.settings import Settings, is_loopback
from assay.warehouse.api_keys import ApiKey, Scope

KEY_HEADER: Final = "x-assay-key"
_HOW: Final = "send it as `Authorization: Bearer assay_…` or `X-Assay-Key: assay_…`"
_MAKE: Final = "make one with `assay keys create --name NAME --tenant TENANT`"
_RETRY_AFTER_S: Final = 2

_log = logging.getLogger(__name__)


class DeniedError(Exception):
    """A request that is refused for who sent it, not for what it holds. Nothing of it was accepted.

    Attributes:
        status: 401, 403, 429 or 503.
        error: what is wrong; never holds a key.
        fix: what the sender can do about it.
        headers: of the answer.
    """

    def __init__(self, status: int, error: str, fix: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.fix = fix
        self.headers = dict(headers or {})


class Access:
    """Decides about requests from their headers alone, before their bodies are read."""

    def __init__(self, settings: Settings, keyring: Keyring) -> None:
        self._settings = settings
        self._keyring = keyring
        self._limits = RateLimits()
        self.required = requires_keys(settings)
        # Where they are only optional they are read too: a key that is shown holds its sender to its tenants.
        self.used = settings.require_keys != "never"

    def admit(self, request: Request, scope: Scope) -> ApiKey | None:
        """The key of a request; None where none was shown and none is needed.

        A key that is shown counts also where none is needed.

        Raises:
            DeniedError: no key, one that is not good any more, not for this, or sending too fast.
        """
        shown = _shown(request)
        if not self.used or not (shown or self.required):
            return None
        if not shown:
            raise _unauthorized("an API key is required", f"{_HOW}; {_MAKE}")
        try:
            presented = api_key.present(shown)
        except KeyShapeError as error:
            raise _unauthorized(f"this is no API key: {error}", _HOW) from None
        if self._keyring.read_at is None:
            raise DeniedError(
                503,
                "the keys cannot be read yet: the store does not answer",
                f"nothing was accepted: send the same request again in {_RETRY_AFTER_S} seconds",
                {"Retry-After": str(_RETRY_AFTER_S)},
            )
        key = self._keyring.find(presented)
        if key is None:
            raise _unauthorized("the API key is not known here", _MAKE)
        now = datetime.now(UTC)
        if why := key.refusal(now):
            raise _unauthorized(f"API key {key.key_id} ({key.name}) {why}", _MAKE)
        if scope not in key.scopes:
            raise DeniedError(
                403,
                f"API key {key.key_id} ({key.name}) is for {', '.join(sorted(key.scopes))}, not for {scope}",
                f"use a key with the scope {scope}: `assay keys create --scope {scope}`",
            )
        self._keyring.used(key, now)
        if scope == "write" and (wait := self._limits.wait_s(key)):
            raise _too_fast(key, wait)
        return key

    def charge(self, key: ApiKey | None, records: int) -> None:
        """Count the records of a request against its key's rate.

        Raises:
            DeniedError: 429, too many for now; none is counted.
        """
        if key is not None and (wait := self._limits.take(key, records)):
            raise _too_fast(key, wait)

    def refund(self, key: ApiKey | None, records: int) -> None:
        """Take back :meth:`charge`: the queue did not accept the records."""
        if key is not None:
            self._limits.give_back(key, records)

    def warn(self) -> None:
        """Say at start what an operator should know."""
        if not self.used and not is_loopback(self._settings.host):
            _log.warning(
                "ASSAY_REQUIRE_KEYS=never: whoever reaches %s may send records for any tenant",
                self._settings.host,
            )
        elif self.required and self._keyring.read_at is not None and not self._keyring.usable():
            _log.warning(
                "every request is refused: keys are required (ASSAY_HOST=%s, ASSAY_REQUIRE_KEYS=%s) and "
                "there is none; %s",
                self._settings.host,
                self._settings.require_keys,
                _MAKE,
            )

    @property
    def state(self) -> str:
        """One line for ``/readyz``."""
        if not self.used:
            return "not required (ASSAY_REQUIRE_KEYS=never)"
        return f"{'required' if self.required else 'not required on loopback'}; {self._keyring.state}"


def requires_keys(settings: Settings) -> bool:
    """Whether requests without a key are refused."""
    if settings.require_keys == "auto":
        return not is_loopback(settings.host)
    return settings.require_keys == "always"


def _shown(request: Request) -> str:
    """What stands where a key would; empty where there is nothing, or a credential that is not meant for
    us."""
    if own := request.headers.get(KEY_HEADER, "").strip():
        return own
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    credential = credential.strip()
    return credential if scheme.lower() == "bearer" and credential.startswith(api_key.PREFIX) else ""


def _unauthorized(error: str, fix: str) -> DeniedError:
    return DeniedError(401, error, fix, {"WWW-Authenticate": "Bearer"})


def _too_fast(key: ApiKey, wait_s: int) -> DeniedError:
    return DeniedError(
        429,
        f"API key {key.key_id} ({key.name}) may send {key.records_per_second:g} records a second",
        f"nothing was accepted: send the same request again in {wait_s} seconds, or ask for a higher rate",
        {"Retry-After": str(wait_s)},
    )
