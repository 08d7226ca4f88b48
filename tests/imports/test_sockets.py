"""Lists of sockets of five systems: who listens for others, told by the shape of the lines."""

import pytest

from mailseal.imports.base import Options
from tests.imports.common import OPTIONS, SAMPLES, items, left, said, whole

LINK = "listens for its own link alone"
ITSELF = "listens for the host itself alone"
LISTS = [name for name in SAMPLES if name.endswith(".txt")]


@pytest.mark.parametrize(
    ("name", "places", "reasons"),
    [
        (
            "netstat-linux.txt",
            ["192.0.2.7:110", "192.0.2.7:109", "192.0.2.7:143", "[2001:db8::7]:143",
             "[2001:db8::7]:110", "192.0.2.7:993"],
            [ITSELF, ITSELF],
        ),
        (
            "netstat-bsd.txt",
            ["192.0.2.7:110", "[2001:db8::7]:110", "192.0.2.7:143", "[2001:db8::7]:143",
             "192.0.2.7:109"],
            [ITSELF, LINK],
        ),
        (
            "netstat-solaris.txt",
            ["192.0.2.7:110", "[2001:db8::7]:110", "192.0.2.7:109"],
            [ITSELF],
        ),
        (
            "netstat-windows-de.txt",
            ["192.0.2.7:110", "192.0.2.7:109", "192.0.2.7:143", "[2001:db8::7]:143",
             "[2001:db8::7]:110"],
            [ITSELF, ITSELF],
        ),
        (
            "ss.txt",
            ["192.0.2.7:110", "192.0.2.7:109", "192.0.2.7:143", "[2001:db8::7]:143",
             "192.0.2.7:995", "[2001:db8::7]:995", "[2001:db8::7]:110"],
            [ITSELF, LINK],
        ),
    ],
)  # fmt: skip
def test_who_listens(name: str, places: list[str], reasons: list[str]):
    got = whole(name)
    assert [(place, says) for place, says, *_ in said(got)] == [(p, "listens") for p in places]
    assert left(got) == [(reason, False) for reason in reasons]


def test_every_system_has_its_sample():
    assert len(LISTS) == 5


@pytest.mark.parametrize("name", LISTS)
def test_a_wildcard_needs_the_address_of_the_host(name: str):
    _, fault = items([SAMPLES[name]], Options())
    assert fault is not None
    assert "port 110 listens on every address" in str(fault)
    assert "--host ADDRESS" in fault.advice
    assert fault.place.startswith("line ")


def test_an_ipv4_wildcard_needs_an_ipv4_address():
    _, fault = items([SAMPLES["ss.txt"]], Options(hosts=("2001:db8::7",)))
    assert fault is not None
    assert "an IPv4 address" in fault.advice


def test_other_ports_ask_for_nothing():
    got, fault = items([SAMPLES["ss.txt"]], Options(ports=(53,)))
    assert (said(got), left(got), fault) == ([], [(ITSELF, False)], None)


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("LISTEN 0 128 192.0.2.7:110 0.0.0.0:*", "192.0.2.7:110"),
        ("tcp   LISTEN 0 128 192.0.2.7:110 0.0.0.0:*", "192.0.2.7:110"),
        ("tcp        0      0 192.0.2.7:110 0.0.0.0:* OUVERT", "192.0.2.7:110"),
        ("tcp46      0      0  192.0.2.7.110   *.*   LISTEN", "192.0.2.7:110"),
        ("  TCP    192.0.2.7:110   0.0.0.0:0   侦听", "192.0.2.7:110"),
    ],
)
def test_lines_by_themselves(line: str, place: str):
    (found,) = said(items([line.encode()])[0])
    assert found[0] == place


@pytest.mark.parametrize("line", ["tcp 0 0 *:pop3 *:* LISTEN", "LISTEN 0 5 *:pop-3 *:*"])
def test_names_in_place_of_numbers_are_sent_back(line: str):
    _, fault = items([line.encode()])
    assert fault is not None
    assert "-n" in fault.advice


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
@pytest.mark.parametrize("size", [1, 3, 10_000])
def test_what_powershell_writes_is_read(encoding: str, size: int):
    data = SAMPLES["netstat-windows-de.txt"].decode("cp850").encode(encoding)
    got, fault = items([data[at : at + size] for at in range(0, len(data), size)])
    assert fault is None
    assert said(got) == said(whole("netstat-windows-de.txt"))


def test_what_is_cut_off_is_counted_and_not_guessed():
    got, _ = items([b"tcp6 0 0 2001:db8:1:2:3.110 *.* LISTEN\n"])
    ((reason, _),) = left(got)
    assert "-W" in reason


def test_a_line_without_end_is_refused():
    endless = (b"tcp " + b"x" * 65536 for _ in range(3200))
    _, fault = items(endless)
    assert fault is not None
    assert "line 1: a line of more than 4096 characters" in str(fault)


def test_what_is_no_list_is_said_to_be_none():
    _, fault = items([b"hello\n"], OPTIONS, "sockets")
    assert fault is not None
    assert "looks like a list of sockets" in str(fault)
