"""A simulated Debian host, to try every crash point of a run in milliseconds.

This is also where it is written down what we assume of a host. The assumptions that matter:

* A `System` verb is atomic and durable: after a kill or a power loss it happened or it did not. A
  killed write may leave its temporary file; a killed append may leave the first half of its bytes.
* What *programs* write (openssl) is not synced: a power loss leaves such files empty, until the
  same bytes are written again through `write`.
* systemd knows units as of the last daemon-reload. Starting a service of Type=simple is success
  even if the daemon dies at once; a taken port makes stunnel fail and inetd skip the entry.
* A reboot drops /run, transient units and every process, then starts what a `*.wants` directory
  names, in the order of After= and Before=.
* The clock moves only when somebody waits (`sleep`, `advance`).

`machine` is the whole of it, on top of `files` (the disk), `manager` and `units` (systemd),
`programs` and `daemons`; `debian` is what is installed, `faults` is what may go wrong. For tests
alone: the agent does not carry it to a host.
"""

from mailseal.system.memory.daemons import Bind
from mailseal.system.memory.debian import AVAILABLE, Package
from mailseal.system.memory.faults import Fault, Killed, Point, disk_full_at, kill_at
from mailseal.system.memory.machine import MemorySystem, Snapshot
from mailseal.system.memory.units import seconds

__all__ = [
    "AVAILABLE",
    "Bind",
    "Fault",
    "Killed",
    "MemorySystem",
    "Package",
    "Point",
    "Snapshot",
    "disk_full_at",
    "kill_at",
    "seconds",
]
