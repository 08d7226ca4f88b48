"""The writable disk of a host: in memory, or a real file system that can lose power.

Strategy: a host's root is an overlay of the read-only image and one writable folder.  A durable
disk keeps that folder on an ext4 file system in a loop device.  A process killed with SIGKILL
leaves its unsynced writes in the page cache, so it says nothing about power loss; here the file
system itself is shut down without flushing its log (EXT4_IOC_SHUTDOWN), which drops whatever was
not synced.  The mount options take away what ext4 does to spare careless programs, so a missing
fsync shows.
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from lab.enclosure import RUN, Enclosure
from lab.images import LabError

_SIZE = "1G"  # sparse: takes what is written
_IOC_SHUTDOWN = 0x8004587D  # linux/fs: _IOR('X', 125, __u32)
_NOLOGFLUSH = 2
_OPTIONS = "loop,noauto_da_alloc,commit=600,noinit_itable"
_RELEASE_SECONDS = 10.0


class Disk:
    """The root file system of the host ``name``: mounted, unmounted or cut off."""

    def __init__(
        self, enclosure: Enclosure, name: str, layers: Sequence[Path], durable: bool
    ) -> None:
        self.durable = durable
        self.folder = f"{RUN}/{name}"
        self.root = f"{self.folder}/root"
        self._enclosure = enclosure
        self._layers = layers
        self._device = ""
        for path in (self.folder, self.root, self._writable):
            enclosure.path(path).mkdir()
        if durable:
            enclosure.run(["truncate", "--size", _SIZE, self._file])
            enclosure.run(["mkfs.ext4", "-q", self._file])

    @property
    def _file(self) -> str:
        return f"{self.folder}/disk.ext4"

    @property
    def _writable(self) -> str:
        return f"{self.folder}/disk"

    def mount(self) -> None:
        """Make the root file system available, checked and replayed first where it is durable."""
        if self.durable:
            self._enclosure.run(["mount", "-o", _OPTIONS, self._file, self._writable])
            listing = self._enclosure.run(["losetup", "--associated", self._file])
            self._device = listing.partition(":")[0].rpartition("/")[2]
        for name in ("upper", "work"):
            self._enclosure.path(f"{self._writable}/{name}").mkdir(exist_ok=True)
        options = f"lowerdir={':'.join(map(str, self._layers))}"
        options += f",upperdir={self._writable}/upper,workdir={self._writable}/work"
        self._enclosure.run(["mount", "-t", "overlay", "-o", options, "overlay", self.root])

    def sync(self) -> None:
        """Put everything written so far on the disk."""
        self._enclosure.run(["sync", "--file-system", self.root])

    def cut(self) -> None:
        """Take the power away: what was not synced is lost; nothing can be written any more."""
        if not self.durable:
            raise LabError("only a host made with durable=True can lose power")
        handle = os.open(self._enclosure.path(self._writable), os.O_RDONLY)
        try:
            fcntl.ioctl(handle, _IOC_SHUTDOWN, struct.pack("I", _NOLOGFLUSH))
        finally:
            os.close(handle)

    def recover(self) -> None:
        """After ``cut``, with nothing running on it any more: replay the log, check, mount."""
        self._enclosure.run(["umount", self.root])
        self._enclosure.run(["umount", self._writable])
        self._wait_released()
        # 1: errors were corrected, which is what replaying the log is.
        command = self._enclosure.argv(["e2fsck", "-f", "-p", self._file])
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if done.returncode > 1:
            raise LabError(f"the disk did not survive the power loss: {done.stdout}{done.stderr}")
        self.mount()

    def _wait_released(self) -> None:
        """The kernel gives the loop device up when the last namespace that saw it is gone."""
        backing = Path(f"/sys/block/{self._device}/loop/backing_file")
        deadline = time.monotonic() + _RELEASE_SECONDS
        while backing.exists() and backing.read_text().strip().endswith(self._file):
            if time.monotonic() > deadline:
                raise LabError(f"/dev/{self._device} is still busy: something holds {self._file}")
            time.sleep(0.005)
