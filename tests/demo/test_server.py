"""What the page's server lets in and gives out: nothing but the page."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

gradio = pytest.importorskip("gradio", reason="the explorer needs Gradio: pip install 'segattn[demo]'")
import httpx  # noqa: E402  # comes with Gradio

from segattn.demo import server  # noqa: E402
from segattn.demo.explorer import Explorer  # noqa: E402
from tests.demo.served_page import serving  # noqa: E402
from tests.places import ROOT  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Gradio's, of pandas


@pytest.fixture(scope="module")
def uploads(tmp_path_factory):
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def page(loaded, uploads):
    """A client of the served page, without a proxy."""
    with (
        serving(Explorer(loaded[4:5]), str(uploads)) as address,
        httpx.Client(base_url=address, trust_env=False) as client,
    ):
        yield client


def test_page_is_served_and_may_load_nothing_from_elsewhere(page):
    answer = page.get("/")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self' ")
    assert "http" not in policy
    assert "fonts.googleapis" not in answer.text
    config = page.get("/config").json()
    assert config["analytics_enabled"] is False
    assert gradio.__version__.split(".")[0] == "6"


@pytest.mark.parametrize(
    "path",
    ["/gradio_api/file=/etc/passwd", f"/gradio_api/file={Path(__file__)}", "/gradio_api/file=../../../etc/passwd",
     "/gradio_api/file=segattn/demo/server.py", "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
     "/assets/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "/file=/etc/passwd", "/gradio_api/proxy=http://127.0.0.1:1/"],
)  # fmt: skip
def test_no_file_of_this_computer_is_served(page, path):
    answer = page.get(path)
    assert answer.status_code in (400, 403, 404)
    assert "root:" not in answer.text
    assert "import" not in answer.text


def said(page, body):
    """What the page's upload answers to a message of any script."""
    config = page.get("/config").json()
    named = {"fn_index": event(config, "upload")["id"], "session_hash": "abcdefgh", "data": [["fcn"]], **body}
    answer = page.post("/gradio_api/queue/join", json=named)
    if answer.status_code != 200:
        return answer.text
    with page.stream("GET", "/gradio_api/queue/data", params={"session_hash": "abcdefgh"}, timeout=90) as events:
        return "".join(events.iter_text())


def event(config, name):
    (dependency,) = [each for each in config["dependencies"] if any(at[1] == name for at in each["targets"])]
    return dependency


@pytest.mark.parametrize(
    "path",
    [
        "{photo}",
        "/etc/passwd",
        "../../etc/passwd",
        "{uploads}/../{photo.name}",
        "{uploads}",
        "http://127.0.0.1:1/a",
        "",
        7,
    ],
)
def test_no_file_of_this_computer_is_read_as_an_upload(page, uploads, path, tmp_path_factory):
    photo = uploads.parent / "photo.png"
    Image.new("RGB", (64, 64)).save(photo)
    taken = path.format(photo=photo, uploads=uploads) if isinstance(path, str) else path
    heard = said(page, {"event_data": {"taken": taken, "name": "a.png"}})
    assert "a.png: was not uploaded" in heard
    assert photo.exists()
    assert "Traceback" not in heard


def test_an_upload_is_read_once_and_removed(page, uploads):
    stream = io.BytesIO()
    Image.new("RGB", (64, 64)).save(stream, "PNG")
    (path,) = page.post("/gradio_api/upload", files={"files": ("a.png", stream.getvalue())}).json()
    assert Path(path).is_file()
    heard = said(page, {"event_data": {"taken": path, "name": "/x/y/street.png"}})
    assert "street.png, 64 × 64" in json.loads(heard.split("data: ")[3])["output"]["data"][0]
    assert not Path(path).exists()
    assert "a.png: was not uploaded" in said(page, {"event_data": {"taken": path, "name": "a.png"}})


@pytest.mark.parametrize("name", ["data", "event_data"])
def test_a_message_that_names_a_file_for_gradio_is_refused(page, name):
    file = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
    assert said(page, {name: [file]}) == "This page answers its own scripts only."
    text = json.dumps({name: [file]}).replace("gradio", "\\u0067radio")
    assert page.post("/gradio_api/queue/join", content=text).status_code == 400
    assert page.post("/gradio_api/queue/join", content="no JSON").status_code == 400
    assert page.post("/gradio_api/queue/join", json={"data": "a" * 70_000}).status_code == 413


@pytest.mark.parametrize(
    "change",
    [{"fn_index": 999}, {"fn_index": -1}, {"fn_index": "0"}, {"data": []}, {"data": [["vit"]]}, {"data": [[["fcn"]]]},
     {"session_hash": ""}],
)  # fmt: skip
def test_a_message_that_the_page_does_not_send_is_refused(page, change, capfd):
    assert said(page, change) == "This page answers its own scripts only."
    assert "Traceback" not in "".join(capfd.readouterr())


def test_events_without_python_are_no_events(page):
    config = page.get("/config").json()
    for each in config["dependencies"]:
        values = [None] * len(each["inputs"])
        if not each["backend_fn"]:
            assert said(page, {"fn_index": each["id"], "data": values}) == "This page answers its own scripts only."


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/gradio_api/run/predict"), ("POST", "/gradio_api/component_server"), ("POST", "/"), ("PUT", "/"),
     ("GET", "/gradio_api/stream/a/b/c"), ("GET", "/gradio_api/info"), ("DELETE", "/gradio_api/upload")],
)  # fmt: skip
def test_what_the_page_does_not_need_is_not_there(page, method, path):
    assert page.request(method, path).status_code in (404, 405)


def test_upload_has_a_limit_and_stays_in_its_folder(page, uploads):
    large = page.post("/gradio_api/upload", files={"files": ("a.png", bytes(server.MAX_FILE_BYTES + 1))})
    assert large.status_code == 413
    climbing = page.post("/gradio_api/upload", files={"files": ("../../../evil.png", b"hello")})
    assert Path(climbing.json()[0]).resolve().is_relative_to(uploads.resolve())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 400),  # a name that was made to lead here
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://{own}"}, 403),  # it serves http
        ({"Origin": "http://["}, 403),
    ],
)
def test_pages_of_other_sites_cannot_use_it(page, headers, status):
    headers = {name: value.format(own=page.base_url.netloc.decode()) for name, value in headers.items()}
    assert page.get("/config", headers=headers).status_code == status
    assert page.post("/gradio_api/upload", files={"files": ("a.png", b"a")}, headers=headers).status_code == status


def test_page_and_its_own_address_are_served(page):
    own = {"Origin": str(page.base_url).rstrip("/")}
    assert page.get("/config", headers=own).status_code == 200


PROXY = {"Host": "localhost", "X-Forwarded-Host": "explorer.example", "X-Forwarded-Proto": "https"}


def test_page_behind_the_proxy_of_the_documentation_is_served_under_its_name(page):
    served = page.get("/config", headers={**PROXY, "Origin": "https://localhost"})
    assert served.status_code == 200
    assert served.json()["root"] == "https://explorer.example"
    assert page.get("/config", headers={**PROXY, "Origin": "https://evil.example"}).status_code == 403


def upload(client):
    stream = io.BytesIO()
    Image.new("RGB", (64, 64), tuple(os.urandom(3))).save(stream, "PNG")
    (path,) = client.post("/gradio_api/upload", files={"files": ("a.png", stream.getvalue())}).json()
    return Path(path)


def test_uploads_go_when_their_visitor_leaves(page):
    visitors = [httpx.Client(base_url=page.base_url, trust_env=False) for _ in range(2)]
    for visitor in visitors:
        assert "HttpOnly; SameSite=Strict" in visitor.get("/").headers["set-cookie"]
        assert "set-cookie" not in visitor.get("/").headers
    leaving, staying = visitors
    with staying.stream("GET", "/gradio_api/heartbeat/bbbb") as stays:
        heard = stays.iter_text()
        next(heard)
        with leaving.stream("GET", "/gradio_api/heartbeat/aaaa") as beats:
            heard_too = beats.iter_text()
            next(heard_too)
            paths = upload(leaving), upload(staying)
            assert all(path.is_file() for path in paths)
        leaving.close()
        until = time.monotonic() + 30
        while paths[0].exists() and time.monotonic() < until:
            time.sleep(0.02)
        assert [path.exists() for path in paths] == [False, True]
    staying.close()


@pytest.mark.parametrize("whole", [False, True])
def test_an_upload_without_its_end_leaves_no_file(page, uploads, whole):
    """The connection ends within the body, or the body without its last line."""
    before = set(uploads.rglob("*"))
    body = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n' + bytes(500)
    head = (
        f"POST /gradio_api/upload HTTP/1.1\r\nHost: {page.base_url.netloc.decode()}\r\nConnection: close\r\n"
        f"Content-Length: {len(body) + 1 - whole}\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", page.base_url.port)) as connection:
        connection.sendall(head.encode() + body)
        if whole:
            assert connection.recv(99).startswith(b"HTTP/1.1 ")
    upload(page).unlink()  # the server has come to the end of the one before
    assert {path for path in set(uploads.rglob("*")) - before if path.is_file()} == set()


def test_a_port_that_is_taken_is_said(study, capsys):
    from segattn.cli import main

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["demo", str(study), "--port", str(port)]) == 2
    assert f"port {port} on 127.0.0.1 cannot be used (Address already in use)" in capsys.readouterr().err


def test_a_host_that_is_not_ours_is_said():
    with pytest.raises(ValueError, match=r"192\.0\.2\.1 cannot be used"):
        server.bind("192.0.2.1", 0)
    with pytest.raises(ValueError, match="no address of this computer"):
        server.bind("no such host", 0)


@pytest.mark.slow
def test_command_serves_without_any_network_and_ends_by_ctrl_c(study, tmp_path):
    """A process in which every connection but to this computer is an error."""
    code = (
        "import socket, sys\n"
        "plain = socket.socket.connect\n"
        "def connect(self, address):\n"
        "    if isinstance(address, tuple) and address[0] not in ('127.0.0.1', '::1'):\n"
        "        print('CONNECTS', address, flush=True)\n"
        "        raise OSError('no network')\n"
        "    return plain(self, address)\n"
        "socket.socket.connect = connect\n"
        "from segattn.cli import main\n"
        f"sys.exit(main(['demo', {str(study)!r}, '--heads', 'fcn', '--port', '0']))"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "200",
        "TMPDIR": str(tmp_path),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    try:
        said = process.stdout.readline()
        address = said.rpartition(" at ")[2].split()[0]
        assert said.startswith("1 network of ")
        assert address.startswith("http://127.0.0.1:")
        assert httpx.get(address, trust_env=False, timeout=90).status_code == 200
        with httpx.stream("GET", f"{address}gradio_api/heartbeat/aaaa", trust_env=False, timeout=90) as beats:
            heard = beats.iter_text()
            next(heard)
            process.send_signal(signal.SIGINT)  # while a page is open
            with suppress(httpx.HTTPError):
                list(heard)
        rest = process.communicate(timeout=90)[0]
    finally:
        process.kill()
    assert process.returncode == 0
    assert rest.strip() == "ended"
    assert not list(tmp_path.glob("segattn-demo-*"))  # uploads
