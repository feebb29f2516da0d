from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.warehouse.embedded.request import Statement, parse


def statement(
    body: bytes = b"",
    url: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
    **options: bool,
) -> Statement:
    return parse(url or {}, headers or {}, body, readonly=options.get("readonly", False))


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("SELECT 1", "SELECT"),
        ("  select 1", "SELECT"),
        ("-- why\n/* and\nhow */ WITH 1 AS a SELECT a", "WITH"),
        ("(SELECT 1)", "SELECT"),
        ("((  SELECT 1) UNION ALL (SELECT 2))", "SELECT"),
        ("insert into t values (1)", "INSERT"),
        ("ALTER TABLE t DELETE WHERE 1", "ALTER"),
        ("", ""),
        ("-- nothing", ""),
    ],
)
def test_kind_is_the_first_word(sql: str, kind: str) -> None:
    assert statement(sql.encode()).kind == kind


INSERTS = [
    # (sent, statement, format, data)
    (b"INSERT INTO t FORMAT CSV\n1,2\n", "INSERT INTO t", "CSV", b"1,2\n"),
    (b"INSERT INTO t (a, b) FORMAT Native\n\x01\x02\x00", "INSERT INTO t (a, b)", "Native", b"\x01\x02\x00"),
    (b'insert into t format JSONEachRow {"a": 1}', "insert into t", "JSONEachRow", b'{"a": 1}'),
    (b"INSERT INTO t FORMAT CSV\n", "INSERT INTO t", "CSV", b""),
    (b"INSERT INTO t FORMAT TSV;\n1\t2\n", "INSERT INTO t", "TSV", b"1\t2\n"),
    (
        b"INSERT INTO t SETTINGS async_insert = 0 FORMAT RowBinary\n\xff",
        "INSERT INTO t SETTINGS async_insert = 0",
        "RowBinary",
        b"\xff",
    ),
    # Names hold what they like.
    (b"INSERT INTO `a FORMAT b` FORMAT CSV\n1", "INSERT INTO `a FORMAT b`", "CSV", b"1"),
    (b'INSERT INTO "sel;ect" FORMAT CSV\n1', 'INSERT INTO "sel;ect"', "CSV", b"1"),
    # Data that looks like SQL.
    (b"INSERT INTO t FORMAT CSV\n'x FORMAT y'\n", "INSERT INTO t", "CSV", b"'x FORMAT y'\n"),
    (b"INSERT INTO t FORMAT LineAsString\nSELECT 1\n", "INSERT INTO t", "LineAsString", b"SELECT 1\n"),
]


@pytest.mark.parametrize(("sent", "sql", "name", "data"), INSERTS)
def test_insert_is_told_from_its_data(sent: bytes, sql: str, name: str, data: bytes) -> None:
    found = statement(sent)
    assert (found.sql, found.input_format, found.data) == (sql, name, data)


def test_insert_in_the_url_takes_the_body_as_data() -> None:
    found = statement(b"\x00\xff", {"query": "INSERT INTO t FORMAT Native"})
    assert (found.sql, found.input_format, found.data) == ("INSERT INTO t", "Native", b"\x00\xff")


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t VALUES (1), (2)",
        "INSERT INTO t VALUES ('a FORMAT CSV b')",
        "INSERT INTO t SELECT * FROM u FORMAT CSV",
        "INSERT INTO t WITH 1 AS a SELECT a FORMAT Null",
        "INSERT INTO t FROM INFILE 'x.csv' FORMAT CSV",
    ],
)
def test_insert_without_data_in_a_format_is_left_to_the_engine(sql: str) -> None:
    found = statement(sql.encode())
    assert (found.sql, found.input_format, found.data) == (sql, "", b"")


@pytest.mark.parametrize(
    ("sql", "url", "headers", "wanted"),
    [
        ("SELECT 1", {}, {}, "TabSeparated"),
        ("SELECT 1 FORMAT JSON", {}, {}, "JSON"),
        ("SELECT 1 format CSV ;\n", {}, {}, "CSV"),
        ("SELECT 1 FORMAT Parquet SETTINGS max_threads = 1", {}, {}, "Parquet"),
        ("SELECT 1", {"default_format": "Native"}, {}, "Native"),
        ("SELECT 1", {}, {"x-clickhouse-format": "CSV"}, "CSV"),
        ("SELECT 1", {"default_format": "Native"}, {"x-clickhouse-format": "CSV"}, "Native"),
        ("SELECT 1 FORMAT JSON", {"default_format": "Native"}, {}, "JSON"),
        ("SELECT 'x FORMAT y', 1", {}, {}, "TabSeparated"),
    ],
)
def test_output_format(sql: str, url: dict[str, str], headers: dict[str, str], wanted: str) -> None:
    assert statement(sql.encode(), url, headers).output_format == wanted


def test_parameters_settings_and_interface_are_told_apart() -> None:
    found = statement(
        url={
            "query": "SELECT {a:UInt8}",
            "param_a": "5",
            "max_threads": "1",
            "query_id": "q",
            "user": "u",
            "session_id": "s",
            "session_timeout": "7",
            "session_check": "1",
            "database": "d",
            "enable_http_compression": "1",
            "wait_end_of_query": "1",
            "client_protocol_version": "54405",
        }
    )
    assert found.parameters == {"a": "5"}
    assert found.settings == {"max_threads": "1"}
    assert (found.query_id, found.database) == ("q", "d")
    assert (found.session_id, found.session_timeout_s, found.session_check) == ("s", 7.0, True)


def test_a_get_may_only_read() -> None:
    assert statement(b"SELECT 1", readonly=True).settings == {"readonly": "2"}
    assert statement(b"SELECT 1", {"readonly": "0"}, readonly=True).settings == {"readonly": "2"}


@pytest.mark.parametrize(
    ("sent", "url", "match"),
    [
        (b"SELECT '\xff'", {}, "not valid UTF-8 at byte 8"),
        (b"SELECT 1", {"session_timeout": "soon"}, "session_timeout must be a whole number"),
        (b"SELECT 1", {"session_timeout": "-1"}, "session_timeout must be a whole number"),
    ],
)
def test_what_is_wrong_is_named(sent: bytes, url: dict[str, str], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        statement(sent, url)


@given(st.binary(max_size=200))
def test_data_of_an_insert_arrives_byte_by_byte(data: bytes) -> None:
    found = statement(b"INSERT INTO t (a) FORMAT RowBinary\n" + data)
    assert (found.sql, found.data) == ("INSERT INTO t (a)", data)


@given(st.binary(max_size=300))
def test_anything_is_a_statement_or_a_value_error(sent: bytes) -> None:
    try:
        sent.decode()
    except UnicodeDecodeError:
        # What is not text may still be the data of an insert.
        with suppress(ValueError):
            assert statement(sent).input_format
    else:
        assert isinstance(statement(sent), Statement)
