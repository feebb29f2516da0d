"""Evaluators against people: public votes with known figures, synthetic labels, and the store."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from assay.cli.main import app
from assay.settings import Settings
from assay.warehouse.client import connect
from evaluators.calibration import Map, calibrate, calibrate_and_store, fit_map
from evaluators.examples import Examples, ExamplesError, read_labels, read_votes


def scored(human: list[float], judge: list[float]) -> Examples:
    n = len(human)
    return Examples(
        human=np.array(human), judge=np.array(judge), cluster=np.arange(n), models=(),
        model=np.full(n, -1), opponent=np.full(n, -1), votes=False,
    )  # fmt: skip


def noisy(n: int, noise: float, seed: int = 5) -> tuple[list[float], list[float]]:
    """People between 0 and 1, and a judge that squashes their scale and errs."""
    random = np.random.default_rng(seed)
    human = random.uniform(size=n)
    judge = np.clip(0.6 + 0.4 * human**2 + noise * random.normal(size=n), 0, 1)
    return human.tolist(), judge.tolist()


def test_the_public_votes_give_the_published_figures(shared_data: Path) -> None:
    found = calibrate(read_votes(shared_data / "mt_bench_votes_turn1.csv"), evaluator="gpt-4")

    assert found.n == 882
    # Zheng et al. 2023, Table 5: 66 % of all votes and 85 % of those without ties.
    assert found.agreement == pytest.approx(0.668, abs=0.0005)
    assert found.agreement_without_ties == pytest.approx(0.858, abs=0.0005)
    assert found.spearman == pytest.approx(0.479, abs=0.0005)
    assert found.by_model_spearman == pytest.approx(0.943, abs=0.0005)
    assert found.models == 6
    assert found.spearman_ci is not None
    low, high = found.spearman_ci
    assert 0.35 < low < 0.479 < high < 0.6
    # By model it would pass: the gate is about single answers.
    assert found.gate == "refused"
    assert "0.479" in found.gate_reason


def test_a_judge_that_ranks_as_people_do_passes_and_gets_a_map() -> None:
    found = calibrate(scored(*noisy(300, 0.03)))

    assert found.gate == "passed"
    assert found.spearman is not None
    assert found.spearman > 0.9
    assert found.map is not None
    assert found.map.error < found.map.error_unmapped / 2, "on the half that it was not fitted on"


@pytest.mark.parametrize(
    ("examples", "reason"),
    [
        (scored(*noisy(99, 0.0)), "99 human-rated examples; at least 100"),
        (scored([], []), "0 human-rated"),
        (scored(*noisy(200, 1.0)), "not above 0.7"),
        (scored(noisy(200, 0.0)[0], [0.9] * 200), "the same score"),
    ],
)
def test_the_gate_refuses(examples: Examples, reason: str) -> None:
    found = calibrate(examples)

    assert found.gate == "refused"
    assert reason in found.gate_reason


def test_agreement_of_scores_is_over_every_two_answers() -> None:
    found = calibrate(scored([0.1, 0.5, 0.5, 0.9], [0.2, 0.4, 0.6, 0.6]))

    # Of six comparisons the judge decides one where people see a tie, and sees a tie where people decide.
    assert found.agreement == pytest.approx(4 / 6)
    assert found.agreement_without_ties == 1.0


def test_by_model_takes_the_mean_of_each_model() -> None:
    base = scored([0.1, 0.2, 0.5, 0.6, 0.9, 1.0], [0.3, 0.1, 0.4, 0.5, 0.5, 0.6])
    by_model = Examples(
        **{**vars(base), "models": ("a", "b", "c"), "model": np.array([0, 0, 1, 1, 2, 2])}  # type: ignore[arg-type]
    )

    assert calibrate(by_model).by_model_spearman == pytest.approx(1.0)
    assert calibrate(base).by_model_spearman is None, "unknown models are not one model"


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=8, max_size=60))
def test_every_map_is_monotone_and_stays_on_the_human_scale(pairs: list[tuple[float, float]]) -> None:
    found = fit_map(scored([human for human, _ in pairs], [judge for _, judge in pairs]))

    assert isinstance(found, Map)
    mapped = found(np.linspace(0, 1, 101))
    assert (np.diff(mapped) >= -1e-12).all()
    assert mapped.min() >= -1e-12
    assert mapped.max() <= 1 + 1e-12


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_labels_of_a_trace_are_averaged(tmp_path: Path) -> None:
    rows = [
        {
            "trace_id": "a",
            "rater": "r1",
            "score": 0.2,
            "judge_score": 0.5,
            "timestamp": "2026-01-01T00:00:00Z",
        },
        {"trace_id": "a", "rater": "r2", "score": 0.4},
        {"trace_id": "b", "rater": "r1", "score": 1},
    ]
    file = write(tmp_path / "labels.ndjson", "\n".join(map(json.dumps, rows)) + "\n\n")

    found = read_labels(file, {"b": 0.9, "c": 0.1})

    assert found.human.tolist() == pytest.approx([0.3, 1.0])
    assert found.judge.tolist() == [0.5, 0.9]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.ndjson",
            '{"trace_id": "a", "score": 2}',
            "line 1: `score` must be a number between 0 and 1, got 2",
        ),
        ("a.ndjson", '{"trace_id": "a", "score": true}', "`score`"),
        ("a.ndjson", '{"trace_id": "a"}', "`score` .* got None"),
        ("a.ndjson", '\n{"score": 0.5}', "line 2: `trace_id` is missing"),
        ("a.ndjson", "{", "line 1: not JSON"),
        ("a.ndjson", "[]", "expected an object"),
        ("a.csv", "trace_id,score\na,much\n", "line 2: `score` .* 'much'"),
        ("a.csv", "trace_id,score,judge_score\na,0.5,nan\n", "`judge_score`"),
    ],
)
def test_labels_that_cannot_be_read_are_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(ExamplesError, match=message):
        read_labels(write(tmp_path / name, text))


def test_votes_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    header = "question_id,turn,model_a,model_b,human,judge\n"
    with pytest.raises(ExamplesError, match="lacks turn, judge"):
        read_votes(write(tmp_path / "short.csv", "question_id,model_a,model_b,human\n"))
    with pytest.raises(ExamplesError, match="line 3: `judge` must be one of"):
        read_votes(write(tmp_path / "odd.csv", header + "1,1,a,b,tie,model_a\n1,1,a,b,tie,both\n"))


def trace_id(version: str, n: int) -> str:
    """As long as those of OpenTelemetry."""
    return f"{version}-{n:030}"


def put_labelled(settings: Settings, version: str, human: list[float], judge: list[float]) -> None:
    now = datetime.now(UTC)
    with connect(settings) as client:
        client.insert(
            "human_labels",
            [(trace_id(version, n), "r", score, now) for n, score in enumerate(human)],
            column_names=["trace_id", "rater", "score", "timestamp"],
        )
        client.insert(
            "llm_evaluations",
            [
                ("t", f"m{n % 3}", now, now, trace_id(version, n), "s", "llm-as-judge", version, score, 1.0)
                for n, score in enumerate(judge)
            ],
            column_names=[
                *("tenant_id", "model", "span_timestamp", "timestamp", "trace_id", "span_id"),
                *("evaluator", "evaluator_version", "score", "sampling_rate"),
            ],
        )  # fmt: skip


def test_the_store_is_calibrated_and_the_result_kept(built: Settings) -> None:
    human, judge = noisy(120, 0.03)
    put_labelled(built, "v1", human, judge)

    with connect(built) as client:
        found = calibrate_and_store(client, "llm-as-judge")
        rows = list(client.query("SELECT * FROM evaluator_calibrations").named_results())

    assert (found.n, found.gate, found.models) == (120, "passed", 3)
    assert found.spearman == pytest.approx(calibrate(scored(human, judge)).spearman)
    (row,) = rows
    assert (row["evaluator"], row["evaluator_version"], row["n"], row["gate"]) == (
        "llm-as-judge",
        "v1",
        120,
        "passed",
    )
    assert row["spearman"] == found.spearman
    assert (row["spearman_low"], row["spearman_high"]) == found.spearman_ci
    assert found.map is not None
    assert tuple(row["map_to"]) == found.map.points_to


def test_versions_are_not_mixed(built: Settings) -> None:
    put_labelled(built, "v1", *noisy(20, 0.03))
    put_labelled(built, "v2", *noisy(10, 0.03))

    with connect(built) as client:
        with pytest.raises(ExamplesError, match="v1, v2"):
            calibrate_and_store(client, "llm-as-judge")
        assert calibrate_and_store(client, "llm-as-judge", "v2").n == 10
        assert calibrate_and_store(client, "nobody").n == 0


def test_the_command_prints_one_json_object(shared_data: Path, tmp_path: Path) -> None:
    votes = str(shared_data / "mt_bench_votes_turn1.csv")

    done = CliRunner().invoke(app, ["calibrate", "gpt-4", "--votes", votes, "--json"])

    assert done.exit_code == 0
    found = json.loads(done.stdout)
    promised = "n agreement agreement_without_ties spearman spearman_ci kendall by_model_spearman gate"
    assert set(promised.split()) <= set(found)
    assert found["gate"] == "refused"
    shown = CliRunner().invoke(app, ["calibrate", "gpt-4", "--votes", votes])
    assert "Gate refused: Spearman over examples is 0.479" in shown.stdout
    bad = CliRunner().invoke(app, ["calibrate", "x", "--labels", str(write(tmp_path / "a.ndjson", "{"))])
    assert bad.exit_code == 1
    assert "not JSON" in bad.stderr


def test_the_command_takes_the_scores_of_labels_from_the_store(
    built: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    human, judge = noisy(130, 0.03)
    put_labelled(built, "v1", human, judge)
    labels = [
        {"trace_id": trace_id("v1", n), "rater": "other", "score": score} for n, score in enumerate(human)
    ]
    file = write(tmp_path / "labels.ndjson", "\n".join(map(json.dumps, labels)))
    monkeypatch.setattr("assay.cli.calibrate.load_settings", lambda: built)

    done = CliRunner().invoke(app, ["calibrate", "llm-as-judge@v1", "--labels", str(file), "--json"])

    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["n"], found["gate"], found["version"]) == (130, "passed", "v1")
