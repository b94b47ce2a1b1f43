"""Whose an uploaded file is, and when it goes."""

import os

import pytest

from segattn.demo.uploads import Uploads, remove


@pytest.fixture
def uploads(tmp_path):
    return Uploads(tmp_path, limit=100)


def arrive(uploads, visitor, name, size=10, age=0):
    """A file written as Gradio writes it: into a folder named by its content."""
    path = uploads.folder / f"sum-of-{name}" / name
    with uploads.taking(visitor, size):
        path.parent.mkdir(exist_ok=True)
        fresh = uploads.folder / "fresh"
        fresh.write_bytes(bytes(size))
        os.replace(fresh, path)
    os.utime(path, (1e9 - age, 1e9 - age))
    return path


def test_files_go_when_the_last_page_of_their_visitor_is_closed(uploads):
    with uploads.visit("ann"):
        mine, theirs = arrive(uploads, "ann", "a.png"), arrive(uploads, "bob", "b.png")
        with uploads.visit("ann"):
            pass
        assert mine.exists()
    assert not mine.parent.exists()
    assert theirs.exists()
    assert not uploads.pages


def test_the_same_file_of_two_visitors_stays_until_both_have_left(uploads):
    with uploads.visit("bob"):
        with uploads.visit("ann"):
            path = arrive(uploads, "ann", "a.png")
            assert arrive(uploads, "bob", "a.png") == path
        assert path.exists()
    assert not path.exists()


def test_oldest_go_when_the_total_would_pass_the_limit(uploads):
    paths = [arrive(uploads, "ann", f"{age}.png", size=30, age=age) for age in (1, 3, 2)]
    fourth = arrive(uploads, "bob", "4.png", size=60)
    assert [path.exists() for path in paths] == [True, False, False]
    assert fourth.exists()
    assert sum(path.stat().st_size for path in uploads.folder.rglob("*/*.png")) == 90


def test_a_file_that_the_page_has_read_is_forgotten(uploads):
    path = arrive(uploads, "ann", "a.png")
    remove(path)
    remove(path)
    assert not list(uploads.folder.iterdir())
    arrive(uploads, "bob", "b.png")
    assert list(uploads.owners) == [uploads.folder / "sum-of-b.png" / "b.png"]


def test_what_an_unfinished_upload_left_is_removed(uploads):
    path = arrive(uploads, "ann", "a.png")
    with uploads.taking("ann", 10):
        (uploads.folder / "tmp1").write_bytes(b"half")
    assert not (uploads.folder / "tmp1").exists()
    assert path.exists()
