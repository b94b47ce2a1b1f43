import doctest
import importlib
import pkgutil

import pytest

import segattn

MODULES = [
    module.name
    for module in pkgutil.walk_packages(segattn.__path__, "segattn.")
    if module.name.rpartition(".")[2] != "__main__"
]


def test_examples_are_found_at_all():
    found = [test for module in ("segattn.inference.windows", "segattn.model") for test in _examples(module)]
    assert len(found) >= 2


@pytest.mark.parametrize("module", ["segattn", *MODULES])
def test_examples_in_docstrings_are_true(module):
    if module == "segattn.demo.page":
        pytest.importorskip("gradio", reason="the page is written in Gradio: pip install 'segattn[demo]'")
    tests = _examples(module)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    report = []
    for test in tests:
        runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)


def _examples(module):
    found = doctest.DocTestFinder().find(importlib.import_module(module))
    return [test for test in found if test.examples]
