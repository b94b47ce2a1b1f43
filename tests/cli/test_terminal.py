"""Text is text: names and paths with brackets, colons and control characters, in whatever way they are printed."""

import ast
import io
from pathlib import Path

import pytest
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

import segattn
from segattn.cli import terminal

NAMES = ("car [red]", "[/road]", "[bold]x[/bold]", ":car:", "a[0]", "[link=x]y", r"\[z]")


def output(**settings):
    stream = io.StringIO()
    return stream, terminal.console(file=stream, width=80, **settings)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_as_it_is_in_messages_cells_and_titles(name):
    stream, console = output()
    table = Table(name, title=name, box=None)
    table.add_row(name)
    console.print(name)
    console.print(table)
    assert [line.strip() for line in stream.getvalue().splitlines()] == [name] * 4


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_as_it_is_in_bars_and_status_lines(name):
    stream, console = output(force_terminal=True, color_system=None)
    with Progress(terminal.Words("{task.description}"), console=console) as bar:
        bar.add_task(name)
    assert name in stream.getvalue()
    stream, console = output(force_terminal=True, color_system=None)
    with terminal.status(console) as say:
        say(name)
        console.print("next")  # draws the line again
    assert name in stream.getvalue()


def test_only_a_text_has_styles():
    stream, console = output(force_terminal=True, color_system="standard")
    console.print("[red]a[/red]", highlight=False)
    console.print(Text("b", style="red"))
    assert stream.getvalue() == "[red]a[/red]\n\x1b[31mb\x1b[0m\n"


def test_a_name_cannot_control_the_terminal():
    stream, console = output()
    console.print("road\x1b[31m\x07 wall\nnext\ttab")
    assert stream.getvalue() == "road\\x1b[31m\\x07 wall\nnext    tab\n"


def test_a_pipe_of_unknown_width_gets_whole_sentences(monkeypatch):
    sentence, name = "word " * 40, "n" * 200
    monkeypatch.delenv("COLUMNS", raising=False)
    stream = io.StringIO()
    terminal.console(file=stream).print(f"{sentence}\n{name}")
    assert stream.getvalue().splitlines() == [sentence, name]
    monkeypatch.setenv("COLUMNS", "50")
    stream = io.StringIO()
    terminal.console(file=stream).print(sentence)
    assert max(map(len, stream.getvalue().splitlines())) <= 50


def test_commands_print_through_this_module_only():
    """What reads markup by default is not used anywhere else: rich's own Console, TextColumn, status and markup."""
    folder = Path(segattn.__file__).parent / "cli"
    for path in sorted(folder.rglob("*.py")):
        if path.name == "terminal.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = {alias.name for alias in node.names}
                assert node.module != "rich.markup", path
                assert not (node.module == "rich.progress" and "TextColumn" in names), path
            if isinstance(node, ast.Call):
                called = node.func
                assert not (isinstance(called, ast.Name) and called.id == "Console"), path
                assert not (
                    isinstance(called, ast.Attribute)
                    and called.attr == "status"
                    and getattr(called.value, "id", "") != "terminal"
                ), path
