import io
import tarfile
import zipfile

import pytest

from segattn.data.tools.extract import extract


def zipped(path, **files):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in files.items():
            file.writestr(name, content)
    return path


def tarred(path, *members):
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as file:
        for member, content in members:
            file.addfile(member, io.BytesIO(content))
    return path


def member(name, content=b"", **changes):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in changes.items():
        setattr(info, key, value)
    return info, content


def test_files_come_out_of_zip_and_tar(tmp_path):
    assert extract(zipped(tmp_path / "a.zip", **{"x/a.txt": "one", "b.txt": "two"}), tmp_path / "z") == 2
    assert extract(tarred(tmp_path / "a.tgz", member("x/a.txt", b"one"), member("x/c.txt", b"")), tmp_path / "t") == 2
    for folder in ("z", "t"):
        assert (tmp_path / folder / "x/a.txt").read_text() == "one"
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("name", ["../out.txt", "/out.txt", "a/../../out.txt", "..\\out.txt", "C:/out.txt"])
def test_a_name_that_leads_out_is_refused_before_anything_is_written(tmp_path, name):
    (tmp_path / "in").mkdir()
    archives = [
        zipped(tmp_path / "a.zip", **{"good.txt": "good", name: "bad"}),
        tarred(tmp_path / "a.tar", member(name, b"bad")),
    ]
    for archive in archives:
        with pytest.raises(ValueError, match=r"leads out of the folder"):
            extract(archive, tmp_path / "in")
    assert not list((tmp_path / "in").iterdir())
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    with pytest.raises(ValueError, match="link or a device"):
        extract(tarred(tmp_path / "a.tar", member("link", type=kind, linkname="/etc/passwd")), tmp_path / "in")


def test_a_link_in_a_zip_is_refused(tmp_path):
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(info, "/etc/passwd")
    with pytest.raises(ValueError, match="link is a link"):
        extract(tmp_path / "a.zip", tmp_path / "in")


def test_a_link_that_lies_there_is_not_followed_out(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "in/x").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(ValueError, match="by a link; remove the link"):
        extract(zipped(tmp_path / "a.zip", **{"x/a.txt": "one"}), tmp_path / "in")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_what_is_there_stays_and_what_was_broken_off_is_written_again(tmp_path):
    archive = zipped(tmp_path / "a.zip", **{"whole.txt": "12345", "half.txt": "12345"})
    (tmp_path / "in").mkdir()
    (tmp_path / "in/whole.txt").write_text("mine!")  # of the right size: taken for extracted
    (tmp_path / "in/half.txt").write_text("12")
    extract(archive, tmp_path / "in")
    assert (tmp_path / "in/whole.txt").read_text() == "mine!"
    assert (tmp_path / "in/half.txt").read_text() == "12345"


def test_damaged_archives_are_named(tmp_path):
    content = zipped(tmp_path / "a.zip", **{"a.txt": "one" * 999}).read_bytes()
    (tmp_path / "b.zip").write_bytes(content[:40] + b"\x00" * 20 + content[60:])
    with pytest.raises(ValueError, match=r"b\.zip: damaged archive .*download it again"):
        extract(tmp_path / "b.zip", tmp_path / "in")
    (tmp_path / "c.zip").write_text("an error page")
    with pytest.raises(ValueError, match=r"c\.zip: neither a zip nor a tar"):
        extract(tmp_path / "c.zip", tmp_path / "in")
