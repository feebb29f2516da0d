"""``assay bench NAME``: run a benchmark of the checkout that Assay is installed from."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

CHECKOUT = Path(__file__).parents[2]


def available(folder: Path) -> dict[str, str]:
    """The benchmarks by name, each with the first sentence of what it says about itself."""
    found = {}
    for file in sorted(folder.glob("[a-z]*.py")):
        text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        found[file.stem] = " ".join(text.split("\n\n")[0].split())
    return found


def bench(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Which one; without it they are listed.")] = "",
    as_json: Annotated[  # noqa: ARG001 - they print nothing else; the option is for scripts that say so
        bool, typer.Option("--json", help="Print one JSON object, as every benchmark does anyway.")
    ] = False,
) -> None:
    """Run a benchmark on servers of its own; what follows its name is passed on (try --help after it)."""
    folder = CHECKOUT / "benchmarks"
    known = available(folder)
    if not known:
        typer.secho(
            f"There are no benchmarks in {folder}: they are part of a checkout of Assay.",
            fg=typer.colors.RED,
            err=True,
        )
        raise typer.Exit(1)
    if not name:
        width = max(map(len, known))
        for each, text in known.items():
            typer.echo(f"{each:{width}}  {text}")
        return
    if name not in known:
        raise typer.BadParameter(f"there is no benchmark {name!r}; choose from {', '.join(known)}")
    argv = [sys.executable, "-m", f"benchmarks.{name}", *context.args]
    raise typer.Exit(subprocess.run(argv, cwd=CHECKOUT, check=False).returncode)
