"""The agent at the other end of ssh: here an `ssh` that runs the command on this very machine."""

import json
import os
import socket
from pathlib import Path

import pytest

from mailseal.apply.executor import Refused
from mailseal.model.look import Reach, Vantage
from mailseal.probe.look import Limits, Question
from mailseal.system import ssh
from mailseal.workflow import hosts
from mailseal.workflow.hosts import Here, HostUnreachable, OverSsh
from tests.prove.looks import WHERE

LOCAL = '#!/bin/sh\nprintf "%s\\n" "$@" >>"$LOG"\nfor last; do :; done\nexec sh -c "$last"\n'


@pytest.fixture
def ssh_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts an `ssh` of this text in front; gives the file with its arguments."""

    def install(text: str) -> Path:
        program, log = tmp_path / "ssh", tmp_path / "log"
        program.write_text(text)
        program.chmod(0o755)
        monkeypatch.setenv("PATH", "%s:%s" % (tmp_path, os.environ["PATH"]))
        monkeypatch.setenv("LOG", str(log))
        return log

    return install


def test_the_agent_is_carried_there_asked_and_taken_away(ssh_says):
    log = ssh_says(LOCAL)
    said: list[str] = []
    with OverSsh("ssh://root@mailhost:2222", said.append) as far:
        (directory,) = {word.split("/mailseal.pyz")[0] for word in far._python if "pyz" in word}
        assert Path(directory).stat().st_mode & 0o777 == 0o700
        facts = far.facts((109,), ("/etc/hostname",))
        assert facts.file("/etc/hostname") or "/etc/hostname" in facts.unread
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            assert port in {each.port for each in far.local((port,), False).listeners}
            assert port in {each.port for each in far.local((), True).listeners}
        question = Question(WHERE, Vantage.SELF, limits=Limits(0.2, 0.2, 0.2))
        assert far.look(question).reach is not Reach.OPEN
        assert far.policy() == Here().policy()
        assert far.changes() == Here().changes()
        with pytest.raises(Refused, match="there is no run no-such-run"):
            far._agent(["rollback", "no-such-run"])
    assert not Path(directory).exists()
    words = log.read_text().splitlines()
    assert words[: words.index("mailhost") + 1][-6:] == [
        "-p",
        "2222",
        "-l",
        "root",
        "--",
        "mailhost",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("#!/bin/sh\necho 'Permission denied' >&2\nexit 255\n", "cannot be reached by ssh.*denied"),
        ("#!/bin/sh\ncat >/dev/null\nexit 1\n", "the agent cannot be put on mailhost.*python3"),
        ("#!/bin/sh\ncat >/dev/null\necho welcome to this host\n", "the agent cannot be put on"),
    ],
)
def test_a_host_where_the_agent_cannot_go(ssh_says, text: str, says: str):
    ssh_says(text)
    with pytest.raises(HostUnreachable, match=says), OverSsh("ssh://mailhost", print):
        pass


def test_an_agent_that_dies_is_told(ssh_says):
    ssh_says(LOCAL)
    with OverSsh("ssh://mailhost", print) as far:
        far._python = ("sh", "-c", "echo 'no such interpreter' >&2; exit 127")
        with pytest.raises(HostUnreachable, match=r"exit status 127.*no such interpreter"):
            far.facts((109,))


@pytest.mark.parametrize(
    ("target", "address"),
    [
        ("ssh://mailhost", ssh.Address("mailhost")),
        ("ssh://admin@mail.example:2222/", ssh.Address("mail.example", "admin", "2222")),
        ("ssh://[2001:db8::1]", ssh.Address("2001:db8::1")),
    ],
)
def test_targets(target: str, address: ssh.Address):
    assert ssh.parse(target) == address


@pytest.mark.parametrize(
    "target",
    ["mailhost", "ssh://", "ssh://-oProxyCommand=x", "ssh://a b", "ssh://h/path", "ssh://-l@h"],
)
def test_no_targets(target: str):
    with pytest.raises(ValueError, match="is not ssh://"):
        ssh.parse(target)


def test_what_is_said_there_is_harmless_here(ssh_says):
    ssh_says("#!/bin/sh\nprintf 'one\\033[2Jtwo\\nthree' >&2\nprintf out\nexit 3\n")
    said: list[str] = []
    done = ssh.run(ssh.Address("h"), ["true"], tell=said.append)
    assert (done.code, done.out) == (3, b"out")
    assert said == ["one?[2Jtwo", "three"]


def test_a_host_that_hangs_is_left(ssh_says):
    ssh_says("#!/bin/sh\nexec sleep 60\n")
    assert ssh.run(ssh.Address("h"), ["true"], timeout=0.3).code == 124


def test_the_target_chooses_the_host(ssh_says):
    ssh_says(LOCAL)
    with hosts.host(None, print) as here:
        assert isinstance(here, Here)
        assert json.dumps(here.remote) == "false"
    with hosts.host("ssh://mailhost", print) as far:
        assert far.remote
        assert far.names == ("mailhost",)
