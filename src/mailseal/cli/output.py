"""Where results go: stdout or a file, and what becomes of a reader who leaves.

Strategy: commands write lines to an `Output` and never print. A file is not overwritten unless that
was asked for, and only its owner can read it: results name hosts and users. It comes about whole or
not at all, so that what it replaces outlives a full disk; results that are streamed as they come
are written in place. A closed pipe is no fault: it raises `ReaderGone`, which a command takes as
"stop".
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import re
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, TextIO, TypeVar

import click

from mailseal import __version__
from mailseal.cli.exits import Exit, Stop
from mailseal.report.result import FailOn
from mailseal.report.style import PLAIN, Style
from mailseal.report.writer import Run, Writer

F = TypeVar("F", bound=Callable[..., Any])


class ReaderGone(Exception):
    """Nobody reads the results any more."""


class Output:
    """Lines to a stream, each on its way when `line` returns."""

    def __init__(self, stream: TextIO, style: Style) -> None:
        self._stream = stream
        self.style = style

    def line(self, text: str) -> None:
        """Writes one line. Raises ReaderGone; Stop where the disk is full."""
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except BrokenPipeError:
            self._to_nowhere()
            raise ReaderGone from None
        except OSError as error:
            self._to_nowhere()
            raise Stop(Exit.USAGE, f"the results cannot be written: {error.strerror}") from None

    def _to_nowhere(self) -> None:
        """What could not be written is tried once more when the stream is closed: let that go."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


@contextlib.contextmanager
def opened(path: str | None, overwrite: bool, *, streamed: bool = False) -> Iterator[Output]:
    """stdout, or the file `path`; `streamed`: what was written stays, however it ends. Raises Stop
    where it exists or cannot be written.
    """
    if path is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # What the locale has no letter for is shown by its number; it is no fault.
            sys.stdout.reconfigure(errors="backslashreplace")
        yield Output(sys.stdout, terminal_style(sys.stdout))
        return
    here = streamed or (os.path.lexists(path) and not os.path.isfile(path))  # A device, a pipe.
    with (_in_place if here else _whole)(path, overwrite) as stream:
        yield Output(stream, PLAIN)


@contextlib.contextmanager
def _in_place(path: str, overwrite: bool) -> Iterator[TextIO]:
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if overwrite else os.O_EXCL)
    with _told(path):
        descriptor = os.open(path, flags, 0o600)
    with _text(descriptor) as stream:
        _lock(descriptor, path)
        yield stream


@contextlib.contextmanager
def _whole(path: str, overwrite: bool) -> Iterator[TextIO]:
    """A file beside it that takes its place at the end, with the mode of what was there."""
    where = os.path.realpath(path)
    with _told(path):
        if not overwrite and os.path.lexists(where):
            raise FileExistsError
        descriptor, beside = tempfile.mkstemp(prefix=".mailseal-", dir=os.path.dirname(where))
    try:
        with _text(descriptor) as stream:
            yield stream
            with _told(path):
                if os.path.lexists(where):
                    os.fchmod(descriptor, stat.S_IMODE(os.stat(where).st_mode))
                os.fsync(descriptor)
        with _told(path):
            (os.replace if overwrite else _renamed)(beside, where)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
    """Says why a file cannot be written, as Stop."""
    try:
        yield
    except FileExistsError:
        words = f"{path} exists: choose another name, or give --overwrite"
        raise Stop(Exit.USAGE, words) from None
    except OSError as error:
        raise Stop(Exit.USAGE, f"{path} cannot be written: {error.strerror}") from None


def _renamed(beside: str, where: str) -> None:
    """Refuses what is there, in one step where the file system knows links."""
    try:
        os.link(beside, where)
    except FileExistsError:
        raise
    except OSError:
        if os.path.lexists(where):
            raise FileExistsError from None
        os.rename(beside, where)


def _text(descriptor: int) -> TextIO:
    return open(descriptor, "w", encoding="utf-8", errors="backslashreplace")


def write_folder(folder: str, files: Sequence[tuple[str, int, bytes]], overwrite: bool) -> None:
    """Files (relative name, mode, content) in a folder, which is made for its owner alone where it
    is not there. Raises Stop where one exists or cannot be written; what exists is looked for
    before anything is written.
    """
    there = [name for name, _, _ in files if os.path.lexists(os.path.join(folder, name))]
    if there and not overwrite:
        path = os.path.join(folder, there[0])
        raise Stop(Exit.USAGE, f"{path} exists: choose another folder, or give --overwrite")
    try:
        for name, mode, content in files:
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            if overwrite and os.path.lexists(path):
                os.unlink(path)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb") as stream:
                os.fchmod(descriptor, mode)
                stream.write(content)
    except OSError as error:
        words = f"{error.filename or folder} cannot be written: {error.strerror}"
        raise Stop(Exit.USAGE, words) from None


def writer(form: str, out: Output, fail_on: FailOn) -> Writer:
    """A writer of results in one of the forms of `report.forms`. Raises as `Output.line` does."""
    from mailseal.report.forms import FORMS

    return FORMS[form](Run(out.line, __version__, time.time, out.style, fail_on, page_of("rules")))


def page_of(room: str) -> Callable[[str], str]:
    """The documentation of a room's rules; docs/ROOM stands inside the package as ROOM/pages."""

    def page(rule: str) -> str:
        from importlib.resources import files

        # A record may come from elsewhere, and name what it likes.
        if not re.fullmatch(r"[a-z0-9-]+", rule):
            return ""
        file = files("mailseal").joinpath(room, "pages", f"{rule}.md")
        return file.read_text(encoding="utf-8") if file.is_file() else ""

    return page


@contextlib.contextmanager
def taken_up(path: str, read: Callable[[BinaryIO], None]) -> Iterator[Output]:
    """The file `path`, new or not: `read` gets it first, and leaves it where the results go on.
    Raises Stop where it cannot be used, or another process writes it.
    """
    try:
        with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as stream:
            _lock(stream.fileno(), path)
            read(stream)
            lines = io.TextIOWrapper(stream, "utf-8", "backslashreplace")
            yield Output(lines, PLAIN)
            lines.close()
    except OSError as error:
        words = f"{path} cannot be taken up: {error.strerror or error}"
        raise Stop(Exit.USAGE, words) from None


def _lock(descriptor: int, path: str) -> None:
    """Keeps the file to this process until it ends, however it ends."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        words = f"{path} is being written by another scan: wait for it, or choose another name"
        raise Stop(Exit.USAGE, words) from None
    except OSError:
        pass  # A device, or a file system without locks: nothing to take up there either.


def terminal_style(stream: TextIO) -> Style:
    """Colour on a terminal alone, and never with NO_COLOR (https://no-color.org) or TERM=dumb."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Style(wanted and stream.isatty())


class Progress:
    """One line on stderr that is written over, on a terminal alone; `clear` before other output."""

    INTERVAL = 0.1
    """Seconds between two writings."""

    def __init__(self, now: Callable[[], float], stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._now = now
        self._next = 0.0
        self._shown = False
        self._live = self._stream.isatty() and os.environ.get("TERM") != "dumb"

    def show(self, text: str) -> None:
        """Shows how far it is, not too often."""
        if self._live and self._now() >= self._next:
            self._next = self._now() + self.INTERVAL
            self._shown = True
            self._stream.write("\r" + text + "\x1b[K")
            self._stream.flush()

    def clear(self) -> None:
        """Takes the line away."""
        if self._shown:
            self._shown = False
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def output_options(*formats: str) -> Callable[[F], F]:
    """The options `--format`, `-o` and `--overwrite`; the first format is the default."""

    def decorate(function: F) -> F:
        for option in (
            click.option("--overwrite", is_flag=True, help="Let -o replace a file."),
            click.option("-o", "--output", metavar="FILE", help="Write the results there."),
            click.option(
                "--format",
                "form",
                type=click.Choice(formats),
                default=formats[0],
                show_default=True,
                help="Form of the results.",
            ),
        ):
            function = option(function)
        return function

    return decorate
