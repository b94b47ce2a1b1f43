"""What good will does not keep: floors, lengths, and what may be imported where."""

import ast
import io
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

import segattn

PACKAGE = Path(segattn.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
HEADS = sorted(path for path in (PACKAGE / "heads").glob("*.py") if not path.name.startswith("_"))


def name(path):
    return str(path.relative_to(PACKAGE))


def test_imports_go_down_only():
    pytest.importorskip("importlinter")
    from importlinter.cli import lint_imports

    assert lint_imports(config_filename=str(PACKAGE.parent / "pyproject.toml"), no_cache=True) == 0


@pytest.mark.parametrize("path", FILES, ids=name)
def test_file_is_at_most_300_lines(path):
    assert len(path.read_text().splitlines()) <= 300


def lines_of_code(path):
    """Lines that hold anything but docstrings, comments, blanks, imports and a module's constants (the LaTeX)."""
    text = path.read_text()
    tree = ast.parse(text)
    prose = set()
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if documented and ast.get_docstring(node, clean=False) is not None:
            prose.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Assign):
            prose.update(range(node.lineno, node.end_lineno + 1))
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    held = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in layout:
            held.update(range(token.start[0], token.end[0] + 1))
    return len(held - prose)


@pytest.mark.parametrize("path", HEADS, ids=name)
def test_head_is_at_most_150_lines_of_code(path):
    assert lines_of_code(path) <= 150


def imported(path):
    """Top names of every module that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("path", FILES, ids=name)
def test_torchvision_is_never_imported(path):
    assert "torchvision" not in imported(path)


@pytest.mark.parametrize("path", HEADS, ids=name)
def test_head_sees_torch_and_jaxtyping_only(path):
    own = {"__future__", "segattn", "torch", "jaxtyping"}
    assert imported(path) - own <= sys.stdlib_module_names


@pytest.mark.parametrize("module", ["segattn", "segattn.report", "segattn.records", "segattn.cli"])
def test_module_loads_where_torch_is_missing(module):
    code = f"import sys; sys.modules['torch'] = None; import {module}"  # any import of torch would raise
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr


def test_no_file_is_named_after_nothing():
    forbidden = {"utils.py", "helpers.py", "base.py", "common.py", "misc.py"}
    assert not [name(path) for path in FILES if path.name in forbidden]
