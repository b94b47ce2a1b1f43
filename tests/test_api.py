"""The reference of Python names: every public name is in it, and says its shapes, units and errors."""

import importlib
import inspect
import re
import textwrap

import pytest

import segattn
from tests.places import ROOT

PAGE = (ROOT / "docs/site/api.md").read_text(encoding="utf-8")
MODULES = re.findall(r"\.\. automodule:: (\S+)\n(?:   :members:([^\n]*)\n)", PAGE)
FUNCTIONS = re.findall(r"\.\. autofunction:: (\S+)", PAGE)
ARRAYS = ("Tensor", "ndarray")
SHAPE = re.compile(r"\([\w~.]+, ?[\w ,./+*-]*\)|\b(?:scalar|shapes?)\b")


def documented():
    """Every function and method of the page, by its full name."""
    objects = {}
    for name in FUNCTIONS:
        module, _, attribute = name.rpartition(".")
        objects[name] = getattr(importlib.import_module(module), attribute)
    for name, members in MODULES:
        module = importlib.import_module(name)
        wanted = [each.strip() for each in members.split(",") if each.strip()]
        for attribute in wanted or getattr(module, "__all__", dir(module)):
            value = getattr(module, attribute)
            if not attribute.startswith("_") and (wanted or getattr(value, "__module__", "").startswith(name)):
                objects[f"{name}.{attribute}"] = value
    for name, value in list(objects.items()):
        if inspect.isclass(value) and not issubclass(value, Exception):
            for attribute, member in vars(value).items():
                if inspect.isfunction(member) and not attribute.startswith("_"):
                    objects[f"{name}.{attribute}"] = member
    return {name: value for name, value in objects.items() if inspect.isfunction(value) or inspect.isclass(value)}


OBJECTS = documented()
CALLABLES = {name: value for name, value in OBJECTS.items() if inspect.isfunction(value)}


def test_every_public_name_is_in_the_reference():
    modules = {"segattn.heads", "segattn.datasets", "segattn.__version__"}
    names = {f"segattn.{name}" for name in segattn.__all__} - modules
    assert names <= set(FUNCTIONS)
    assert len(CALLABLES) > 80


@pytest.mark.parametrize("name", OBJECTS)
def test_it_has_a_docstring(name):
    text = inspect.getdoc(OBJECTS[name]) or ""
    assert len(text.split()) >= 3, name
    assert not text.startswith(name.rpartition(".")[2] + "("), f"{name}: only what dataclass writes"


@pytest.mark.parametrize("name", CALLABLES)
def test_errors_that_it_raises_itself_are_named(name):
    source = textwrap.dedent(inspect.getsource(CALLABLES[name]))
    raised = set(
        re.findall(
            r"^\s+raise (ValueError|TypeError|OSError|KeyError|ImportError|RuntimeError)\(", source, re.MULTILINE
        )
    )
    text = inspect.getdoc(CALLABLES[name]) or ""
    for error in raised:
        assert error in text or re.search(r"errors as (?:of|in) ", text), (
            f"{name} raises {error}, of which its docstring says nothing"
        )


@pytest.mark.parametrize("name", CALLABLES)
def test_arrays_that_it_takes_or_returns_have_shapes(name):
    annotations = [str(value) for value in inspect.get_annotations(CALLABLES[name]).values()]
    if not any(kind in text for text in annotations for kind in ARRAYS) or any(
        "[Tensor" in text for text in annotations
    ):
        return  # no arrays, or shapes in the signature
    assert SHAPE.search(inspect.getdoc(CALLABLES[name]) or ""), f"{name}: no shapes"
