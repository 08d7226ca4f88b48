"""Plain and compressed files read as one, by their content; what is wrong with them, in words."""

import bz2
import gzip
import lzma
import os
import tempfile
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from mailseal.workflow import BadInput, opened

FORMS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "xz": lzma.compress,
    # zstd(1) writes a checksum unless told not to.
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
    "bzip2": bz2.compress,
}
COMPRESSED = [name for name in FORMS if name != "plain"]
LINE = b"Nov 21 08:40:20 mail dovecot: imap-login: Login: user=<alice>\n"


def put(folder: Path, data: bytes) -> str:
    path = folder / "log"
    path.write_bytes(data)
    return str(path)


def read(path: str, size: int = opened.SIZE) -> tuple[bytes, str]:
    """What was read, and the fault in words."""
    parts = []
    try:
        for block in opened.blocks(path, size):
            assert block
            parts.append(block)
    except opened.CannotRead as error:
        return b"".join(parts), str(error)
    return b"".join(parts), ""


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [1, 7, 4096, opened.SIZE])
def test_a_file_is_known_by_its_content(form: str, size: int, tmp_path: Path):
    data = LINE * 100
    assert read(put(tmp_path, FORMS[form](data)), size) == (data, "")


@pytest.mark.parametrize("form", FORMS)
def test_pieces_behind_each_other_are_one_file(form: str, tmp_path: Path):
    made = FORMS[form]
    padding = b"" if form == "plain" else bytes(8)
    path = put(tmp_path, made(LINE) + padding + made(b"") + made(LINE * 3) + padding)
    assert read(path) == (LINE * 4, "")


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_file_has_no_blocks(form: str, tmp_path: Path):
    assert read(put(tmp_path, FORMS[form](b""))) == (b"", "")
    assert read(put(tmp_path, b"")) == (b"", "")


@pytest.mark.parametrize("form", COMPRESSED)
def test_a_cut_file_gives_what_stands_before_the_cut(form: str, tmp_path: Path):
    data = os.urandom(300_000)
    whole = FORMS[form](data)
    for end in (8, len(whole) // 2, len(whole) - 1):
        got, fault = read(put(tmp_path, whole[:end]))
        assert data.startswith(got)
        assert "its compressed content is cut off: fetch it again whole" in fault
        assert str(tmp_path) in fault


@pytest.mark.parametrize("form", COMPRESSED)
def test_a_damaged_file_says_so(form: str, tmp_path: Path):
    whole = bytearray(FORMS[form](os.urandom(300_000)))
    whole[len(whole) // 2] ^= 0x40
    _, fault = read(put(tmp_path, bytes(whole)))
    assert "damaged" in fault


@pytest.mark.parametrize("form", COMPRESSED)
def test_rubbish_behind_a_compressed_file_is_damage(form: str, tmp_path: Path):
    got, fault = read(put(tmp_path, FORMS[form](LINE) + b"rubbish behind it"))
    assert got == LINE
    assert fault


@pytest.mark.parametrize("form", COMPRESSED)
def test_a_bomb_takes_no_memory(form: str, tmp_path: Path):
    size = 0
    path = put(tmp_path, FORMS[form](bytes(200_000_000)))
    tracemalloc.start()
    try:
        for block in opened.blocks(path):
            size += len(block)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size == 200_000_000
    assert peak < 100_000_000


def test_a_dictionary_beyond_measure_is_refused(tmp_path: Path):
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 29}]
    data = lzma.compress(LINE, filters=filters)
    _, fault = read(put(tmp_path, data))
    assert "needs over 128 MiB" in fault
    assert "decompress it and give that" in fault


def test_what_cannot_be_opened_is_named(tmp_path: Path):
    assert read(str(tmp_path / "none"))[1].endswith(
        "none cannot be read: No such file or directory"
    )
    assert read(str(tmp_path))[1].endswith("cannot be read: Is a directory")
    assert issubclass(opened.CannotRead, BadInput)


def test_a_file_that_shrinks_while_it_is_read_is_a_fault(tmp_path: Path):
    path = put(tmp_path, LINE * 100)
    blocks = opened.blocks(path, 100)
    next(blocks)
    os.truncate(path, 150)
    with pytest.raises(opened.CannotRead, match="became shorter while it was read"):
        list(blocks)


def test_a_pipe_that_gives_octets_one_by_one(tmp_path: Path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    data = lzma.compress(LINE)

    def write() -> None:
        with open(path, "wb", 0) as stream:
            for octet in data:
                stream.write(bytes([octet]))

    writer = threading.Thread(target=write)
    writer.start()
    assert read(str(path)) == (LINE, "")
    writer.join()


@given(st.sampled_from([FORMS[name](LINE)[:12] for name in FORMS]), st.binary())
def test_any_octets_behind_any_beginning(beginning: bytes, rest: bytes):
    with tempfile.NamedTemporaryFile() as file:
        file.write(beginning + rest)
        file.flush()
        _, fault = read(file.name, 100)
    assert fault == "" or "content is" in fault
