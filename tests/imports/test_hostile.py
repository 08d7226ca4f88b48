"""Reports that mean harm, or met some: no crash, no hang, bounded memory, and a fault that says
where; what stood before it has been given.
"""

import time
import tracemalloc
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal import imports
from mailseal.imports import FORMATS, base, markup
from mailseal.imports.base import LeftOut
from mailseal.model.codec import dumps
from mailseal.model.reported import Reported
from tests.imports.common import OPTIONS, SAMPLES, items, said, whole

MIB = 1 << 20
XML = {"nessus": "scan.nessus", "openvas": "gvm.xml", "nmap": "nmap.xml"}
ROOTS = {"nessus": b"NessusClientData_v2", "openvas": b"report", "nmap": b"nmaprun"}
KILO64 = b"x" * 65536


def in_bounds(item: Reported | LeftOut) -> bool:
    """Printable ASCII on one line, and short."""
    texts = (
        (item.what, item.reason)
        if isinstance(item, LeftOut)
        else (item.source, item.check, item.title, item.name, item.when, item.text, item.product)
    )
    # printable() may write four characters for an octet.
    return all(t.isascii() and t.isprintable() and len(t) <= 2000 for t in texts)


def long(
    before: bytes, middle: bytes, after: bytes = b"", size: int = 200 * MIB
) -> Iterator[bytes]:
    """A document of `size`, never whole in memory."""
    yield before
    for _ in range(size // len(middle)):
        yield middle
    yield after


def bounded(chunks: Iterable[bytes], form: str = "") -> tuple[list, base.Unreadable | None]:
    """Reads within 16 MiB and half a minute."""
    started = time.monotonic()
    tracemalloc.start()
    try:
        got, fault = items(chunks, OPTIONS, form)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * MIB
    assert time.monotonic() - started < 60
    return got, fault


@pytest.mark.parametrize("name", SAMPLES)
def test_a_format_is_recognised_by_its_content(name: str):
    wanted = {"scan.nessus": "nessus", "gvm.xml": "openvas", "nmap.xml": "nmap"}
    form = imports.recognise(SAMPLES[name][: imports.HEAD])
    assert form is not None
    assert form.name == wanted.get(name, "sockets")


@pytest.mark.parametrize("data", [b"", b"\0" * 4096, b"%PDF-1.4\n", b"<html></html>", b"{}"])
def test_what_is_no_report_is_told_so(data: bytes):
    got, fault = items([data])
    assert got == []
    assert fault is not None
    assert "the " in fault.place


def test_a_report_under_another_s_name_is_told_what_it_is():
    _, fault = items([SAMPLES["nmap.xml"]], OPTIONS, "nessus")
    assert fault is not None
    assert "a <nmaprun>, not a <NessusClientData_v2>" in str(fault)


BOMB = b"".join(
    [b"<!DOCTYPE %s [<!ENTITY a0 'lol'>"]
    + [b"<!ENTITY a%d '%s'>" % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 10)]
    + [b"]><%s>&a9;</%s>"]
)
DOCTYPES = {
    "a bomb": BOMB,
    "a file": b"<!DOCTYPE %s [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><%s>&x;</%s>",
    "a parameter": b"<!DOCTYPE %s [<!ENTITY %% x SYSTEM 'http://192.0.2.1/'> %%x;]><%s></%s>",
    "an outer type": b"<!DOCTYPE %s SYSTEM 'http://192.0.2.1/x.dtd'><%s></%s>",
    "a public type": b"<!DOCTYPE %s PUBLIC 'x' 'http://192.0.2.1/x.dtd'><%s></%s>",
}


@pytest.mark.parametrize("form", ROOTS)
@pytest.mark.parametrize("kind", DOCTYPES)
def test_what_declares_entities_is_refused(form: str, kind: str):
    root = ROOTS[form]
    got, fault = bounded([DOCTYPES[kind] % (root, root, root)], form)
    assert got == []
    assert fault is not None
    assert "a document type that declares or fetches something" in str(fault)


@pytest.mark.parametrize("form", ROOTS)
def test_an_entity_of_nobody_s_is_a_fault(form: str):
    root = ROOTS[form]
    _, fault = items([b"<!DOCTYPE %s><%s>&x;</%s>" % (root, root, root)], OPTIONS, form)
    assert fault is not None
    assert "undefined entity" in str(fault)


@pytest.mark.parametrize(
    ("before", "middle", "complaint"),
    [
        (b'<a b="', KILO64, "a tag or comment of more than"),
        (b"<!--", KILO64, "a tag or comment of more than"),
        (b"<?x ", KILO64, "a tag or comment of more than"),
        (b"<", KILO64, "a tag or comment of more than"),
        (b"<a", b" " * 65536, "a tag or comment of more than"),
        (b"", b"<a>" * 20000, "more than 64 elements inside each other"),
    ],
)
def test_endless_things_end(before: bytes, middle: bytes, complaint: str):
    _, fault = bounded(long(b"<NessusClientData_v2>" + before, middle))
    assert fault is not None
    assert complaint in str(fault)


@pytest.mark.parametrize("shape", [b"<a%d/>", b"<a b%d=''/>"])
def test_ever_new_names_end(shape: bytes):
    lines = (b"".join(shape % (n * 1000 + m) for m in range(1000)) for n in range(100))
    _, fault = bounded(b"<nmaprun>" + line if n == 0 else line for n, line in enumerate(lines))
    assert fault is not None
    assert "different names" in str(fault)


HOST = b'<ReportHost name="192.0.2.7"><HostProperties></HostProperties>'
ITEM = (
    b'<ReportItem port="110" protocol="tcp" severity="0" pluginID="10185" pluginName="POP Server '
    b'Detection"><description>%s</description><plugin_output>%s</plugin_output></ReportItem>'
) % (b"d" * 1500, b"o" * 500)


@pytest.mark.slow
def test_a_report_of_200_mb_needs_no_more_memory_than_a_small_one():
    found = ITEM.replace(b"10185", b"15855", 1)
    chunks = long(b"<NessusClientData_v2><Report>" + HOST, ITEM * 28 + found)
    tail = [b"</ReportHost></Report></NessusClientData_v2>"]

    def count() -> Iterator[bytes]:
        yield from chunks
        yield from tail

    tracemalloc.start()
    try:
        seen = sum(1 for _ in imports.read(count(), OPTIONS))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seen > 3000
    assert peak < 4 * MIB


@pytest.mark.parametrize("middle", [b"<![CDATA[" + KILO64 + b"]]>", KILO64, b"&#10;" * 10000])
def test_a_text_of_any_length_is_cut(middle: bytes):
    before = (
        b"<NessusClientData_v2>"
        + HOST
        + ITEM.partition(b"<description>")[0].replace(b"10185", b"15855")
    )
    after = b"</plugin_output></ReportItem></ReportHost></NessusClientData_v2>"
    got, fault = bounded(long(before + b"<plugin_output>", middle, after, 20 * MIB))
    assert fault is None
    (item,) = got
    assert in_bounds(item)


@pytest.mark.parametrize("name", XML.values())
def test_cut_off_anywhere_it_is_a_fault_and_what_stood_before_is_kept(name: str):
    data, all_of_it = SAMPLES[name].rstrip(), whole(name)
    counts = []
    for end in range(1, len(data)):
        got, fault = items([data[:end]])
        assert fault is not None, end
        assert got == all_of_it[: len(got)]
        counts.append(len(got))
    assert counts == sorted(counts)
    assert counts[-1] == len(all_of_it)


@pytest.mark.parametrize("name", XML.values())
def test_a_fault_in_the_middle_says_where(name: str):
    data = SAMPLES[name]
    at = len(data) * 3 // 4
    got, fault = items([data[:at] + b"<\0>" + data[at:]])
    assert fault is not None
    assert got == whole(name)[: len(got)] != []
    line = data[:at].count(b"\n") + 1
    assert fault.place.startswith(f"line {line}, byte ")
    assert "has been taken over" in fault.advice


@pytest.mark.parametrize("name", XML.values())
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_portions_make_no_difference(name: str, size: int):
    data = SAMPLES[name]
    got, fault = items(data[at : at + size] for at in range(0, len(data), size))
    assert (got, fault) == (whole(name), None)


@pytest.mark.parametrize("name", XML.values())
def test_utf_16_is_read(name: str):
    text = SAMPLES[name].decode().replace('encoding="UTF-8"', 'encoding="UTF-16"')
    got, fault = items([text.encode("utf-16")])
    assert (said(got), fault) == (said(whole(name)), None)


@pytest.mark.parametrize("encoding", ["gbk", "foo", "rot13", "utf-32", "idna"])
def test_an_unknown_encoding_is_a_fault(encoding: str):
    head = b'<?xml version="1.0" encoding="%s"?>' % encoding.encode()
    _, fault = items([head + b"<nmaprun></nmaprun>"])
    assert fault is not None
    assert "no XML" in str(fault)


def test_hostile_words_come_out_harmless():
    evil = "&#x1b;".replace("&#x1b;", "\u202e") + "\u2028&#133;&lt;script&gt;=cmd()"
    data = SAMPLES["scan.nessus"].decode().replace("mail.example", evil)
    got, _ = items([data.encode()])
    assert got
    assert all(map(in_bounds, got))


def check(data: bytes, form: str = "") -> None:
    """The laws of every reader: values in bounds that can be written down, or one fault."""
    for names in (form, ""):
        got, fault = items([data], OPTIONS, names)
        for item in got:
            assert in_bounds(item)
            if isinstance(item, Reported):
                dumps(item)
        if fault is not None:
            assert str(fault).isprintable()
            assert fault.place
            assert fault.advice


@given(st.binary(max_size=2000), st.sampled_from([form.name for form in FORMATS]))
def test_any_octets(data: bytes, form: str):
    check(data, form)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A sample with some pieces taken out, doubled, exchanged or replaced."""
    data = draw(st.sampled_from(list(SAMPLES.values())))
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 200)))
        other = draw(st.integers(0, len(data)))
        new = draw(
            st.sampled_from([b"", b"\0", b"\xff", b"<", b">", b'"', b"&", b"\n", b":", b"-1"])
            | st.binary(max_size=20)
            | st.just(data[start:end] * 2)
            | st.just(data[other : other + 100])
        )
        data = data[:start] + new + data[end:]
    return data


@given(mutated())
def test_any_change_to_a_report(data: bytes):
    check(data)


TAGS = (
    "NessusClientData_v2 ReportHost tag ReportItem plugin_output report result name host port nvt "
    "hostname nmaprun address service state script threat creation_time"
).split()
VALUES = st.sampled_from(
    ["", "109", "0", "65536", "²", "192.0.2.7", "::ffff:192.0.2.7", "fe80::1%x", "15854", "tcp",
     "host-ip", "HOST_START_TIMESTAMP", "99999999999", "9999999999", "open", "ssl", "banner",
     "+ POP2", "1.3.6.1.4.1.25623.1.0.15854", "109/tcp", "0001-01-01T00:00:00+23:59",
     "9999-12-31T23:59:59-23:59", "2026-01-07", "\u0130", "\ud7ff"]
)  # fmt: skip
ATTRIBUTES = st.dictionaries(
    st.sampled_from(
        "name port protocol pluginID pluginName oid addr portid state id output".split()
    ),
    VALUES,
    max_size=5,
)
TREES: st.SearchStrategy[tuple] = st.recursive(
    st.tuples(st.sampled_from(TAGS), ATTRIBUTES, VALUES, st.just([])),
    lambda inner: st.tuples(st.sampled_from(TAGS), ATTRIBUTES, VALUES, st.lists(inner, max_size=4)),
    max_leaves=20,
)


def written(tree: tuple) -> str:
    tag, attributes, text, children = tree
    said = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f"<{tag}{said}>{text}{''.join(map(written, children))}</{tag}>"


@given(TREES, st.sampled_from(sorted(ROOTS)))
def test_any_tree_of_the_formats_own_elements(tree: tuple, form: str):
    root = ROOTS[form].decode()
    check(f"<{root}>{written(tree)}</{root}>".encode(), form)


def test_the_bounds_are_those_that_are_documented():
    assert (markup.DEPTH, markup.TOKEN, base.TEXT_LIMIT) == (64, MIB, 400)
