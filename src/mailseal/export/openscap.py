"""OpenSCAP: an XCCDF 1.2 benchmark whose rules are a plan's claims, and OVAL 5.11 for its files.

Strategy: each claim is a rule that runs the look by the script check engine (SCE), told by
`check-export` what to look at; what it says comes back by `check-import`. A value that several
rules need is one Value, so that a tailoring file has one place to change it. The files that the
plan made are OVAL, for nothing there has to be run. Profile `host` is for `oscap` on the mail host,
`network` for one on another host, whose look is worth more. XML is written by a library, in ASCII.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree as ET

from mailseal.export import checks
from mailseal.export.base import CannotExport, File, Source, plain
from mailseal.export.checks import Check, Written
from mailseal.export.clientpack import certificates

FORM = "openscap"
BENCHMARK, DEFINITIONS, LOOK = "benchmark.xml", "files-oval.xml", checks.LOOK

_XCCDF = "http://checklists.nist.gov/xccdf/1.2"
_DC = "http://purl.org/dc/elements/1.1/"
_SCE = "http://open-scap.org/page/SCE"
_OVAL = "http://oval.mitre.org/XMLSchema/oval-definitions-5"
_COMMON = "http://oval.mitre.org/XMLSchema/oval-common-5"
_INDEPENDENT = _OVAL + "#independent"
_UNIX = _OVAL + "#unix"
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", re.ASCII)
_BITS = [who + what for who in "ugo" for what in ("read", "write", "exec")]
"""Of a mode, most significant first, as OVAL's file_state calls them."""
_PROFILES = {
    "host": "What the mail host itself can tell. A look at a host's own address misleads where the "
    "service trusts that address: profile network, evaluated on another host, is worth more.",
    "network": "What another host can tell by looking: evaluate it from where clients are.",
}


def export(sources: Sequence[Source]) -> tuple[File, ...]:
    """The benchmark, its OVAL definitions, the script, and the CA where it was given. Raises
    CannotExport.
    """
    host = checks.host_of(sources, FORM)
    found, files = checks.checks(sources), checks.written(sources)
    if not found:
        raise CannotExport("the plan claims nothing: there is nothing to check")
    if not all(_MOMENT.fullmatch(source.plan.made) for source in sources):
        raise CannotExport("the plan does not say when it was made")
    made = [
        File(BENCHMARK, 0o644, _written(_benchmark(host, sources, found, files))),
        File(LOOK, 0o755, sources[0].kit[LOOK]),
    ]
    if files:
        made.append(File(DEFINITIONS, 0o644, _written(_definitions(sources, files))))
    if sources[0].authority:
        made.append(File("ca.crt", 0o644, certificates(sources[0].authority)))
    return tuple(made)


def _written(root: ET.Element) -> bytes:
    ET.indent(root)
    text: bytes = ET.tostring(root, "us-ascii", xml_declaration=True)
    return text + b"\n"


def _add(parent: ET.Element, name: str, text: str = "", /, **attributes: str) -> ET.Element:
    child = ET.SubElement(parent, name, attributes)
    child.text = plain(text) or None
    return child


def _id(kind: str, name: str) -> str:
    return "xccdf_mailseal_%s_%s" % (kind, re.sub("[^A-Za-z0-9.-]", "-", name))


# -- the benchmark ---------------------------------------------------------------------------------


def _benchmark(
    host: str, sources: Sequence[Source], found: Sequence[Check], files: Sequence[Written]
) -> ET.Element:
    plan = sources[0].plan
    root = ET.Element(
        "Benchmark",
        {"xmlns": _XCCDF, "xmlns:dc": _DC, "id": _id("benchmark", host), "xml:lang": "en"},
    )
    _add(root, "status", "accepted")
    _add(root, "title", "Mail services of %s take no login in cleartext" % host)
    _add(root, "description", checks.about(sources))
    _add(root, "version", sources[0].sha256[:16] if len(sources) == 1 else plan.made)
    _add(_add(root, "metadata"), "dc:publisher", "mailseal")
    _add(root, "model", system="urn:xccdf:scoring:default")
    remote = {each.id for each in found if each.remote}
    rules = [(_id("rule", each.id), each.id in remote) for each in found]
    rules += [(_id("rule", _file_id(number)), False) for number, _ in enumerate(files, 1)]
    for name, words in _PROFILES.items():
        profile = _add(root, "Profile", id=_id("profile", name))
        _add(profile, "title", "%s, from %s" % (host, name))
        _add(profile, "description", words)
        for known, far in rules:
            chosen = "true" if far or name == "host" else "false"
            _add(profile, "select", idref=known, selected=chosen)
    named = _values(root, found)
    for check in found:
        rule = _rule(root, check.id, check.title, check.severity)
        how = _add(rule, "check", system=_SCE)
        _add(how, "check-import", **{"import-name": "stdout"})
        for pair in check.values.items():
            _add(how, "check-export", **{"value-id": named[pair], "export-name": pair[0]})
        _add(how, "check-content-ref", href=LOOK)
    for number, file in enumerate(files, 1):
        rule = _rule(root, _file_id(number), "%s is as the plan made it" % file.path, "medium")
        how = _add(rule, "check", system=_OVAL)
        _add(how, "check-content-ref", href=DEFINITIONS, name=_oval("def", number))
    return root


def _values(root: ET.Element, found: Iterable[Check]) -> dict[tuple[str, str], str]:
    """One Value for each thing that a script is told, by its name and content."""
    pairs = dict.fromkeys(pair for check in found for pair in check.values.items())
    named = {}
    for number, (name, content) in enumerate(pairs, 1):
        named[name, content] = _id("value", "%s-%d" % (name, number))
        value = _add(root, "Value", id=named[name, content], type="string", operator="equals")
        _add(value, "title", name)
        _add(value, "description", "What the look is told as %s." % name)
        _add(value, "value", content)
    return named


def _rule(root: ET.Element, name: str, title: str, severity: str) -> ET.Element:
    rule = _add(root, "Rule", id=_id("rule", name), severity=severity, selected="true")
    _add(rule, "title", title)
    _add(rule, "reference", checks.STANDARD[0], href=checks.STANDARD[1])
    _add(rule, "rationale", checks.WHY)
    _add(rule, "ident", checks.WEAKNESS, system="http://cwe.mitre.org")
    _add(rule, "fixtext", "mailseal apply PLAN, or mailseal seal ENDPOINT")
    return rule


def _file_id(number: int) -> str:
    return "file-%d" % number


# -- what the files must be ------------------------------------------------------------------------


def _oval(kind: str, number: int) -> str:
    return "oval:mailseal:%s:%d" % (kind, number)


def _definitions(sources: Sequence[Source], files: Sequence[Written]) -> ET.Element:
    root = ET.Element("oval_definitions", {"xmlns": _OVAL, "xmlns:oval": _COMMON})
    generator = _add(root, "generator")
    _add(generator, "oval:product_name", "mailseal")
    _add(generator, "oval:schema_version", "5.11")
    _add(generator, "oval:timestamp", sources[0].plan.made)
    parts = {name: _add(root, name) for name in ("definitions", "tests", "objects", "states")}
    for number, file in enumerate(files, 1):
        definition = _add(
            parts["definitions"],
            "definition",
            **{"id": _oval("def", number), "version": "1", "class": "compliance"},
        )
        metadata = _add(definition, "metadata")
        _add(metadata, "title", "%s is as the plan made it" % file.path)
        _add(metadata, "description", "Its bytes (SHA-256) and its mode (%04o)." % file.mode)
        criteria = _add(definition, "criteria", operator="AND")
        for family, name, test in (
            (_INDEPENDENT, "filehash58", 2 * number - 1),
            (_UNIX, "file", 2 * number),
        ):
            _add(criteria, "criterion", test_ref=_oval("tst", test))
            _test(parts, family, name, test, file)
    return root


def _test(parts: dict[str, ET.Element], family: str, name: str, number: int, file: Written) -> None:
    """A test, what it looks at and what that must be."""

    def part(room: str, kind: str, short: str, /, **attributes: str) -> ET.Element:
        words = {"xmlns": family, "id": _oval(short, number), "version": "1", **attributes}
        return _add(parts[room], "%s_%s" % (name, kind), **words)

    test = part("tests", "test", "tst", check="all", comment="%s of %s" % (name, plain(file.path)))
    thing, state = part("objects", "object", "obj"), part("states", "state", "ste")
    _add(test, "object", object_ref=thing.attrib["id"])
    _add(test, "state", state_ref=state.attrib["id"])
    _add(thing, "filepath", file.path)
    if name == "filehash58":
        _add(thing, "hash_type", "SHA-256")
        _add(state, "hash_type", "SHA-256")
        _add(state, "hash", file.sha256)
        return
    for bit, meaning in enumerate(_BITS):
        held = bool(file.mode & 0o400 >> bit)
        _add(state, meaning, "true" if held else "false", datatype="boolean")
