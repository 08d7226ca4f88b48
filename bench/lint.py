"""Seconds to lint a tree of 2,000 Ansible and compose files: `mailseal lint` beside `ansible-lint`.

Strategy: a generated tree like those that teams keep: roles with tasks, handlers, defaults and
metadata, playbooks, group variables, compose files; every tenth role is about mail, and has faults.
Both lint the same tree in one run, each in a process of its own. They look for different things:
ansible-lint judges every task, mailseal reads those that are about mail.
"""

import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from bench.process import BenchError, measured
from bench.table import Table
from tests.export.programs import ansible, environment

FILES = 2000
FAULTY = 10
"""Every so many roles are about mail."""

_TASKS = """\
---
- name: Install {name}
  ansible.builtin.apt:
    name: {package}
    state: present
    update_cache: true

- name: Create the folder of {name}
  ansible.builtin.file:
    path: /etc/{name}
    state: directory
    owner: root
    group: root
    mode: "0755"

- name: Configure {name}
  ansible.builtin.copy:
    dest: /etc/{folder}/{name}.conf
    owner: root
    group: root
    mode: "0644"
    content: |
{content}
  notify: Restart {name}

- name: Start {name}
  ansible.builtin.systemd_service:
    name: {package}
    state: started
    enabled: true
"""
_HANDLERS = """\
---
- name: Restart {name}
  ansible.builtin.systemd_service:
    name: {package}
    state: restarted
"""
_DEFAULTS = """\
---
{name}_workers: 4
{name}_limits:
  files: 65536
  memory: 512M
{name}_allowed:
  - 192.0.2.0/24
  - 2001:db8::/32
"""
_META = """\
---
galaxy_info:
  author: operations
  description: Sets up {name}
  license: Apache-2.0
  min_ansible_version: "2.15"
  role_name: {name}
  namespace: example
dependencies: []
"""
_COMPOSE = """\
---
services:
  web:
    image: registry.example/{name}:1.2.3
    restart: unless-stopped
    environment:
      WORKERS: "4"
    ports:
      - "{port}:8080"
    volumes:
      - data:/var/lib/{name}
{mail}
volumes:
  data: {{}}
"""
_MAIL = """\
  mail:
    image: registry.example/mail:2.3
    ports:
      - "110:110"
"""
_PLAY = """\
---
- name: Set up the hosts of group {number}
  hosts: group{number}
  become: true
  roles:
{roles}
"""
_QUIET = "\n".join(f"      option_{number} = value" for number in range(12))
_STUNNEL = """\
      client = yes
      [pop2]
      accept = 110
      connect = localhost:995"""


def tree(folder: Path, files: int = FILES) -> int:
    """Writes the tree; how many of its files have faults."""
    faulty = 0
    for path, content, bad in islice(_files(), files):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
        faulty += bad
    return faulty


def _files() -> Iterator[tuple[str, str, bool]]:
    number = 0
    while True:
        number += 1
        bad = number % FAULTY == 0
        name = f"service{number}"
        words = {"name": name, "package": "stunnel4" if bad else f"package{number}"}
        content = _STUNNEL if bad else _QUIET
        own = {"content": content, "folder": "stunnel" if bad else name}
        yield f"roles/{name}/tasks/main.yml", _TASKS.format(**words, **own), bad
        yield f"roles/{name}/handlers/main.yml", _HANDLERS.format(**words), False
        yield f"roles/{name}/defaults/main.yml", _DEFAULTS.format(**words), False
        yield f"roles/{name}/meta/main.yml", _META.format(**words), False
        if bad:
            group = range(number - FAULTY + 1, number + 1)
            roles = "\n".join(f"    - role: service{each}" for each in group)
            yield f"group{number}.yml", _PLAY.format(number=number, roles=roles), False
        port = 20000 + number % 10000
        mail = _MAIL if bad else ""
        yield f"compose/{name}/compose.yml", _COMPOSE.format(name=name, port=port, mail=mail), bad


def run(rounds: int) -> Table:
    """Raises BenchError where one of them does not find what is there, or cannot be had."""
    try:
        peer = ansible() / "ansible-lint"
    except (AssertionError, OSError) as error:
        raise BenchError(f"ansible-lint cannot be installed: {str(error)[-300:]}") from None
    turns: dict[str, list[float]] = {"mailseal lint": [], "ansible-lint --offline": []}
    program = shutil.which("env") or "env"
    cpus = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory() as made:
        folder, home = Path(made) / "tree", Path(made) / "home"
        home.mkdir()
        faulty = tree(folder)
        settings = [f"{key}={value}" for key, value in environment(home).items()]
        lint = [program, "-i", f"--chdir={folder}", *settings, str(peer)]
        lint += ["--offline", "--nocolor", "--format", "quiet", "."]
        # It takes minutes: once is enough to stand beside ours.
        used = measured(lint, cpus, seconds=3600)
        turns["ansible-lint --offline"].append(used.wall)
        for _ in range(rounds):
            turns["mailseal lint"].append(_ours(folder, cpus, faulty))
    slow = statistics.median(turns["ansible-lint --offline"])
    rows = {
        name: (statistics.median(each), max(each), slow / statistics.median(each))
        for name, each in turns.items()
    }
    return Table(
        f"Linting {FILES} Ansible and compose files, {faulty} with faults, median of {rounds}",
        ("s", "worst s", "x as fast"),
        rows,
        ("Wall clock, start of the program included. Limit: ten times as fast as ansible-lint.",),
    )


def _ours(folder: Path, cpus: set[int], faulty: int) -> float:
    """Raises BenchError where not all faulty files were found."""
    used = measured([sys.executable, "-m", "mailseal", "lint", str(folder)], cpus, 1)
    found = {line.split(":", 1)[0] for line in used.output.splitlines() if "/" in line[:1]}
    if len(found) != faulty:
        raise BenchError(f"mailseal lint found faults in {len(found)} of {faulty} files")
    return used.wall
