"""What good will does not keep: floors, lengths, and what may be imported where."""

import ast
import io
import re
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


FASTER, HEAD = "# The same, faster", "# The head"


def sections(path):
    """Lines before the equation's end, and the functions and classes between that and the head."""
    lines = path.read_text().splitlines()
    end = lines.index(FASTER) if FASTER in lines else lines.index("class Head(nn.Module):")
    head = lines.index(HEAD)
    definitions = [
        node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef | ast.FunctionDef)
    ]
    return lines, end, [node for node in definitions if end < node.lineno <= head]


@pytest.mark.parametrize("path", HEADS, ids=name)
def test_equation_of_a_head_is_at_most_110_lines_and_the_file_200(path):
    lines, end, _ = sections(path)
    assert end <= 110
    assert len(lines) <= 200


@pytest.mark.parametrize("path", HEADS, ids=name)
def test_head_reads_docstring_imports_latex_equation_speed_head(path):
    lines, end, _ = sections(path)
    first = ast.parse(path.read_text()).body
    assert isinstance(first[0], ast.Expr)
    latex = next(node for node in first if isinstance(node, ast.Assign) and node.targets[0].id == "LATEX")
    assert all(isinstance(node, ast.ImportFrom | ast.Import) for node in first[1 : first.index(latex)])
    head = next(node for node in first if isinstance(node, ast.ClassDef) and node.name == "Head")
    assert latex.lineno < lines.index(HEAD) < head.lineno
    before = [node for node in first if isinstance(node, ast.FunctionDef) and node.lineno < end]
    assert not before, "a function in the equation part; the equation is its class's methods"


@pytest.mark.parametrize("path", HEADS, ids=name)
def test_below_the_equation_stand_private_functions_that_say_why_they_are_the_same(path):
    _, _, faster = sections(path)
    for node in faster:
        assert isinstance(node, ast.FunctionDef), f"{node.name} is a class: its forward would be a second equation"
        assert node.name.startswith("_")
        assert node.name != "forward"
        assert ast.get_docstring(node), f"{node.name} does not say why it is the same"


def imported(path):
    """Top names of every module that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("path", FILES, ids=name)
def test_torchvision_is_never_imported(path):
    assert "torchvision" not in imported(path)


@pytest.mark.parametrize("path", HEADS, ids=name)
def test_head_sees_torch_and_jaxtyping_only(path):
    own = {"__future__", "segattn", "torch", "jaxtyping"}
    assert imported(path) - own <= sys.stdlib_module_names


@pytest.mark.parametrize(
    "module", ["segattn", "segattn.report", "segattn.records", "segattn.cli", "segattn.zoo", "segattn.zoo.card"]
)
def test_module_loads_where_torch_is_missing(module):
    code = f"import sys; sys.modules['torch'] = None; import {module}"  # any import of torch would raise
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def wing_of(path):
    """The folder or module directly below the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def private_uses(text, wing):
    """`line: name` of each private module or name of another wing that a file imports, or reads from a module it imports."""
    tree = ast.parse(text)
    modules, uses = {}, []

    def check(node, name):
        parts = name.split(".")
        if parts[:1] == ["segattn"] and parts[1:2] != [wing] and any(re.match("_(?!_)", part) for part in parts):
            uses.append(f"{node.lineno}: {name}")

    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                modules[alias.asname or alias.name] = name
                check(node, name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                modules[alias.asname or top] = alias.name if alias.asname else top
                check(node, alias.name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            dotted = ast.unparse(node)
            first, _, rest = dotted.partition(".")
            if re.fullmatch(r"[\w.]+", dotted) and first in modules:
                check(node, f"{modules[first]}.{rest}")
    return uses


@pytest.mark.parametrize("path", FILES, ids=name)
def test_private_names_stay_inside_their_wing(path):
    assert private_uses(path.read_text(), wing_of(path)) == []


@pytest.mark.parametrize(
    ("text", "use"),
    [
        ("from segattn.data._dataset import IGNORE", "1: segattn.data._dataset.IGNORE"),
        ("from segattn.data.packed import _shard", "1: segattn.data.packed._shard"),
        ("import segattn.data._dataset", "1: segattn.data._dataset"),
        ("from segattn.data import packed\npacked._shard(path)", "2: segattn.data.packed._shard"),
        ("import segattn.data.packed as p\np._shard(path)", "2: segattn.data.packed._shard"),
        ("import segattn\nsegattn.data.packed._shard(path)", "2: segattn.data.packed._shard"),
    ],
)
def test_private_use_is_seen(text, use):
    assert private_uses(text, "maps") == [use]
    assert private_uses(text, "data") == []


def test_no_file_is_named_after_nothing():
    forbidden = {"utils.py", "helpers.py", "base.py", "common.py", "misc.py"}
    assert not [name(path) for path in FILES if path.name in forbidden]
