"""What the files around the package say of it: version, Python versions, make targets, paths."""

import re
import tomllib

import pytest
import yaml

import segattn
from tests.places import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))
GUIDES = ["README.md", "CONTRIBUTING.md", ".github/pull_request_template.md", ".github/workflows/test.yml"]


def test_version_stands_in_the_package_alone():
    assert "version" not in PROJECT["project"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "segattn.__version__"}
    assert "version" not in yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_changelog_starts_with_what_is_unreleased_and_has_this_version():
    sections = re.findall(r"^## \[?([\w.]+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sections[0] == "Unreleased"
    assert segattn.__version__ in sections


def test_python_versions_of_the_classifiers_must_pass_in_the_workflow():
    classified = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))
    job = WORKFLOW["jobs"]["test"]
    untested = re.findall(r"matrix\.python != '(3\.\d+)'", job["continue-on-error"])
    assert classified == untested == [PROJECT["project"]["requires-python"].removeprefix(">=")]
    assert set(classified) < set(job["strategy"]["matrix"]["python"])


@pytest.mark.parametrize("guide", GUIDES)
def test_make_targets_exist(guide):
    targets = re.search(r"^\.PHONY: (.*)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1].split()
    named = re.findall(r"(?:`|^|run: )make ([a-z][a-z-]*)", (ROOT / guide).read_text(encoding="utf-8"), re.MULTILINE)
    assert named
    assert set(named) <= set(targets)


def test_paths_that_contributing_names_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    folders = "segattn|tests|docs|benchmarks"
    paths = {path.rstrip("/") for path in re.findall(rf"`((?:{folders})/[\w./]+)`", text)}
    patterns = {path for path in paths if "NAME" in path}
    assert patterns
    assert sorted(path for path in paths - patterns if not (ROOT / path).exists()) == []


def test_contributing_is_short():
    assert len((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("template", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.md")), ids=lambda path: path.stem)
def test_issue_template_has_the_fields_that_its_form_needs(template):
    _, header, body = template.read_text(encoding="utf-8").split("---\n", 2)
    fields = yaml.safe_load(header)
    assert all(fields[key] for key in ("name", "about", "labels"))
    assert body.strip()
