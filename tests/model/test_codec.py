"""The codec: every value comes back the same, and what does not fit is refused by its place."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.model import codec, ops
from mailseal.model.codec import CodecError
from mailseal.model.host import HostFacts
from mailseal.model.look import Attempt, Channel, Endpoint, Observation, Outcome, TlsFacts, Vantage
from mailseal.model.plan import Claim, ClaimKind, Plan, Proof, Receipt, Result, Scope

PLAN = Plan(
    strategy="wrap",
    stage="enforce",
    host="mail.example",
    machine="0" * 32,
    endpoint=Endpoint("192.0.2.10", 109),
    protocol="pop2",
    made="2026-01-31T12:00:00.000Z",
    facts_digest="d",
    scope=Scope(("/etc/inetd.conf",), (109,)),
    headline=("first",),
    gap="a second",
    risks=(),
    ops=(
        ops.InstallPackage("stunnel4"),
        ops.WriteFile("/etc/x", b"\x00\xff", "root", "root", 0o600),
        ops.EditFile("/etc/inetd.conf", "a", "b", (ops.Splice(3, b"old", b"new"),)),
        ops.UnitAction("x.service", "start", "stop", (ops.Listening("::", 109, True),)),
    ),
    claims=(Claim(ClaimKind.CLOSED, Endpoint("2001:db8::1", 109), Vantage.REMOTE, {"name": "n"}),),
    before=(),
)


def test_a_plan_comes_back_the_same() -> None:
    assert codec.loads(Plan, codec.dumps(PLAN), lenient=False) == PLAN


def test_equal_values_give_equal_text() -> None:
    again = codec.loads(Plan, codec.dumps(PLAN), lenient=False)
    assert codec.dumps(again) == codec.dumps(PLAN)
    assert codec.digest(again) == codec.digest(PLAN)


TEXT = st.text(max_size=20)
TLS = st.builds(
    TlsFacts,
    version=TEXT,
    cipher=TEXT,
    bits=st.integers(),
    chain=st.tuples(st.binary(max_size=9)),
    trust=TEXT,
    name_checked=TEXT,
)
ATTEMPT = st.builds(
    Attempt,
    mechanism=TEXT,
    channel=st.sampled_from(Channel),
    offered=st.booleans(),
    outcome=st.sampled_from(Outcome),
    reason=TEXT,
)
ENDPOINT = st.builds(
    Endpoint,
    address=st.ip_addresses().map(str),
    port=st.integers(1, 65535),
    site=TEXT,
)
OBSERVATION = st.builds(
    Observation,
    endpoint=ENDPOINT,
    tls=st.none() | TLS,
    attempts=st.lists(ATTEMPT, max_size=3).map(tuple),
    transcript=st.lists(TEXT, max_size=3).map(tuple),
    gaps=st.lists(TEXT, max_size=3).map(tuple),
)


@given(OBSERVATION)
def test_any_observation_comes_back_the_same(observation: Observation) -> None:
    assert codec.loads(Observation, codec.dumps(observation), lenient=True) == observation


@given(st.text() | st.binary())
def test_any_text_is_a_record_or_a_codec_error(text: str | bytes) -> None:
    with pytest.raises(CodecError):
        codec.loads(Plan, text, lenient=True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.sampled_from([Plan, Receipt, HostFacts, Observation, Proof]), JSON)
def test_any_json_is_refused_in_words(cls: type, data: object) -> None:
    with pytest.raises(CodecError):
        codec.from_record(cls, data, lenient=True)


def _changed(path: list[str | int], value: object) -> str:
    data = json.loads(codec.dumps(PLAN))
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return json.dumps(data)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["surprise"], 1, "plan: unknown field 'surprise'"),
        (["ops", 1, "surprise"], 1, "plan.ops[1]: unknown field 'surprise'"),
        (["ops", 1, "kind"], "format-disk", "plan.ops[1]: unknown kind 'format-disk'"),
        (["ops", 1, "mode"], "0600", "plan.ops[1].mode: int is wanted, not str"),
        (["ops", 1, "mode"], True, "plan.ops[1].mode: int is wanted, not bool"),
        (["ops", 1, "content"], "?", "plan.ops[1].content: not base64"),
        (["endpoint", "port"], 0, "plan.endpoint: port 0 is not between 1 and 65535"),
        (["endpoint", "address"], "::0", "plan.endpoint: '::0' is not an address"),
        (["claims", 0, "vantage"], "moon", "plan.claims[0].vantage: 'moon' is none of"),
        (["version"], 2, "Plan version 2 is not understood"),
        (["type"], "Receipt", "a Plan is wanted, not 'Receipt'"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused_by_its_place(
    path: list[str | int], value: object, said: str
) -> None:
    with pytest.raises(CodecError, match="^" + said.replace("[", r"\[").replace("(", r"\(")):
        codec.loads(Plan, _changed(path, value), lenient=False)


def test_a_missing_field_is_named() -> None:
    data = json.loads(codec.dumps(PLAN))
    del data["ops"][1]["content"]
    with pytest.raises(CodecError, match=r"plan.ops\[1\]: field 'content' is missing"):
        codec.loads(Plan, json.dumps(data), lenient=False)


def test_a_key_that_stands_twice_is_refused() -> None:
    text = codec.dumps(PLAN).replace('"ops":', '"ops":[],"ops":', 1)
    with pytest.raises(CodecError, match="'ops' stands twice"):
        codec.loads(Plan, text, lenient=False)


def test_results_may_have_grown_and_plans_may_not() -> None:
    proof = Proof(PLAN.claims[0], Result.PASS, ("seen",), PLAN.made)
    data = {**json.loads(codec.dumps(proof)), "new": 1}
    assert codec.loads(Proof, json.dumps(data), lenient=True) == proof
    with pytest.raises(CodecError, match="unknown field 'new'"):
        codec.loads(Proof, json.dumps(data), lenient=False)


def test_what_is_no_value_is_not_written() -> None:
    with pytest.raises(CodecError, match="a set cannot be written"):
        codec.encode({1, 2})


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(CodecError, match="not JSON"):
        codec.parse("[" * 200_000)


def test_values_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        PLAN.host = "other"  # type: ignore[misc]
