"""The HTML report in a real browser, Debian's chromium: it is shown, and it asks for nothing."""

import json
import os
import re
import shutil
import struct
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from mailseal.report import statushtml
from tests.report.make import HOSTILE
from tests.report.status import status

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

# What the browser asks for by itself goes to a proxy that is not there: nothing leaves the machine.
QUIET = (
    "--headless --disable-gpu --no-first-run --disable-background-networking --hide-scrollbars "
    "--disable-component-update --enable-logging=stderr --proxy-server=127.0.0.1:9 "
    "--no-pdf-header-footer"
).split()
DARK = "--blink-settings=preferredColorScheme=0"


class Seen(NamedTuple):
    """What it drew, what it wrote to its console, and what the page asked for beyond itself."""

    drawn: bytes
    console: list[str]
    asked: list[str]


def look(page: Path, *arguments: str, shot: str = "screenshot") -> Seen:
    """Opens a file in a browser of its own, to the end."""
    folder = page.parent
    made = folder / ("drawn.png" if shot == "screenshot" else "drawn.pdf")
    log = folder / "net.json"
    assert CHROMIUM is not None
    command = [CHROMIUM, *QUIET, f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}"]
    if os.geteuid() == 0:
        command.append("--no-sandbox")  # It refuses to start as root otherwise.
    command += [*arguments, f"--{shot}={made}", page.as_uri()]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert made.exists(), run.stderr
    net = json.loads(log.read_text())
    started = net["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    events = [each.get("params", {}) for each in net["events"] if each["type"] == started]
    requests = [each for each in events if "url" in each]
    return Seen(
        drawn=made.read_bytes(),
        console=re.findall(r"CONSOLE.*", run.stderr),
        # Requests of the browser itself come from no page.
        asked=[each["url"] for each in requests if each.get("initiator") != "not an origin"],
    )


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    path.write_text("\n".join(statushtml.lines(status(HOSTILE))), encoding="utf-8")
    return path


def test_a_page_that_asks_and_complains_is_noticed(tmp_path: Path):
    page = tmp_path / "x.html"
    page.write_text("<img src='http://192.0.2.1/x.png'><script>console.error('x')</script>")
    seen = look(page)
    assert seen.asked == ["http://192.0.2.1/x.png"]
    assert len(seen.console) == 1


@pytest.mark.parametrize(
    ("arguments", "size"),
    [(("--window-size=1200,900",), (1200, 900)), (("--window-size=390,844", DARK), (390, 844))],
    ids=["desktop", "a phone in the dark"],
)
def test_it_is_drawn_without_a_complaint_or_a_request(page: Path, arguments, size):
    seen = look(page, *arguments)
    assert (seen.console, seen.asked) == ([], [])
    assert seen.drawn.startswith(b"\x89PNG")
    assert struct.unpack(">II", seen.drawn[16:24]) == size


def test_light_and_dark_differ(page: Path):
    assert look(page).drawn != look(page, DARK).drawn


def test_it_prints(page: Path):
    seen = look(page, shot="print-to-pdf")
    assert (seen.console, seen.asked) == ([], [])
    assert seen.drawn.startswith(b"%PDF-")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", seen.drawn)) <= 6
