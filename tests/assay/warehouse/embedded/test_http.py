"""The HTTP interface answers as a ClickHouse server does."""

from __future__ import annotations

import gzip
import io
import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator

import httpx
import lz4.frame
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import zstandard

from tests.support.processes import wait_for
from tests.support.stores import ClickHouse

Ask = Callable[..., httpx.Response]

TABLE = "CREATE TABLE t (a UInt32, b String) ENGINE = MergeTree ORDER BY a"


def test_ping_and_replicas_status(clickhouse: ClickHouse) -> None:
    for path in ("/ping", "/replicas_status", "/"):
        answer = httpx.get(clickhouse.url + path, trust_env=False)
        assert (answer.status_code, answer.text) == (200, "Ok.\n")


def test_answers_carry_the_headers_that_clients_read(ask: Ask) -> None:
    headers = ask("SELECT number FROM numbers(3)", query_id="mine").headers
    assert headers["x-clickhouse-query-id"] == "mine"
    assert headers["x-clickhouse-format"] == "TabSeparated"
    assert headers["x-clickhouse-timezone"] == "UTC"
    ask(TABLE)
    summary = json.loads(ask("INSERT INTO t FORMAT CSV\n1,x\n2,y\n").headers["x-clickhouse-summary"])
    assert summary["written_rows"] == "2"


@pytest.mark.parametrize(
    ("sql", "url", "code", "status", "name"),
    [
        ("SELEC 1", {}, 62, 400, "SYNTAX_ERROR"),
        ("", {}, 62, 400, "SYNTAX_ERROR"),
        ("SELECT nope", {}, 47, 404, "UNKNOWN_IDENTIFIER"),
        ("SELECT * FROM nope", {}, 60, 404, "UNKNOWN_TABLE"),
        ("SELECT nope()", {}, 46, 404, "UNKNOWN_FUNCTION"),
        ("SELECT 1", {"database": "nope"}, 81, 404, "UNKNOWN_DATABASE"),
        ("SELECT 1", {"nope": "1"}, 115, 404, "UNKNOWN_SETTING"),
        ("SELECT {a:UInt8}", {}, 456, 500, "UNKNOWN_QUERY_PARAMETER"),
        ("SELECT {a:UInt8}", {"param_a": "x"}, 457, 500, "BAD_QUERY_PARAMETER"),
        ("SELECT throwIf(1)", {}, 395, 500, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        ("SELECT toUInt8('x')", {}, 6, 400, "CANNOT_PARSE_TEXT"),
        ("SELECT 1; SELECT 2", {}, 62, 400, "SYNTAX_ERROR"),
        ("SELECT 1", {"session_id": "none", "session_check": "1"}, 372, 500, "SESSION_NOT_FOUND"),
        ("SELECT 1", {"session_id": "s", "session_timeout": "x"}, 117, 400, "INCORRECT_DATA"),
        (b"SELECT '\xff'", {}, 117, 400, "INCORRECT_DATA"),
    ],
)
def test_exceptions_have_code_status_and_body(
    ask: Ask, sql: str | bytes, url: dict[str, str], code: int, status: int, name: str
) -> None:
    answer = ask(sql, **url)
    assert answer.headers["x-clickhouse-exception-code"] == str(code)
    assert answer.status_code == status
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")
    assert f"({name}) (version " in answer.text


def test_a_get_reads_only(ask: Ask) -> None:
    assert ask(query="SELECT 1", method="GET").text == "1\n"
    refused = ask(query=TABLE, method="GET")
    assert refused.headers["x-clickhouse-exception-code"] == "164"
    assert ask("EXISTS t").text == "0\n"


def test_parameters_are_bound_not_pasted(ask: Ask) -> None:
    answer = ask(
        "SELECT {n:UInt8} + 1, {s:String}, {l:Array(String)} FORMAT JSONCompactEachRow",
        param_n="5",
        param_s="it''s \\\\ 'quoted'; DROP TABLE t",
        param_l="['a','b']",
    )
    assert json.loads(answer.text) == [6, "it''s \\ 'quoted'; DROP TABLE t", ["a", "b"]]
    assert ask("SELECT {d:Date} + 1", param_d="2024-02-28").text == "2024-02-29\n"
    named = ask("SELECT count() FROM {d:Identifier}.{t:Identifier}", param_d="system", param_t="one")
    assert named.text == "1\n"


class TestSessions:
    def test_temporary_tables_and_settings_last_and_stay_apart(self, ask: Ask) -> None:
        ask("CREATE TEMPORARY TABLE mine (a UInt8)", session_id="one").raise_for_status()
        ask("INSERT INTO mine FORMAT CSV\n1\n2\n", session_id="one").raise_for_status()
        assert ask("SELECT sum(a) FROM mine", session_id="one").text == "3\n"
        assert ask("SELECT sum(a) FROM mine", session_id="two").status_code == 404
        assert ask("SELECT sum(a) FROM mine").status_code == 404

    def test_settings_of_a_url_hold_for_its_statement(self, ask: Ask) -> None:
        setting = "SELECT getSetting('max_block_size')"
        default = ask(setting).text
        ask("SET max_block_size = 100", session_id="three").raise_for_status()
        assert ask(setting, session_id="three").text == "100\n"
        assert ask(setting, session_id="three", max_block_size="7").text == "7\n"
        assert ask(setting, session_id="three").text == "100\n"
        assert ask(setting, max_block_size="7").text == "7\n"
        assert ask(setting).text == default

    def test_a_session_ends_after_its_timeout(self, ask: Ask) -> None:
        ask("CREATE TEMPORARY TABLE brief (a UInt8)", session_id="four", session_timeout="0")
        wait_for(
            lambda: ask("SELECT 1 FROM brief", session_id="four", session_timeout="0").status_code == 404,
            "end of the session",
        )


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "lz4"])
def test_compression_both_ways(ask: Ask, clickhouse: ClickHouse, database: str, encoding: str) -> None:
    compress: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "zstd": zstandard.compress,
        "lz4": lz4.frame.compress,
    }
    decompress: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.decompress,
        "deflate": zlib.decompress,
        "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
        "lz4": lz4.frame.decompress,
    }
    ask(TABLE)
    frames = [compress[encoding](f"{n},row {n}\n".encode()) for n in range(3)]
    sent = ask(
        b"".join(frames) if encoding != "deflate" else compress[encoding](b"0,a\n1,b\n2,c\n"),
        query="INSERT INTO t FORMAT CSV",
        headers={"content-encoding": encoding},
    )
    assert sent.status_code == 200, sent.text
    assert ask("SELECT count(), sum(a) FROM t").text == "3\t3\n"
    with (
        httpx.Client(trust_env=False) as client,
        client.stream(
            "POST",
            clickhouse.url,
            params={"enable_http_compression": "1"},
            content=b"SELECT number FROM numbers(200000)",
            headers={"accept-encoding": encoding},
        ) as answer,
    ):
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == encoding
    assert decompress[encoding](raw) == b"".join(b"%d\n" % n for n in range(200_000))


def test_a_compressed_body_that_is_broken_inserts_nothing(ask: Ask) -> None:
    ask(TABLE)
    for body in (gzip.compress(b"1,x\n")[:-4], b"1,x\n"):
        answer = ask(body, query="INSERT INTO t FORMAT CSV", headers={"content-encoding": "gzip"})
        assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (400, "117")
    assert (
        ask("1,x\n", query="INSERT INTO t FORMAT CSV", headers={"content-encoding": "br"}).status_code == 400
    )
    assert ask("SELECT count() FROM t").text == "0\n"


ARROW = pa.table({"a": pa.array([1, 2, 3], pa.uint32()), "b": ["x", "y", "z"]})


def parquet() -> bytes:
    sink = io.BytesIO()
    pa.parquet.write_table(ARROW, sink)
    return sink.getvalue()


def arrow(stream: bool) -> bytes:
    sink = io.BytesIO()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, ARROW.schema) as writer:
        writer.write_table(ARROW)
    return sink.getvalue()


BODIES: dict[str, Callable[[], bytes]] = {
    "CSV": lambda: b'1,x\n2,"y"\n3,z\n',
    "CSVWithNames": lambda: b"b,a\nx,1\ny,2\nz,3\n",
    "TabSeparated": lambda: b"1\tx\n2\ty\n3\tz\n",
    "JSONEachRow": lambda: b'{"a":1,"b":"x"}\n{"b":"y","a":2}\n{"a":3,"b":"z"}',
    "JSONCompactEachRow": lambda: b'[1,"x"]\n[2,"y"]\n[3,"z"]\n',
    "Values": lambda: b"(1,'x'),(2,'y'),(3,'z')",
    "Parquet": parquet,
    "Arrow": lambda: arrow(stream=False),
    "ArrowStream": lambda: arrow(stream=True),
    "RowBinary": lambda: b"\x01\0\0\0\x01x\x02\0\0\0\x01y\x03\0\0\0\x01z",
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("where", ["url", "body"])
def test_inserts_in_every_format(ask: Ask, name: str, where: str) -> None:
    ask(TABLE)
    sql = f"INSERT INTO t FORMAT {name}"
    data = BODIES[name]()
    answer = ask(data, query=sql) if where == "url" else ask(sql.encode() + b"\n" + data)
    assert answer.status_code == 200, answer.text
    assert ask("SELECT groupArray((a, b)) FROM (SELECT * FROM t ORDER BY a)").text == (
        "[(1,'x'),(2,'y'),(3,'z')]\n"
    )


def test_native_goes_out_and_in(ask: Ask) -> None:
    ask(TABLE)
    native = ask(
        "SELECT toUInt32(number) AS a, toString(number) AS b FROM numbers(150000) FORMAT Native"
    ).content
    assert ask(native, query="INSERT INTO t FORMAT Native").status_code == 200
    assert ask("SELECT count(), sum(a), uniqExact(b) FROM t").text == "150000\t11249925000\t150000\n"


@pytest.mark.parametrize(
    ("name", "data"), [("CSV", b"1,x\nno number,y\n"), ("Parquet", b"PAR1 but no more"), ("Native", b"\x05")]
)
def test_an_insert_that_cannot_be_parsed_inserts_nothing(ask: Ask, name: str, data: bytes) -> None:
    ask(TABLE)
    answer = ask(data, query=f"INSERT INTO t FORMAT {name}")
    assert answer.status_code in (400, 500)
    assert int(answer.headers["x-clickhouse-exception-code"]) > 0
    assert ask("SELECT count() FROM t").text == "0\n"


def test_a_repeated_insert_with_the_same_token_is_stored_once(ask: Ask) -> None:
    ask(TABLE + " SETTINGS non_replicated_deduplication_window = 100")
    for _ in range(2):
        assert ask("INSERT INTO t FORMAT CSV\n1,x\n", insert_deduplication_token="once").status_code == 200
    ask("INSERT INTO t FORMAT CSV\n1,x\n", insert_deduplication_token="twice")
    assert ask("SELECT count() FROM t").text == "2\n"


def test_results_are_streamed(ask: Ask, clickhouse: ClickHouse) -> None:
    """The first rows arrive while the last ones are not made yet: a billion rows would take minutes."""
    with (
        httpx.Client(trust_env=False, timeout=30) as client,
        client.stream("POST", clickhouse.url, content=b"SELECT number FROM numbers(1000000000)") as answer,
    ):
        assert next(answer.iter_bytes()).startswith(b"0\n1\n2\n")
    # And the server goes on without it.
    assert ask("SELECT 1").text == "1\n"


def drain(pieces: Iterator[bytes], into: bytearray) -> None:
    for piece in pieces:
        into += piece


def test_an_exception_in_mid_stream_is_marked_and_breaks_the_answer_off(clickhouse: ClickHouse) -> None:
    sql = "SELECT throwIf(number = 3000000) FROM numbers(10000000)"
    url = {"max_block_size": "1000", "max_threads": "1"}
    received = bytearray()
    with (
        httpx.Client(trust_env=False, timeout=30) as client,
        client.stream("POST", clickhouse.url, params=url, content=sql) as answer,
    ):
        assert answer.status_code == 200
        pieces = answer.iter_raw()
        with pytest.raises(httpx.RemoteProtocolError):
            drain(pieces, received)
    tag = answer.headers["x-clickhouse-exception-tag"]
    tail = received[-2000:].decode()
    assert f"__exception__\r\n{tag}\r\nCode: 395. DB::Exception: " in tail
    message = tail.split(f"{tag}\r\n", 1)[1]
    length, _, rest = message.rsplit("\n", 3)[1].partition(" ")
    assert rest.strip() == tag
    assert message.encode()[: int(length)].endswith(b")\n")


def test_max_execution_time_ends_a_statement(ask: Ask) -> None:
    answer = ask(
        "SELECT count() FROM numbers(100000000000) WHERE NOT ignore(sipHash64(number))",
        max_execution_time="1",
    )
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (408, "159")


def test_metrics_count_statements_rows_and_errors(ask: Ask, clickhouse: ClickHouse) -> None:
    def value(name: str) -> float:
        text = httpx.get(f"{clickhouse.url}/metrics", trust_env=False).text
        lines = [line for line in text.splitlines() if line.startswith(name + " ")]
        return float(lines[0].split()[-1]) if lines else 0.0

    names = {
        "inserts": 'clickhouse_embedded_queries_total{kind="INSERT"}',
        "errors": 'clickhouse_embedded_errors_total{code="60"}',
        "written": "clickhouse_embedded_written_rows_total",
    }
    before = {key: value(name) for key, name in names.items()}
    ask(TABLE)
    ask("INSERT INTO t FORMAT CSV\n1,x\n2,y\n")
    ask("SELECT 1 FROM nope")
    assert {key: value(name) - before[key] for key, name in names.items()} == {
        "inserts": 1,
        "errors": 1,
        "written": 2,
    }
    assert value("clickhouse_embedded_running") == 0


def test_a_client_that_goes_away_takes_its_statement_with_it(ask: Ask, clickhouse: ClickHouse) -> None:
    marker = f"gone_{time.time_ns()}"
    sql = f"SELECT count() AS {marker} FROM numbers(10000000000000) WHERE NOT ignore(sipHash64(number))"

    def running() -> int:
        return int(
            ask(
                f"SELECT count() FROM system.processes WHERE query LIKE '%AS {marker} FROM numbers%'"
                " AND query NOT LIKE '%system.processes%'"
            ).text
        )

    client = httpx.Client(trust_env=False, timeout=httpx.Timeout(30, read=1))

    def send() -> None:
        with pytest.raises(httpx.ReadTimeout):
            client.post(clickhouse.url, content=sql)
        client.close()

    sender = threading.Thread(target=send)
    sender.start()
    wait_for(lambda: running() == 1, "start of the statement")
    sender.join()
    wait_for(lambda: running() == 0, "end of the statement", timeout_s=20)
