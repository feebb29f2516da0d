"""What an evaluator is calibrated on: human judgements beside its own, from the store or from files."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from clickhouse_connect.driver.client import Client
from numpy.typing import NDArray

from evaluators.correlation import Floats

_VOTES: Final = {"model_a": 1.0, "tie": 0.0, "tie (inconsistent)": 0.0, "model_b": -1.0}
# The embedded store takes parameters of up to about 2,000 characters.
_LONGEST_LIST: Final = 1_500
_VOTE_FIELDS: Final = ("question_id", "turn", "model_a", "model_b", "human", "judge")


class ExamplesError(ValueError):
    """The examples cannot be read; the message names the line, the field and what it should hold."""


@dataclass(frozen=True)
class Examples:
    """Human and judge on the same answers. All columns have the same length.

    Attributes:
        human, judge: scores between 0 and 1; of votes, 1 for model_a, 0.5 for a tie, 0 for model_b.
        cluster: a number per example; those of the same number are about the same answers.
        models: names; model: index of the model that gave the answer, −1 unknown.
        opponent: of votes, index of model_b, whose preference is the opposite; −1 for scores.
        votes: whether these are votes between two answers.
    """

    human: Floats
    judge: Floats
    cluster: NDArray[np.intp]
    models: tuple[str, ...]
    model: NDArray[np.intp]
    opponent: NDArray[np.intp]
    votes: bool

    def __len__(self) -> int:
        return len(self.human)


def read_votes(path: Path) -> Examples:
    """Votes between two answers, as MT-bench publishes them: a CSV file with the fields ``question_id, turn,
    model_a, model_b, human, judge`` and any others. A vote is ``model_a``, ``model_b`` or ``tie``; the
    judge's also ``tie (inconsistent)``, where it changed with the order of the answers.

    Raises:
        ExamplesError: a field is missing or holds something else.
    """
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if missing := [name for name in _VOTE_FIELDS if name not in (reader.fieldnames or ())]:
            raise ExamplesError(f"{path}: the header lacks {', '.join(missing)}")
        rows = list(reader)
    human = np.array([_vote(path, n, row, "human") for n, row in enumerate(rows, 2)])
    judge = np.array([_vote(path, n, row, "judge") for n, row in enumerate(rows, 2)])
    pairs = [(row["question_id"], row["turn"], row["model_a"], row["model_b"]) for row in rows]
    models = tuple(sorted({name for row in rows for name in (row["model_a"], row["model_b"])}))
    number = {name: n for n, name in enumerate(models)}
    return Examples(
        human=(human + 1) / 2,
        judge=(judge + 1) / 2,
        cluster=_numbered(pairs),
        models=models,
        model=np.array([number[row["model_a"]] for row in rows], np.intp),
        opponent=np.array([number[row["model_b"]] for row in rows], np.intp),
        votes=True,
    )


def read_labels(path: Path, judged: Mapping[str, float] | None = None) -> Examples:
    """Labels from NDJSON or CSV: ``trace_id, rater, score`` and, for a file that stands by itself,
    ``judge_score``. Several raters of a trace are averaged.

    Args:
        path: of the file.
        judged: the evaluator's score per trace, for labels that do not carry it; traces without are left out.

    Raises:
        ExamplesError: a field is missing or holds something else.
    """
    human: dict[str, list[float]] = {}
    judge: dict[str, float] = dict(judged or {})
    for line, row in _rows(path):
        trace = row.get("trace_id")
        if not isinstance(trace, str) or not trace:
            raise ExamplesError(f"{path}, line {line}: `trace_id` is missing")
        human.setdefault(trace, []).append(_share(path, line, row, "score"))
        if row.get("judge_score") not in (None, ""):
            judge[trace] = _share(path, line, row, "judge_score")
    both = [trace for trace in human if trace in judge]
    return _scores(
        np.array([float(np.mean(human[trace])) for trace in both]),
        np.array([judge[trace] for trace in both]),
        [""] * len(both),
    )


def from_store(client: Client, evaluator: str, version: str) -> Examples:
    """The labelled traces that this evaluator version scored (mart ``calibration_set``)."""
    rows = client.query(
        """
        SELECT c.human_score, c.judge_score, e.model
        FROM calibration_set AS c
        LEFT JOIN (
            SELECT tenant_id, trace_id, any(model) AS model FROM llm_evaluations
            WHERE trace_id IN (SELECT trace_id FROM human_labels) GROUP BY tenant_id, trace_id
        ) AS e ON e.tenant_id = c.tenant_id AND e.trace_id = c.trace_id
        WHERE c.evaluator = {evaluator:String} AND c.evaluator_version = {version:String}
        ORDER BY c.trace_id, c.tenant_id
        """,
        parameters={"evaluator": evaluator, "version": version},
    ).result_rows
    return _scores(
        np.array([float(row[0]) for row in rows]),
        np.array([float(row[1]) for row in rows]),
        [str(row[2]) for row in rows],
    )


def scores_of(client: Client, evaluator: str, version: str, traces: Iterable[str]) -> dict[str, float]:
    """The evaluator's mean score of each of these traces; those that it did not score are left out."""
    found: dict[str, float] = {}
    for batch in _batches(sorted(set(traces))):
        rows = client.query(
            "SELECT trace_id, avg(score) FROM llm_evaluations FINAL "
            "WHERE evaluator = {evaluator:String} AND evaluator_version = {version:String} "
            "AND isNotNull(score) AND trace_id IN {traces:Array(String)} GROUP BY trace_id",
            parameters={"evaluator": evaluator, "version": version, "traces": batch},
        ).result_rows
        found |= {str(trace): float(score) for trace, score in rows}
    return found


def labelled_traces(path: Path) -> set[str]:
    """The traces that a file of labels names.

    Raises:
        ExamplesError: it cannot be read.
    """
    return {str(row.get("trace_id", "")) for _, row in _rows(path)}


def _batches(traces: Sequence[str]) -> Iterator[list[str]]:
    """The ids in lists that fit into the address of a request, in which parameters travel."""
    batch: list[str] = []
    length = 0
    for trace in traces:
        if batch and length + len(trace) > _LONGEST_LIST:
            yield batch
            batch, length = [], 0
        batch.append(trace)
        # Quotes and a comma.
        length += len(trace) + 3
    if batch:
        yield batch


def _scores(human: Floats, judge: Floats, models: list[str]) -> Examples:
    names = tuple(sorted({name for name in models if name}))
    number = {name: n for n, name in enumerate(names)}
    return Examples(
        human=human.astype(np.float64),
        judge=judge.astype(np.float64),
        cluster=np.arange(len(human)),
        models=names,
        model=np.array([number.get(name, -1) for name in models], np.intp),
        opponent=np.full(len(human), -1, np.intp),
        votes=False,
    )


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            yield from enumerate(csv.DictReader(file), 2)
            return
        for line, text in enumerate(file, 1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except json.JSONDecodeError as error:
                raise ExamplesError(f"{path}, line {line}: not JSON: {error}") from error
            if not isinstance(row, dict):
                raise ExamplesError(f"{path}, line {line}: expected an object, got {text[:80]!r}")
            yield line, row


def _share(path: Path, line: int, row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    try:
        share = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else -1.0
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ExamplesError(f"{path}, line {line}: `{name}` must be a number between 0 and 1, got {value!r}")
    return share


def _vote(path: Path, line: int, row: Mapping[str, str], name: str) -> float:
    try:
        return _VOTES[row[name]]
    except KeyError:
        raise ExamplesError(
            f"{path}, line {line}: `{name}` must be one of {', '.join(_VOTES)}, got {row[name]!r}"
        ) from None


def _numbered(keys: Sequence[tuple[str, ...]]) -> NDArray[np.intp]:
    numbers: dict[tuple[str, ...], int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.intp)
