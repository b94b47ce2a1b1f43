import hashlib

import pytest

from segattn.data.tools.download import download

CONTENT = bytes(range(256)) * 4001


@pytest.fixture
def file(site):
    site.files["/a.zip"] = CONTENT
    return f"{site.url}/a.zip"


def test_a_file_arrives_with_progress_and_checksum(site, file, tmp_path):
    seen = []
    md5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    download(file, tmp_path / "in/a.zip", md5=md5, on_bytes=lambda done, total: seen.append((done, total)))
    assert (tmp_path / "in/a.zip").read_bytes() == CONTENT
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["a.zip"]


def test_a_broken_connection_is_taken_up_where_it_broke(site, file, tmp_path):
    site.limits = [1000, 70_000]
    download(file, tmp_path / "a.zip", pause=0)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert [asked for _, asked in site.requests] == [None, "bytes=1000-", "bytes=71000-"]


def test_a_later_call_goes_on_from_the_part(site, file, tmp_path):
    site.limits = [5000, 0, 0, 0, 0]
    with pytest.raises(ValueError, match=r"ended early, 5 tries; .*a\.zip\.part is kept, and the next run resumes it"):
        download(file, tmp_path / "a.zip", pause=0)
    assert not (tmp_path / "a.zip").exists()
    site.requests.clear()
    download(file, tmp_path / "a.zip", pause=0)
    assert [asked for _, asked in site.requests] == ["bytes=5000-"]
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_a_file_that_changed_meanwhile_is_fetched_from_the_start(site, file, tmp_path):
    site.limits = [5000]
    site.codes = [0, 404]
    with pytest.raises(ValueError, match="answers 404"):
        download(file, tmp_path / "a.zip", pause=0)
    site.files["/a.zip"], site.version = CONTENT[::-1], '"v2"'
    download(file, tmp_path / "a.zip", pause=0)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT[::-1]


def test_a_server_without_ranges_sends_all_again(site, file, tmp_path):
    site.limits, site.ranges = [5000], False
    download(file, tmp_path / "a.zip", pause=0)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_a_part_that_is_whole_already_is_taken(site, file, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(CONTENT)
    (tmp_path / "a.zip.part.version").write_text(site.version)
    download(file, tmp_path / "a.zip", pause=0)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_a_part_of_unknown_origin_is_not_trusted(site, file, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(b"something else")
    download(file, tmp_path / "a.zip", pause=0)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_a_busy_server_is_asked_again_and_a_missing_file_is_not(site, file, tmp_path):
    site.codes = [503, 429, 500]
    download(file, tmp_path / "a.zip", pause=0)
    assert len(site.requests) == 4
    with pytest.raises(ValueError, match="the server answers 404"):
        download(f"{site.url}/b.zip", tmp_path / "b.zip", pause=0)
    assert len(site.requests) == 5


def test_a_wrong_checksum_removes_the_file(site, file, tmp_path):
    with pytest.raises(ValueError, match="MD5 is not 0123"):
        download(file, tmp_path / "a.zip", md5="0123")
    assert not list(tmp_path.glob("a.zip*.part"))
    assert not (tmp_path / "a.zip").exists()


def test_no_server_is_named_after_five_tries(tmp_path):
    with pytest.raises(ValueError, match=r"127\.0\.0\.1:9/a\.zip: .*5 tries"):
        download("http://127.0.0.1:9/a.zip", tmp_path / "a.zip", pause=0)
    with pytest.raises(ValueError, match="only http and https"):
        download("file:///etc/passwd", tmp_path / "a.zip")
