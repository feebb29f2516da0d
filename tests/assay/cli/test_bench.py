"""``assay bench``: what is there is listed and run, what is not is named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from assay.cli import bench
from assay.cli.main import app
from tests.support.processes import REPOSITORY


def test_every_benchmark_of_the_checkout_is_listed() -> None:
    files = {file.stem for file in (REPOSITORY / "benchmarks").glob("*.py") if not file.stem.startswith("_")}
    answer = CliRunner().invoke(app, ["bench"])
    assert answer.exit_code == 0
    assert {line.split()[0] for line in answer.stdout.splitlines()} == files
    assert {"ingest", "chaos"} <= files


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    answer = CliRunner().invoke(app, ["bench", "everything"])
    assert answer.exit_code == 2
    assert "ingest" in answer.stderr


def test_options_after_the_name_go_to_the_benchmark(tmp_path: Path) -> None:
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    (folder / "echo.py").write_text(
        '"""Says what it was given.\n\nMore."""\n'
        "import json, sys\n"
        "print(json.dumps(sys.argv[1:]))\n"
        "sys.exit(3)\n"
    )
    assert bench.available(folder) == {"echo": "Says what it was given."}
    program = (
        "import sys, pathlib\n"
        "from assay.cli import bench, main\n"
        "bench.CHECKOUT = pathlib.Path(sys.argv.pop(1))\n"
        "main.app()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), "bench", "echo", "--json", "--seconds", "5", "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert json.loads(done.stdout) == ["--seconds", "5", "--help"]
