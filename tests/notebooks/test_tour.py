"""The tour runs from top to bottom, and what it shows is small."""

from pathlib import Path

import pytest

import segattn
from segattn import load_model
from tests.places import ROOT

nbformat = pytest.importorskip("nbformat", reason="needs nbclient and ipykernel of the extra `dev`")
nbclient = pytest.importorskip("nbclient", reason="needs nbclient and ipykernel of the extra `dev`")
pytest.importorskip("ipykernel", reason="needs nbclient and ipykernel of the extra `dev`")

TOUR = ROOT / "notebooks/tour.ipynb"


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """The code cells of the tour after they were run, in an empty folder."""
    book = nbformat.read(TOUR, as_version=4)
    resources = {"metadata": {"path": str(tmp_path_factory.mktemp("tour"))}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("OMP_NUM_THREADS", "1")
        nbclient.NotebookClient(book, timeout=240, resources=resources).execute()
    return [cell for cell in book.cells if cell.cell_type == "code"]


def results(cells):
    return [output.data for cell in cells for output in cell.outputs if output.output_type == "execute_result"]


@pytest.mark.slow
def test_every_cell_runs_and_says_nothing_on_stderr(cells):
    for cell in cells:
        assert cell.outputs or cell is cells[0], cell.source
        assert [output for output in cell.outputs if output.get("name") == "stderr"] == [], cell.source


@pytest.mark.slow
def test_displays_are_pictures_and_short_texts(cells):
    shown = results(cells)
    assert sum("image/png" in data for data in shown) == 3  # sample, prediction, maps
    assert sum("text/html" in data for data in shown) == 4  # the network twice, the data set, a map
    for data in shown:
        assert len(data.get("text/html", "")) < 2000
        assert len(data.get("image/png", "")) < 1_500_000


def test_tour_is_stored_without_output_and_names_the_docs():
    book = nbformat.read(TOUR, as_version=4)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert (Path(TOUR).parent / "../docs/sharing.md").exists()


def test_completion_shows_the_public_names_which_exist():
    assert dir(segattn) == sorted(segattn.__all__)
    assert {"load_model", "predict", "push_to_hub", "datasets"} <= set(dir(segattn))
    for name in segattn.__all__:
        assert getattr(segattn, name) is not None


def test_network_is_one_line_of_html():
    assert (
        load_model("streets/ccnet")._repr_html_()
        == "<pre>ccnet (controlled) on resnet18: 19 classes, 3.18 M parameters</pre>"
    )
