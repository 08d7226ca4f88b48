"""Files as they lie about: plain, compressed, or stdin, as blocks of what is in them.

Strategy: what a file is shows in its first octets, never in its name. Every format goes through one
loop over decoders that give bounded portions, so a few octets that claim to be gigabytes take no
memory. Whatever goes wrong is one exception in the operator's words, raised after all that could be
read.
"""

from __future__ import annotations

import bz2
import lzma
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

from mailseal.workflow import BadInput

SIZE = 1 << 18
"""Octets of a block: what fits into a processor's cache."""
WINDOW = 1 << 27
"""Octets that a decoder may ask for: twice what `xz -9` needs, as much as `zstd --long`."""
STDIN = "-"
_PORTION = 1 << 16
_ZSTD_PORTION = 1 << 10
"""Octets of zstd at a time, whose decoder knows no bound: 4 octets become 128 KiB at most."""


class CannotRead(BadInput):
    """A file cannot be read, or not to its end. `str()` names it and says what to do."""


def name_of(path: str) -> str:
    """The path for people."""
    return "stdin" if path == STDIN else path


def blocks(path: str, size: int = SIZE) -> Iterator[bytes]:
    """The content of a file (gzip, xz, zstd, bzip2, or plain; "-" is stdin) in blocks of about
    `size` octets, none of them empty. Raises CannotRead, after what stands before the fault.
    """
    try:
        # Descriptor 0 rather than sys.stdin: that one is missing where a caller closed it.
        with open(0 if path == STDIN else path, "rb", 0, closefd=path != STDIN) as raw:
            there = os.fstat(raw.fileno())
            yield from _content(raw, size)
            if stat.S_ISREG(there.st_mode) and os.fstat(raw.fileno()).st_size < there.st_size:
                raise CannotRead(
                    f"{name_of(path)} became shorter while it was read: something may be missing; "
                    "read it again"
                )
    except OSError as error:
        raise CannotRead(f"{name_of(path)} cannot be read: {error.strerror}") from None
    except _Damaged as error:
        raise CannotRead(f"{name_of(path)}: {error}; what stands before was read") from None


class _Damaged(Exception):
    """Compressed content that cannot be read on."""


def _content(raw: BinaryIO, size: int) -> Iterator[bytes]:
    head = b""
    while len(head) < _MAGIC and (more := raw.read(size)):
        # A pipe gives as little as it likes.
        head += more
    for magic, (decoder, portion) in _DECODERS.items():
        if head.startswith(magic):
            yield from _decoded(raw, head, decoder, portion, size)
            return
    while head:
        yield head
        head = raw.read(size)


class _Decoder(Protocol):
    """One compressed stream: what `lzma` and `bz2` have."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...


def _decoded(
    raw: BinaryIO, data: bytes, make: Callable[[], _Decoder], portion: int, size: int
) -> Iterator[bytes]:
    """The streams of a file, one behind the other; zeros between them are padding."""
    held = data

    def more() -> bytes:
        nonlocal held
        held = held or raw.read(size)
        now, held = held[:portion], held[portion:]
        return now

    while rest := held.lstrip(b"\0") or raw.read(size):
        held = rest
        if not held.lstrip(b"\0"):
            continue
        decoder = make()
        while not decoder.eof:
            data = more() if decoder.needs_input else b""
            if not data and decoder.needs_input:
                raise _Damaged("its compressed content is cut off: fetch it again whole")
            try:
                block = decoder.decompress(data, size)
            except Exception as error:
                # Each decoder has exceptions of its own, and several.
                words = f"its compressed content is damaged, or needs over {WINDOW >> 20} MiB"
                raise _Damaged(f"{words} ({error}): decompress it and give that") from None
            if block:
                yield block
        held = decoder.unused_data + held


class _Zlib:
    """zlib's decoder with the manners of the others."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._full = False

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        block = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        # A full block may not be all that the octets taken amount to.
        self._full = len(block) == max_length
        return block

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._full and not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data


class _Zstd:
    """zstandard's decoder with the manners of the others; it takes no bound."""

    needs_input = True

    def __init__(self) -> None:
        # Loaded where a file needs it: few do.
        import zstandard

        self._inner = zstandard.ZstdDecompressor(max_window_size=WINDOW).decompressobj()

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return self._inner.decompress(data)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data


def _lzma() -> _Decoder:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=WINDOW)


_DECODERS: dict[bytes, tuple[Callable[[], _Decoder], int]] = {
    b"\x1f\x8b": (_Zlib, _PORTION),
    b"\xfd7zXZ\0": (_lzma, _PORTION),
    b"\x28\xb5\x2f\xfd": (_Zstd, _ZSTD_PORTION),
    b"BZh": (bz2.BZ2Decompressor, _PORTION),
}
_MAGIC = max(map(len, _DECODERS))
