"""The file of who is told: read whole, or refused by the name of what is wrong."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.model.change import Window
from mailseal.model.finding import Severity
from mailseal.model.watching import AlertRules, Mail, Printed, Receiver, Syslog, Webhook
from mailseal.policy.alerts import parse, plain
from mailseal.policy.keys import BadPolicy

WHOLE = b"""
failing-clients = 20

[[receiver]]
name = "chat"
kind = "webhook"
url = "https://alerts.example/hook?room=7"
header = "X-Token"
secret-file = "/etc/mailseal/hook.secret"
ca = "/etc/mailseal/ca.pem"
severity = "high"
rules = ["pop2-cleartext-login", "service-gone"]
reminder-hours = 24
timeout-seconds = 5
zone = "Europe/Berlin"

[[receiver.quiet]]
days = ["Sat", "Sun"]
from = "00:00"
to = "24:00"

[[receiver]]
name = "admins"
kind = "mail"
to = ["admin@mail.example", "second@mail.example"]
from = "mailseal@mail.example"
smtp = "[::1]:25"

[[receiver]]
name = "journal"
kind = "syslog"
facility = "local3"
"""

_PLAIN = Receiver("output", Printed(), Severity.INFO, (), 0.0, (), "UTC", 10.0)


def test_every_key_is_read():
    assert parse(WHOLE, "here") == AlertRules(
        failing_clients=20,
        receivers=(
            _PLAIN,
            Receiver(
                name="chat",
                way=Webhook(
                    url="https://alerts.example/hook?room=7",
                    header="X-Token",
                    secret_file="/etc/mailseal/hook.secret",
                    authority="/etc/mailseal/ca.pem",
                ),
                severity=Severity.HIGH,
                rules=("pop2-cleartext-login", "service-gone"),
                reminder_hours=24.0,
                quiet=(Window((5, 6), 0, 1440),),
                zone="Europe/Berlin",
                limit=5.0,
            ),
            Receiver(
                name="admins",
                way=Mail(
                    to=("admin@mail.example", "second@mail.example"),
                    sender="mailseal@mail.example",
                    sendmail="",
                    smtp=("::1", 25),
                    starttls=False,
                    authority="",
                ),
                severity=Severity.INFO,
                rules=(),
                reminder_hours=0.0,
                quiet=(),
                zone="UTC",
                limit=10.0,
            ),
            Receiver("journal", Syslog(19, "/dev/log"), Severity.INFO, (), 0.0, (), "UTC", 10.0),
        ),
    )


def test_without_a_file_and_with_an_empty_one_everything_is_printed():
    assert parse(b"", "here") == plain() == AlertRules((_PLAIN,), 5)


def test_what_is_printed_may_be_chosen_as_well():
    (only,) = parse(
        b'[[receiver]]\nname = "output"\nkind = "printed"\nseverity = "high"', "here"
    ).receivers
    assert (only.name, only.severity) == ("output", Severity.HIGH)


def test_mail_goes_to_the_program_of_the_system_where_nothing_else_is_said():
    text = '[[receiver]]\nname = "a"\nkind = "mail"\nto = ["a@b.example"]\nfrom = "c@b.example"'
    way = parse(text.encode(), "here").receivers[1].way
    assert isinstance(way, Mail)
    assert (way.sendmail, way.smtp) == ("/usr/sbin/sendmail", None)


def _one(kind: str, *lines: str) -> str:
    return "\n".join(["[[receiver]]", 'name = "a"', f'kind = "{kind}"', *lines])


_MAIL = ('to = ["a@b.example"]', 'from = "c@b.example"')


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("clients = 1", "unknown key 'clients'; known are failing-clients, receiver"),
        ("failing-clients = -1", "failing-clients: a number"),
        ("receiver = 1", r"write each receiver under a line [[receiver]]"),
        ('[[receiver]]\nname = "a"', "receiver 1, kind: one of webhook, mail, syslog, printed"),
        ('[[receiver]]\nname = "a"\nkind = ["mail"]', "receiver 1, kind: one of"),
        (_one("webhook"), "receiver 1, url is missing"),
        (_one("webhook", 'url = "ftp://a.example"'), "url: a URL as https://"),
        (_one("webhook", 'url = "https://"'), "url: a URL"),
        (_one("webhook", 'url = "https://a.example:99999"'), "url: a URL"),
        (_one("webhook", 'url = "https://user@alerts.example"'), "without user and password"),
        (_one("webhook", 'url = "https://a.example/\\r\\nX: y"'), "url: a URL"),
        (_one("webhook", 'url = "http://a.example/"'), "url: write https"),
        (_one("webhook", 'url = "http://[::1]/"', 'ca = "/x"'), "ca has no meaning"),
        (_one("webhook", 'url = "https://a.example/"', 'header = "X: y"'), "header: a header"),
        (_one("webhook", 'url = "https://a.example/"', 'secret-file = "x"'), "an absolute path"),
        (_one("webhook", 'url = "https://a.example/"', 'secret = "x"'), "unknown key 'secret'"),
        (_one("mail"), "to is missing"),
        (_one("mail", 'to = ["-oQ/tmp@x.example"]', 'from = "c@b.example"'), "to: a mail address"),
        (_one("mail", 'to = ["a@b.example\\nBcc: x@y.example"]'), "to: a mail address"),
        (_one("mail", "to = []", _MAIL[1]), "to: a list of mail addresses"),
        (_one("mail", *_MAIL, 'smtp = "mail.example:25"'), "wants starttls = true"),
        (_one("mail", *_MAIL, 'smtp = "127.0.0.1"'), "a host and port"),
        (_one("mail", *_MAIL, 'smtp = "127.0.0.1:25"', 'sendmail = "/x"'), "only one of them"),
        (_one("mail", *_MAIL, 'ca = "/x"'), "ca has a meaning with smtp"),
        (_one("syslog", 'facility = "kern"'), "facility: one of user, mail"),
        (_one("syslog", 'socket = "log"'), "socket: an absolute path"),
        (_one("printed", 'url = "https://a.example"'), "receiver 1, unknown key 'url'"),
        (_one("printed", 'severity = "bad"'), "severity: one of info, low"),
        (_one("printed", "rules = []"), "rules: a list of ids"),
        (_one("printed", "timeout-seconds = 0"), "timeout-seconds: seconds from 1"),
        (_one("printed", "quiet = []"), "quiet: an empty list"),
        (_one("printed", 'zone = "Mars"'), "zone: a time zone"),
        ("\n".join([_one("printed"), _one("printed")]), "two receivers have the name 'a'"),
        ('[[receiver]]\nname = "A b"\nkind = "printed"', "name: a name of a-z"),
        ("[[", "here: "),
        ("a = " + "[" * 5000, "nested too deep"),
    ],
)
def test_what_is_wrong_is_named(text: str, says: str):
    with pytest.raises(BadPolicy) as error:
        parse(text.encode(), "here")
    assert says in str(error.value)
    assert str(error.value).startswith("here: ")


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_any_octets_are_rules_or_refused(octets: bytes):
    with contextlib.suppress(BadPolicy):
        parse(octets, "here")


_VALUE = st.one_of(
    st.sampled_from(['""', '"a"', "1", "true", "[]", '["a"]', "{}", "1.5", '"https://[x"', "-1"]),
)
_KEY = st.sampled_from(
    *["name kind url header secret-file ca to from smtp starttls quiet zone rules".split()]
)


@given(
    st.sampled_from(["webhook", "mail", "syslog", "printed"]),
    st.dictionaries(_KEY, _VALUE, max_size=6),
)
def test_a_receiver_of_any_values_is_read_or_refused(kind: str, values: dict[str, str]):
    lines = [f"{key} = {value}" for key, value in {"kind": f'"{kind}"', **values}.items()]
    with contextlib.suppress(BadPolicy):
        parse("\n".join(["[[receiver]]", *lines]).encode(), "here")
