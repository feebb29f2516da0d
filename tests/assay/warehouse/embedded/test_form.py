"""Parameters of any length arrive as they were given: short ones in the URL, long ones in a form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.support.stores import ClickHouse

Ask = Callable[..., httpx.Response]

LONG = 100_000
TEXTS = {
    "plain": "a" * LONG,
    "quotes": 'it\'s "so" `called` {y:String} ' * (LONG // 30),
    "newlines": "one\r\ntwo\n\rthree\n\n--four\r\n" * (LONG // 25),
    "backslashes": "C:\\new\\table\\0\\N\\\\" * (LONG // 19),
    "other": "ünïcode 🙂\t\0\x1a; DROP TABLE t -- " * (LONG // 30),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts(clickhouse: ClickHouse, name: str) -> None:
    text = TEXTS[name]
    with clickhouse.client() as client:
        given = client.query("SELECT {x:String}, {y:UInt8}", parameters={"x": text, "y": 7}).first_row
        assert tuple(given) == (text, 7)
        # The same in the URL, for what is short.
        assert client.query("SELECT {x:String}", parameters={"x": text[:100]}).first_row[0] == text[:100]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("Array(String)", [text[:20_000] for text in TEXTS.values()] + ["", "\\N"]),
        ("Array(UInt64)", list(range(LONG))),
        ("Array(Array(Nullable(String)))", [["a'b", None, "\n"]] * 5_000),
    ],
)
def test_arrays(clickhouse: ClickHouse, kind: str, value: list[Any]) -> None:
    with clickhouse.client() as client:
        assert client.query(f"SELECT {{x:{kind}}}", parameters={"x": value}).first_row[0] == value


def test_what_stands_in_both_is_taken_from_the_url(clickhouse: ClickHouse, database: str) -> None:
    answer = httpx.post(
        clickhouse.url,
        params={"param_x": "url", "database": database},
        files={
            "query": (None, "SELECT {x:String}, {y:String}, currentDatabase()"),
            "param_x": (None, "form"),
            "param_y": (None, "form"),
        },
        trust_env=False,
    )
    assert answer.text == f"url\tform\t{database}\n"


FIELD = b'--x\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT 1\r\n--x--\r\n'
FILE = FIELD.replace(b'name="query"', b'name="ids"; filename="ids.tsv"')


@pytest.mark.parametrize(
    ("content", "parameter", "code", "said"),
    [
        (FILE, "; boundary=x", "48", "External tables are not supported"),
        (FIELD, "", "117", "Missing boundary"),
        (FIELD, "; boundary=other", "117", "the body is not multipart/form-data"),
    ],
    ids=["file", "no-boundary", "other-boundary"],
)
def test_forms_that_cannot_be_read_say_why(
    ask: Ask, content: bytes, parameter: str, code: str, said: str
) -> None:
    answer = ask(content, headers={"content-type": f"multipart/form-data{parameter}"})
    assert answer.headers["x-clickhouse-exception-code"] == code
    assert said in answer.text
