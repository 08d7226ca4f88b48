"""The trial: the real stunnel with the real configuration, before anything is switched.

stunnel has no option to check a configuration, and a certificate that loads may still not verify.
So the real options, with one free loopback port for a listener, are started under
the very unit that will run it (another instance of the same template: same user, same hardening),
and the service's greeting is taken through it.
"""

from __future__ import annotations

import random
from typing import Callable, Optional

from mailseal.model.ops import TryTerminator
from mailseal.system import units
from mailseal.system.base import Meta, System

Greets = Callable[[str, int, str, str, str], Optional[str]]
"""`greets(address, port, name, authority, protocol)`: None where the service's own greeting is read
inside TLS with a certificate that verifies, else the reason. Handed in: this room does not look."""

PORTS = range(49152, 60999)
_SECONDS = 10.0


def run(system: System, op: TryTerminator, meta: Meta, greets: Greets) -> str:
    """Empty text where the greeting came through; else what went wrong. Leaves nothing running.
    `meta` is for the configuration.
    """
    clean(system, op)
    port = free_port(system)
    content = op.content.replace(op.PORT, b"%d" % port)
    try:
        system.write(op.path, content, meta)
        done = units.act(system, op.unit, "start")
        if not done.ok:
            return "stunnel does not start with the planned options: " + done.words()
        return _wait(system, op, port, greets)
    finally:
        clean(system, op)


def _wait(system: System, op: TryTerminator, port: int, greets: Greets) -> str:
    for _ in range(int(_SECONDS / 0.1)):
        if any(listener.port == port for listener in system.listeners()):
            problem = greets("127.0.0.1", port, op.name, op.authority, op.protocol)
            return "through the trial's TLS: " + problem if problem else ""
        state = units.state(system, op.unit)
        if state.active == "failed":
            break
        system.sleep(0.1)
    said = units.last_words(system, op.unit)
    return "stunnel does not listen with the planned options" + said


def clean(system: System, op: TryTerminator) -> None:
    """Stops the trial and removes its configuration; may be done at any time, and twice."""
    if units.state(system, op.unit).active not in ("inactive", ""):
        units.act(system, op.unit, "stop")
        units.forget_failure(system, op.unit)
    system.remove(op.path)


def free_port(system: System) -> int:
    """A loopback port that nobody listens on, drawn so that nobody can lie in wait for it."""
    taken = {listener.port for listener in system.listeners()}
    for _ in range(100):
        port = random.SystemRandom().choice(PORTS)
        if port not in taken:
            return port
    raise OSError("no free loopback port")
