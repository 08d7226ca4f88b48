"""ansible-playbook and ansible-lint, in an environment of their own.

Strategy: installed once for each content of requirements/ansible.txt, into the folder where the lab
keeps what it builds. They are programs under another licence: run, and never imported.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from lab.images import cache_directory

_LOCKED = Path(__file__).parents[2] / "requirements" / "ansible.txt"


@functools.cache
def ansible() -> Path:
    """The folder of the programs."""
    made_from = hashlib.sha256(_LOCKED.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = cache_directory() / f"ansible-{made_from}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    whole = folder / "whole"
    with (folder.parent / "ansible.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            _run(sys.executable, "-m", "venv", "--clear", str(folder))
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
            _run(*pip, "--no-deps", "--require-hashes", "-r", str(_LOCKED))
            whole.touch()
    return folder / "bin"


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def environment(home: Path) -> dict[str, str]:
    """What Ansible is to be run with: nothing of this user's settings, nothing left outside."""
    return {
        "PATH": f"{ansible()}:{os.environ['PATH']}",
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_HOME": str(home / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_NOCOWS": "1",
        "ANSIBLE_HOST_KEY_CHECKING": "0",
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_REMOTE_TEMP": "/tmp/ansible",
        "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
    }
