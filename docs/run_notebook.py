# ruff: noqa: INP001 - a script, not a package
"""Runs the code of a notebook in order, in one namespace, and keeps what it shows: `python docs/run_notebook.py NOTEBOOK`.

No Jupyter is needed: a cell is Python, and what it shows is what it prints, and the value of its last expression.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any


def code_of(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells that hold code."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run(notebook: dict[str, Any]) -> list[str]:
    """What each cell of code shows, in order.

    Args:
        notebook: as its file holds it.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    return [_shown("".join(cell["source"]), namespace) for cell in code_of(notebook)]


def _shown(source: str, namespace: dict[str, Any]) -> str:
    tree, out, last = ast.parse(source), io.StringIO(), None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = ast.Expression(tree.body.pop().value)
    with contextlib.redirect_stdout(out):
        exec(compile(tree, "cell", "exec"), namespace)  # noqa: S102 - of the project's own page
        value = eval(compile(last, "cell", "eval"), namespace) if last else None  # noqa: S307 - the same
    return out.getvalue() + ("" if value is None else f"{value}\n")


def with_outputs(notebook: dict[str, Any], shown: list[str]) -> dict[str, Any]:
    """The notebook with what its cells show."""
    for number, (cell, text) in enumerate(zip(code_of(notebook), shown, strict=True), 1):
        cell["execution_count"] = number
        stream = {"output_type": "stream", "name": "stdout", "text": text.splitlines(keepends=True)}
        cell["outputs"] = [stream] if text else []
    return notebook


if __name__ == "__main__":
    path = Path(sys.argv[1])
    content = json.loads(path.read_text(encoding="utf-8"))
    filled = with_outputs(content, run(content))
    path.write_text(json.dumps(filled, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
