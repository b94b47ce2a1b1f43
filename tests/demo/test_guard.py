"""What passes the guard, without Gradio behind it; with Gradio in test_server.py."""

import asyncio
import json

import pytest

from segattn.demo import guard
from segattn.demo.guard import Guard, expected, refusal
from segattn.demo.uploads import Uploads

EVENTS = {3: [lambda value: value == "fcn", lambda value: True]}
GOOD = {"fn_index": 3, "session_hash": "ab12", "data": ["fcn", None], "event_data": {"index": 2}, "trigger_id": 7}


def test_a_message_of_the_page_passes_with_its_own_fields_only():
    passed = expected(json.dumps({**GOOD, "batched": True, "simple_format": True}).encode(), EVENTS)
    assert json.loads(passed) == GOOD


@pytest.mark.parametrize("number", [4, -1, 10**30, "3", 3.0, True, None, [3], {}])
def test_an_event_that_the_page_does_not_have_is_refused(number):
    assert expected(json.dumps({**GOOD, "fn_index": number}).encode(), {**EVENTS, 1: EVENTS[3]}) is None


@pytest.mark.parametrize(
    "change",
    [{"data": values} for values in ([], ["fcn"], ["fcn", 1, 2], ["other", None], "fc", None, {"0": "fcn"})]
    + [{"session_hash": name} for name in ("", "a/b", "a" * 65, "../..", "a\n", 7, None)]
    + [{"event_data": {"meta": {"_type": "gradio.FileData"}}}],
)
def test_values_that_the_page_does_not_send_are_refused(change):
    assert expected(json.dumps({**GOOD, **change}).encode(), EVENTS) is None


@pytest.mark.parametrize("number", [b"NaN", b"-Infinity", b"1e999"])
def test_numbers_that_json_does_not_have_are_refused(number):
    for field in (b'"index": 2', b'"trigger_id": 7'):
        body = json.dumps(GOOD).encode()
        assert field in body
        assert expected(body.replace(field, field[:-1] + number), EVENTS) is None


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"null", b"{", b"\xff", b"[" * 60_000])
def test_what_is_no_message_is_refused(body):
    assert expected(body, EVENTS) is None


def request(scheme="http", host=b"localhost:7860", **headers):
    named = [(name.encode(), value) for name, value in {"host": host, **headers}.items()]
    return {"type": "http", "method": "GET", "path": "/", "scheme": scheme, "headers": named}


@pytest.mark.parametrize(
    ("scheme", "origin", "status"),
    [
        ("http", b"http://localhost:7860", 0),
        ("https", b"https://localhost:7860", 0),  # behind a proxy that says so
        ("http", b"https://localhost:7860", 403),
        ("https", b"http://localhost:7860", 403),
        ("http", b"http://localhost", 403),
        ("http", b"//localhost:7860", 403),
        ("http", b"http://[", 403),
        ("http", b"http://localhost:7860.evil.example", 403),
        ("http", b"null", 403),
    ],
)
def test_a_page_of_another_origin_is_refused(scheme, origin, status):
    assert refusal(request(scheme, origin=origin)) == status


def answers(app, tmp_path, *, messages, path="/gradio_api/upload", **headers):
    """Statuses of the answers to a POST whose body comes as `messages`."""
    scope = {**request(**headers), "method": "POST", "path": path}
    waiting, sent = list(messages), []

    async def receive():
        return waiting.pop(0) if waiting else await asyncio.sleep(60)

    async def send(message):
        sent.append(message)

    asyncio.run(Guard(app, EVENTS, Uploads(tmp_path))(scope, receive, send))
    return [message["status"] for message in sent if message["type"] == "http.response.start"]


@pytest.mark.parametrize("path", ["/gradio_api/upload", "/gradio_api/queue/join"])
def test_a_body_that_breaks_off_or_stops_does_not_reach_gradio(path, tmp_path, monkeypatch):
    monkeypatch.setattr(guard, "SILENCE", 0.05)
    first = {"type": "http.request", "body": json.dumps(GOOD).encode(), "more_body": True}
    assert answers(None, tmp_path, path=path, messages=[first, {"type": "http.disconnect"}]) == [400]
    assert answers(None, tmp_path, path=path, messages=[first]) == [408]


def test_an_upload_without_end_is_refused_before_gradio_sees_it(tmp_path, monkeypatch):
    monkeypatch.setattr(guard, "MAX_FILE_BYTES", 0)
    endless = [{"type": "http.request", "body": bytes(50_000), "more_body": True}] * 9
    assert answers(None, tmp_path, messages=endless) == [413]


def test_only_a_few_uploads_are_held_in_memory(tmp_path):
    full = Guard(None, EVENTS, Uploads(tmp_path))
    full.waiting = guard.MAX_WAITING
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(full({**request(), "method": "POST", "path": "/gradio_api/upload"}, None, send))
    assert sent[0]["status"] == 503
