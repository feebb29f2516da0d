"""Secrets and personal data taken out of captured text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache, partial
from pkgutil import resolve_name
from typing import Final, NamedTuple, Protocol

from assay.contracts import api_key
from assay.settings import Settings, SettingsError

MARKER: Final = "[redacted:"
MAX_LABEL: Final = 64


class Redactor(Protocol):
    """Anything that can stand in for :class:`PatternRedactor`, for example a call of a PII service."""

    def redact(self, text: str) -> str:
        """``text`` with each finding replaced by ``[redacted:NAME]``."""
        ...


class Pattern(NamedTuple):
    """One kind of finding. Group 1, where there is one, is the part to replace; else the whole match.

    ``hint`` is a cheap expression without which there is no match: nearly every text has none of the hints,
    and is then looked at once instead of once per pattern.
    """

    name: str
    expression: re.Pattern[str]
    hint: str
    luhn: bool = False


def _pattern(name: str, hint: str, expression: str, *, luhn: bool = False) -> Pattern:
    return Pattern(name, re.compile(expression), hint, luhn)


# Prefixes and lengths as their issuers document them. Every repeat is bounded or anchored by a lookbehind, so
# that each takes linear time on any text. Order matters: the specific ones name what the generic ones would
# only catch.
PATTERNS: Final[Sequence[Pattern]] = (
    _pattern(
        "private_key",
        r"-----BEGIN",
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----[A-Za-z0-9+/=\s:,.\\-]{0,20000}?"
        r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\Z)",
    ),
    _pattern("jwt", r"eyJ", r"\beyJ[\w-]{8,8000}\.eyJ[\w-]{8,8000}\.[\w-]{8,8000}"),
    _pattern("aws_key", r"A(?:KI|SI|BI|CC)A", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b"),
    _pattern(
        "aws_secret",
        r"[Aa][Ww][Ss]",
        r"(?i:aws.{0,20}?secret.{0,20}?[=:]\s*[\"']?)([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])",
    ),
    _pattern("assay_key", rf"{api_key.PREFIX}_", rf"\b{api_key.PATTERN}\b"),
    _pattern("anthropic_key", r"sk-", r"\bsk-ant-[\w-]{16,300}"),
    _pattern("openai_key", r"sk-", r"\bsk-(?:proj-|svcacct-|admin-|or-v1-)?[\w-]{16,300}"),
    _pattern(
        "github_token",
        r"gh[pousr]_|github_pat_",
        r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{22,255})",
    ),
    _pattern("gitlab_token", r"glpat-", r"\bglpat-[\w-]{20,255}"),
    _pattern("slack_token", r"xox", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,255}"),
    _pattern(
        "slack_webhook", r"hooks\.slack", r"https://hooks\.slack\.com/(?:services|workflows)/[\w/-]{20,255}"
    ),
    _pattern("google_key", r"AIza", r"\bAIza[\w-]{35}(?![\w-])"),
    _pattern("google_token", r"ya29\.", r"\bya29\.[\w-]{20,2000}"),
    _pattern("stripe_key", r"k_live|k_test", r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,255}"),
    _pattern("huggingface_token", r"hf_", r"\bhf_[A-Za-z0-9]{30,255}"),
    _pattern("npm_token", r"npm_", r"\bnpm_[A-Za-z0-9]{36}\b"),
    _pattern("pypi_token", r"pypi-", r"\bpypi-AgEI[\w-]{50,1000}"),
    _pattern(
        "authorization",
        r"[Bb][Ee][Aa][Rr][Ee][Rr]\s|[Bb][Aa][Ss][Ii][Cc]\s",
        r"(?i)\b(?:bearer|basic)\s+([\w.~+/=-]{16,4000})",
    ),
    _pattern("url_password", r"://", r"(?i)\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{0,255}:([^\s/@]{1,255})@"),
    _pattern(
        "secret",
        r"[:=]",
        r"(?i)(?:password|passwd|passphrase|secret|api[_-]?key|access[_-]?key|(?:access|auth|refresh)[_-]?token)"
        r"[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?!\[redacted:)([^\s\"',;&]{6,500})",
    ),
    _pattern("email", r"@", r"(?<![\w.+%-])[\w.+%-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])"),
    # 13 to 19 digits with a right check digit (ISO/IEC 7812), of the ranges in which cards are issued: a time
    # in milliseconds starts with 1.
    _pattern("card", r"\d{3}", r"(?<![\w.-])[2-6](?:[ -]?\d){12,18}(?!\w)", luhn=True),
    _pattern("phone", r"\+\d", r"(?<![\w+])\+\d{1,3}[ .-]?\(?\d{1,4}\)?(?:[ .-]?\d{2,4}){2,4}(?!\d)"),
    _pattern("phone", r"\d{3}", r"(?<![\w.-])(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}(?![\w-])"),
)


class PatternRedactor:
    """Finds what has a known shape. It does not understand text: names and addresses stay."""

    def __init__(self, patterns: Sequence[Pattern] = PATTERNS) -> None:
        self._patterns = patterns
        self._hints = re.compile("|".join(pattern.hint for pattern in patterns))
        # Labels repeat from span to span: nearly all of them have been looked at before.
        self._label = lru_cache(maxsize=32_768)(self._find)

    def redact(self, text: str) -> str:
        """``text`` with each finding replaced by ``[redacted:NAME]``."""
        return self._label(text) if len(text) <= MAX_LABEL else self._find(text)

    def _find(self, text: str) -> str:
        if self._hints.search(text) is None:
            return text
        for pattern in self._patterns:
            text = pattern.expression.sub(partial(_replace, pattern), text)
        return text


def _replace(pattern: Pattern, found: re.Match[str]) -> str:
    whole = found.group()
    if pattern.luhn and not luhn(whole):
        return whole
    marker = f"{MARKER}{pattern.name}]"
    if not found.re.groups:
        return marker
    start = found.start(1) - found.start()
    return f"{whole[:start]}{marker}{whole[start + len(found.group(1)) :]}"


def luhn(number: str) -> bool:
    """Whether the digits of ``number`` end in their check digit (ISO/IEC 7812-1, annex B)."""
    digits = [int(character) for character in number if character.isdecimal()]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


DEFAULT: Final[Redactor] = PatternRedactor()


def redactor_of(settings: Settings) -> Redactor:
    """The redactor that the settings name.

    Raises:
        SettingsError: there is none of that name.
    """
    if settings.redactor is None:
        return DEFAULT
    try:
        found: Redactor = resolve_name(settings.redactor)
        found.redact("")
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise SettingsError(
            f"ASSAY_REDACTOR={settings.redactor!r}: no object with a method redact(text) -> str: {error}"
        ) from error
    return found
