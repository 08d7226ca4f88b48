"""The text for Prometheus, read by its grammar; and who gets it."""

from __future__ import annotations

import http.client
import math
import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.watch.listener import AT_ONCE, listening
from mailseal.watch.metrics import LABEL, TYPE, Family, Sample, exposition, plain
from tests.watch.exposition import read, value
from tests.watch.promtool import ran
from tests.watch.receivers import HOSTILE


def test_a_family_is_written_as_the_format_wants_it():
    family = Family(
        "mailseal_x_total",
        "counter",
        "What is \\ counted\nhere.",
        (Sample({"a": 'q"uo\\te', "b": ""}, 3), Sample({"a": "other", "b": "ü"}, 0.25)),
    )
    assert exposition([family, plain("mailseal_y", "gauge", "Another.", 1e9)]) == (
        "# HELP mailseal_x_total What is \\\\ counted\\nhere.\n"
        "# TYPE mailseal_x_total counter\n"
        'mailseal_x_total{a="q\\"uo\\\\te",b=""} 3\n'
        'mailseal_x_total{a="other",b="ü"} 0.25\n'
        "# HELP mailseal_y Another.\n"
        "# TYPE mailseal_y gauge\n"
        "mailseal_y 1000000000\n"
    )


def test_numbers_that_are_none_have_their_words():
    for number in (math.inf, -math.inf, math.nan, 1e300, 0.1, -3.0):
        (read_back,) = read(exposition([plain("a", "gauge", "b", number)])).values()
        assert read_back == number or math.isnan(number)


@given(st.lists(st.text(max_size=300), max_size=5))
def test_any_text_is_a_label_and_ends_none(texts: list[str]):
    samples = tuple(Sample({"one": text, "two": "x"}, n) for n, text in enumerate(texts))
    found = read(exposition([Family("a", "gauge", "b", samples)]))
    assert len(found) <= len(texts)
    for _, labels in found:
        assert dict(labels)["one"].isprintable()
        assert len(dict(labels)["one"]) <= LABEL
        assert dict(labels)["two"] == "x"


def test_hostile_text_is_one_label():
    (key,) = read(exposition([Family("a", "gauge", "b", (Sample({"x": HOSTILE}, 1),))]))
    assert dict(key[1])["x"].startswith("\\x1b[31m\\x0d\\x0aBcc")


def test_promtool_has_no_complaint_of_hostile_text():
    text = exposition([Family("a", "gauge", "Help.", (Sample({"x": HOSTILE}, 1),))])
    done = ran("check", "metrics", data=text)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ---- the listener ------------------------------------------------------------------------------


def asked(port: int, path: str = "/metrics", method: str = "GET") -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Content-Type", ""), answer.read().decode()
    finally:
        connection.close()


def test_metrics_are_handed_out_as_they_are_by_then():
    number = 0

    def text() -> str:
        return exposition([plain("a", "gauge", "b", number)])

    with listening("127.0.0.1", 0, text) as port:
        assert asked(port) == (200, TYPE, text())
        number = 7
        assert value(asked(port)[2], "a") == 7
        assert asked(port, "/metrics?x=y")[0] == 200
        assert asked(port, "/")[0] == 404
        assert asked(port, "/metrics/../../etc/passwd")[0] == 404
        assert asked(port, method="POST")[0] == 501
    with pytest.raises(OSError, match="refused"):
        asked(port)


def test_on_ipv6_too_and_on_loopback_alone():
    with listening("::1", 0, str) as port, socket.create_connection(("::1", port), 5) as there:
        there.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert there.recv(100).startswith(b"HTTP/1.0 200")
    with pytest.raises(ValueError, match="of this machine alone"), listening("0.0.0.0", 0, str):
        pass


def test_clients_that_say_nothing_take_no_more_than_their_room_and_time(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("mailseal.watch.listener.LIMIT", 0.5)
    with listening("127.0.0.1", 0, lambda: "") as port:
        silent = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(AT_ONCE + 3)]
        try:
            deadline = time.monotonic() + 5
            # They are cut off, and then there is room again.
            for each in silent:
                each.settimeout(5)
                assert each.recv(10) == b""
            assert asked(port)[0] == 200
            assert time.monotonic() < deadline
        finally:
            for each in silent:
                each.close()
