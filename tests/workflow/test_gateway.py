"""What the operator says of a backend: what is taken, and what is refused with one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.model.look import Endpoint
from mailseal.plan import Backend
from mailseal.workflow import BadInput
from mailseal.workflow.gateway import ROOTS, backend, port_of


def test_what_is_taken():
    assert backend([], "", "", "") is None
    assert backend(["192.0.2.5:109"], "", "", " a cable ") == Backend(
        (Endpoint("192.0.2.5", 109),), trust="a cable"
    )
    places = ["[2001:DB8::5]:995", "192.0.2.5:110", "[2001:db8::5]:995"]
    assert backend(places, "old.example", "", "") == Backend(
        (Endpoint("2001:db8::5", 995), Endpoint("192.0.2.5", 110)), "old.example", ROOTS
    )
    assert port_of("192.0.2.5:1109") == 1109


@pytest.mark.parametrize(
    ("places", "name", "authority", "trust", "says"),
    [
        ([], "n", "", "", "go with --backend"),
        (["192.0.2.5:109"], "", "", "", "one of the two"),
        (["192.0.2.5:109"], "", "", "  ", "one of the two"),
        (["192.0.2.5:109"], "n", "", "why", "one of the two"),
        (["192.0.2.5:109"], "", "/ca", "why", "--backend-ca goes with"),
        (["192.0.2.5:109"], "n", "ca", "", "absolute path"),
        (["192.0.2.5:109"], "n\nconnect = x", "", "", "no name of a certificate"),
        (["192.0.2.5:109"], "", "", "a\x1bb", "one line"),
        (["192.0.2.5:109"], "", "", "x" * 501, "at most 500"),
        (["old.example:109"], "", "", "why", "is not an address and a port"),
        (["192.0.2.5"], "", "", "why", "is not an address and a port"),
        (["192.0.2.5:0"], "", "", "why", "is not an address and a port"),
        (["192.0.2.5:65536"], "", "", "why", "is not an address and a port"),
        (["192.0.2.256:1"], "", "", "why", "is not an address and a port"),
        (["2001:db8::5:109"], "", "", "why", "is not an address and a port"),
    ],
)
def test_what_is_refused(places: list[str], name: str, authority: str, trust: str, says: str):
    with pytest.raises(BadInput, match=says):
        backend(places, name, authority, trust)


@given(st.text(max_size=100), st.text(max_size=100), st.text(max_size=600))
def test_any_words_are_taken_or_refused(place: str, name: str, trust: str):
    try:
        made = backend([place], name, "", trust)
    except BadInput:
        return
    assert made
    assert made.trust.isprintable()
