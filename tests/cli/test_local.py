"""`mailseal local` on the command line, on this machine as it is."""

import json
import os
import socket

import pytest

from mailseal.model import codec
from mailseal.model.local import LocalListener
from mailseal.report.local import Local
from tests.cli.program import mailseal


@pytest.fixture
def port():
    """A listener of our own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_the_text_names_the_listener(port: int):
    done = mailseal("local", "--port", str(port))
    assert done.returncode == 0, done.stderr
    assert f"127.0.0.1:{port}  this host alone" in done.stdout.decode()


def test_a_line_of_json_for_each(port: int):
    done = mailseal("local", "--port", str(port), "--format", "ndjson")
    assert done.returncode == 0, done.stderr
    found = [codec.loads(LocalListener, line, lenient=False) for line in done.stdout.splitlines()]
    (mine,) = [each for each in found if each.port == port]
    assert mine.processes[0].pid == os.getpid()


def test_one_document(port: int):
    done = mailseal("local", "--all", "--format", "json")
    assert done.returncode == 0, done.stderr
    found = codec.from_record(Local, json.loads(done.stdout), lenient=False)
    assert port in {each.port for each in found.local.listeners}
    assert found.results == ()


def test_a_look_decides_the_exit_code(port: int):
    words = ("local", "--port", str(port), "--look", "--timeout", "0.3", "--format", "json")
    done = mailseal(*words)
    # Nobody answers there: that is not clean.
    assert done.returncode == 3, done.stderr
    results = json.loads(done.stdout)["results"]
    assert port in {each["endpoint"]["port"] for each in results}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("local", "mailhost"), "write it as ssh://mailhost"),
        (("local", "ssh://mailhost", "--look"), "use mailseal scan for ssh://mailhost"),
        (("local", "--port", "0"), "--port"),
    ],
)
def test_what_is_refused(words: tuple[str, ...], says: str):
    done = mailseal(*words)
    assert done.returncode == 2
    assert says in done.stderr.decode()
