"""The program itself: version, help, completion, exit codes, faults, and a quick start."""

import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from types import SimpleNamespace

import click
import pytest

from mailseal import __version__, cli
from mailseal.cli import commands
from mailseal.cli.exits import Exit, Stop
from mailseal.model.moment import rfc3339
from tests.cli.program import PROGRAM, environment, mailseal
from tests.docs.shown import examples

SLOW = {"rich", "cryptography", "asyncio", "ssl", "socket", "concurrent.futures"}


def test_the_version():
    run = mailseal("--version")
    assert (run.returncode, run.stdout) == (0, f"mailseal {__version__}\n".encode())


def test_it_starts_without_what_is_slow():
    """Not a figure but its cause: what is not imported costs nothing."""
    code = "import sys, mailseal.cli as c; c.main(sys.argv[1:]); print(sorted(sys.modules))"
    for arguments in (["--version"], ["--help"], ["scan", "--help"]):
        run = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True, env=environment(), timeout=60, check=True,
        )  # fmt: skip
        loaded = set(json.loads(run.stdout.splitlines()[-1].replace(b"'", b'"')))
        assert loaded & SLOW == set(), arguments
        assert ("click" in loaded) == (arguments != ["--version"])


def test_the_help_lists_every_command_and_every_exit_code():
    run = mailseal("--help")
    text = run.stdout.decode()
    assert run.returncode == 0
    for name, entry in commands.COMMANDS.items():
        assert f"  {name} " in text
        assert entry.short in " ".join(text.split())
    codes = [line.split()[0] for line in text.partition("Exit codes:")[2].strip().splitlines()]
    assert list(map(int, codes)) == [int(code) for code in Exit]


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_every_command_of_the_table_is_there_and_shows_examples(name: str):
    run = mailseal(name, "--help")
    assert run.returncode == 0
    assert run.stdout.startswith(f"Usage: mailseal {name} ".encode())
    assert b"Example" in run.stdout


LINES = [
    part.strip()
    for line in itertools.chain(*examples().values())
    for part in re.findall(r"\bmailseal (?!-)([^>|)]+)", line)
]
"""Every command line that a help text shows, without what the shell does around it."""


@pytest.mark.parametrize("line", LINES)
def test_the_examples_of_the_help_are_command_lines(line: str):
    context = click.Context(commands.mailseal, info_name="mailseal")
    name, command, arguments = commands.mailseal.resolve_command(context, shlex.split(line))
    assert command is not None
    with command.make_context(name, arguments, parent=context):
        pass  # It parses; nothing is run.


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["--nonsense"], ["scan", "--nonsense"], ["completion", "tcsh"]]
)
def test_a_wrong_word_is_usage(arguments: list[str]):
    run = mailseal(*arguments)
    assert (run.returncode, run.stdout) == (Exit.USAGE, b"")
    assert b"Error: " in run.stderr


def test_no_command_shows_the_help_and_is_usage():
    run = mailseal()
    assert run.returncode == Exit.USAGE
    assert b"Commands:" in run.stderr + run.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str):
    run = mailseal("completion", shell)
    assert run.returncode == 0
    assert b"_MAILSEAL_COMPLETE" in run.stdout


def test_bash_takes_its_completion():
    script = mailseal("completion", "bash").stdout.decode()
    run = subprocess.run(
        ["bash", "--norc", "-c", script + "\ncomplete -p mailseal"],
        capture_output=True, env=environment(), timeout=60,
    )  # fmt: skip
    assert b"-F _mailseal_completion mailseal" in run.stdout, run.stderr


@pytest.mark.parametrize(
    ("words", "wanted"),
    [("mailseal sc", b"plain,scan"), ("mailseal scan --prove-r", b"plain,--prove-remote")],
)
def test_what_completion_answers(words: str, wanted: bytes):
    env = {
        "_MAILSEAL_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    run = mailseal(env=env)
    assert wanted in run.stdout.splitlines()


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Puts a command `fail` into the table that raises."""

    @click.command("fail", epilog="Examples:")
    def fail() -> None:
        raise error

    monkeypatch.setitem(sys.modules, "mailseal.cli.fail", SimpleNamespace(command=fail))
    monkeypatch.setitem(commands.COMMANDS, "fail", commands.Entry("fail", "Fail."))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Stop(Exit.REFUSED, "not root: run it with sudo"), 6),
        (Stop(Exit.UNDO_FAILED, "could not be undone"), 5),
        (Stop(Exit.UNDONE, "undone"), 4),
        (ValueError("odd \x1b[2J"), 70),
        (RecursionError("deep"), 70),
        (KeyboardInterrupt(), 130),
        (EOFError(), 130),
        (click.UsageError("no"), 2),
        (click.FileError("x", "no"), 2),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_exit_codes_of_exceptions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error, code: int
):
    failing(monkeypatch, error)
    assert cli.main(["fail"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err
    assert "Traceback" not in err
    assert "\x1b" not in err


def test_a_fault_says_what_to_do_and_shows_itself_when_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    failing(monkeypatch, ValueError("odd"))
    cli.main(["fail"])
    first, second = capsys.readouterr().err.splitlines()
    assert first == "mailseal: a fault of mailseal: ValueError: odd"
    assert "MAILSEAL_DEBUG=1" in second
    monkeypatch.setenv("MAILSEAL_DEBUG", "1")
    assert cli.main(["fail"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_who_leaves_before_the_help_is_no_verdict():
    reader, writer = os.pipe()
    os.close(reader)
    try:
        run = subprocess.run(
            [*PROGRAM, "--help"],
            stdout=writer, stderr=subprocess.PIPE, env=environment(), timeout=60,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert (run.returncode, run.stderr) == (Exit.INCONCLUSIVE, b"")


def test_moments_sort_as_text():
    # rules.tls_certificate rests on it.
    moments = [rfc3339(seconds) for seconds in (0, 1, 999999999.999, 1e9, 4e9, 2e11)]
    assert moments == sorted(moments)
