"""Who is told of what `watch` finds: TOML in, `AlertRules` out.

Strategy: as every policy file (`keys`). Each kind of receiver has its own keys beside those that
all have. Two things are refused although they could be done: a notice says where passwords can be
read, so it does not cross a network in cleartext itself; and a secret stands in a file of its own.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from mailseal.model.finding import Severity
from mailseal.model.watching import AlertRules, Mail, Printed, Receiver, Syslog, Webhook
from mailseal.policy.keys import BadPolicy, Key, Keys, flag, number, parsed, possible, read, tables
from mailseal.policy.keys import texts as are_texts
from mailseal.policy.times import hours, windows, zone

PRINTED = "output"
"""The receiver that is always there, but where a file names it and says otherwise."""
FACILITIES = (
    *"kern user mail daemon auth syslog lpr news uucp cron authpriv ftp".split(),
    *("ntp", "security", "console", "clock"),
    *("local%d" % number for number in range(8)),
)
"""By number (RFC 5424 6.2.1)."""


def parse(text: bytes, source: str) -> AlertRules:
    """The rules from the octets of their file, `source`. Raises BadPolicy."""
    return parsed(text, source, _KEYS, _rules)


def plain() -> AlertRules:
    """What holds without a file: everything is printed."""
    return _rules({"receivers": (), "failing_clients": _CLIENTS})


def _rules(values: Mapping[str, Any]) -> AlertRules:
    receivers: tuple[Receiver, ...] = values["receivers"]
    names = [each.name for each in receivers]
    for name in names:
        if names.count(name) > 1:
            raise BadPolicy("two receivers have the name %r" % name)
    if PRINTED not in names:
        receivers = (_receiver({"name": PRINTED, "kind": "printed"}, ""), *receivers)
    return AlertRules(receivers, values["failing_clients"])


def _receivers(value: Any) -> tuple[Receiver, ...]:
    return tuple(_receiver(each, where) for where, each in tables(value, "receiver"))


def _receiver(table: Mapping[str, Any], where: str) -> Receiver:
    kind = table.get("kind")
    if type(kind) is not str or kind not in _KINDS:
        raise BadPolicy("%skind: one of %s is wanted" % (where, ", ".join(_KINDS)))
    keys, make = _KINDS[kind]
    values = read({**_RECEIVER_KEYS, **keys}, table, where)
    del values["kind"]
    try:
        way = make(**{key.field: values.pop(key.field) for key in keys.values()})
    except BadPolicy as error:
        raise BadPolicy(where + str(error)) from None
    return Receiver(way=way, **values)


def _webhook(**values: Any) -> Webhook:
    url = urlsplit(values["url"])
    possible(
        (
            (
                url.scheme == "http" and not _local(url.hostname or ""),
                "url: write https, or an address of this machine: a notice says where passwords "
                "can be read",
            ),
            (
                values["authority"] and url.scheme == "http",
                "ca has no meaning for a url that begins with http:",
            ),
        )
    )
    return Webhook(**values)


def _mail(**values: Any) -> Mail:
    smtp = values["smtp"]
    far = smtp and not _local(smtp[0])
    possible(
        (
            (smtp and values["sendmail"], "sendmail and smtp: only one of them can be meant"),
            (
                values["authority"] and not (smtp and values["starttls"]),
                "ca has a meaning with smtp and starttls alone",
            ),
            (
                far and not values["starttls"],
                "smtp: a host that is not this machine wants starttls = true",
            ),
        )
    )
    sendmail = values["sendmail"] or ("" if smtp else "/usr/sbin/sendmail")
    return Mail(**{**values, "smtp": smtp or None, "sendmail": sendmail})


def _local(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _matching(pattern: str, words: str) -> Callable[[Any], str]:
    compiled = re.compile(pattern)

    def reader(value: Any) -> str:
        if type(value) is not str or not compiled.fullmatch(value):
            raise ValueError(words + " is wanted")
        return value

    return reader


_path = _matching(r"/[^\x00-\x1f\x7f]{1,1000}", "an absolute path")
_ADDRESS = r"[A-Za-z0-9_][A-Za-z0-9._+=-]{0,62}@[A-Za-z0-9][A-Za-z0-9.-]{0,252}"
_address = _matching(_ADDRESS, "a mail address, as admin@mail.example,")


def _addresses(value: Any) -> tuple[str, ...]:
    if not are_texts(value) or len(value) > 50:
        raise ValueError("a list of mail addresses is wanted, at least one")
    return tuple(map(_address, dict.fromkeys(value)))


def _url(value: Any) -> str:
    words = "a URL as https://alerts.example/hook is wanted, without user and password"
    # What is not ASCII, or a blank, has no place in a request line (RFC 9112 3).
    if type(value) is not str or not re.fullmatch(r"https?://[!-~]{1,2000}", value):
        raise ValueError(words)
    try:
        split = urlsplit(value)
        good = bool(split.hostname) and split.port != 0 and "@" not in split.netloc
    except ValueError:
        good = False
    if not good or split.fragment:
        raise ValueError(words)
    return value


def _place(value: Any) -> tuple[str, int]:
    pattern = r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]{1,253})):([0-9]{1,5})"
    found = re.fullmatch(pattern, value) if type(value) is str else None
    if not found or not 0 < int(found[3]) < 65536:
        raise ValueError("a host and port, as 127.0.0.1:25, is wanted")
    return found[1] or found[2], int(found[3])


def _severity(value: Any) -> Severity:
    try:
        return Severity(value)
    except ValueError:
        words = ", ".join(severity.value for severity in Severity)
        raise ValueError("one of %s is wanted" % words) from None


def _ids(value: Any) -> tuple[str, ...]:
    if not are_texts(value) or not all(re.fullmatch(r"[a-z0-9-]{1,64}", each) for each in value):
        raise ValueError("a list of ids of rules is wanted, at least one")
    return tuple(dict.fromkeys(value))


def _seconds(value: Any) -> float:
    if type(value) not in (int, float) or not 1 <= value <= 60:
        raise ValueError("seconds from 1 to 60 are wanted")
    return float(value)


def _facility(value: Any) -> int:
    if value not in FACILITIES[1:]:
        raise ValueError("one of %s is wanted" % ", ".join(FACILITIES[1:]))
    return FACILITIES.index(value)


_CLIENTS = 5

_RECEIVER_KEYS: Keys = {
    "name": Key("name", _matching(r"[a-z0-9][a-z0-9-]{0,31}", "a name of a-z, 0-9 and -"), None),
    "kind": Key("kind", str, None),
    "severity": Key("severity", _severity, Severity.INFO),
    "rules": Key("rules", _ids, ()),
    "reminder-hours": Key("reminder_hours", hours, 0.0),
    "quiet": Key("quiet", windows("receiver.quiet"), ()),
    "zone": Key("zone", zone, "UTC"),
    "timeout-seconds": Key("limit", _seconds, 10.0),
}

_KINDS: dict[str, tuple[Keys, Callable[..., Any]]] = {
    "webhook": (
        {
            "url": Key("url", _url, None),
            "header": Key("header", _matching(r"[A-Za-z0-9-]{1,64}", "a header"), "Authorization"),
            "secret-file": Key("secret_file", _path, ""),
            "ca": Key("authority", _path, ""),
        },
        _webhook,
    ),
    "mail": (
        {
            "to": Key("to", _addresses, None),
            "from": Key("sender", _address, None),
            "sendmail": Key("sendmail", _path, ""),
            "smtp": Key("smtp", _place, ()),
            "starttls": Key("starttls", flag, False),
            "ca": Key("authority", _path, ""),
        },
        _mail,
    ),
    "syslog": (
        {
            "facility": Key("facility", _facility, FACILITIES.index("daemon")),
            "socket": Key("socket", _path, "/dev/log"),
        },
        Syslog,
    ),
    "printed": ({}, Printed),
}

_KEYS: Keys = {
    "failing-clients": Key("failing_clients", number(1_000_000), _CLIENTS),
    "receiver": Key("receivers", _receivers, ()),
}
