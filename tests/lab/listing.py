"""What `mailseal wire` and `mailseal logs` list, without a password in any of their forms.

Strategy: the commands are run as their users run them, once for each form of the results; whatever
a form prints is searched for the passwords of the session.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from lab.truth import leaks

FORMS = ("json", "ndjson", "csv", "text")


def listed(secrets: Sequence[str], *words: str) -> dict[str, Any]:
    """The JSON document of `mailseal WORDS`."""
    said = {}
    for form in FORMS:
        command = [sys.executable, "-m", "mailseal", *words, "--format", form]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode in (0, 1, 3), done.stderr
        assert leaks(secrets, done.stdout + done.stderr) == [], words
        said[form] = done.stdout
    document: dict[str, Any] = json.loads(said["json"])
    return document
