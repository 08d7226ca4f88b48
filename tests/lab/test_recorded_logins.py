"""Sessions recorded in the lab (`python -m lab record-logins tests/lab/recorded`) are read again
without it: packets and logs still show what was done, login by login.
"""

from pathlib import Path

import pytest

from lab.sessions import KITS
from lab.truth import LOGS, WIRE, between, disagreements, read
from tests.lab.listing import listed

FOLDER = Path(__file__).with_name("recorded")

pytestmark = pytest.mark.slow


def test_there_is_a_session_with_each_daemon():
    assert {path.stem for path in FOLDER.glob("*.pcap")} == set(KITS)


@pytest.mark.parametrize("name", KITS)
def test_packets_and_log_show_what_was_done(name: str):
    truths, secrets = read((FOLDER / f"{name}.truth.json").read_text())
    wire = listed(secrets, "wire", str(FOLDER / f"{name}.pcap"))
    logs = listed(secrets, "logs", "--zone", "UTC", str(FOLDER / f"{name}.log"))
    wrong = [
        *disagreements(truths, wire, WIRE),
        *disagreements(truths, logs, LOGS[name]),
        *between(logs, wire, LOGS[name]),
    ]
    assert not wrong, "\n".join(wrong)
