"""The three scanners' formats: what each says of which endpoint, and what it says nothing of."""

import pytest

from mailseal.imports.base import Options
from mailseal.imports.checks import protocol_of
from mailseal.model.look import Endpoint
from mailseal.model.reported import Claimed, Reported
from tests.imports.common import SAMPLES, items, left, said, whole


def test_nessus_gives_the_checks_of_the_table_by_number_and_by_name():
    assert said(whole("scan.nessus")) == [
        ("192.0.2.7:109", "permitted", "pop2", "15854"),
        ("192.0.2.7:110", "permitted", "pop3", "15855"),
        ("192.0.2.7:143", "permitted", "imap", "15856"),
        ("192.0.2.7:25", "permitted", "smtp", "54582"),
        ("192.0.2.8:1109", "permitted", "pop2", "34896"),
        ("[2001:db8::7]:110", "permitted", "pop3", "999999"),
    ]


def test_a_nessus_finding_keeps_its_words_its_time_and_its_host_name():
    assert whole("scan.nessus", Options(site="hq"))[0] == Reported(
        Endpoint("192.0.2.7", 109, "hq"),
        source="nessus",
        check="15854",
        title="POP2 Cleartext Logins Permitted",
        says=Claimed.PERMITTED,
        protocol="pop2",
        name="mail.example",
        when="2026-01-07T11:58:20.000Z",
        text="Banner : + POP2 mail.example <2007f> ready",
    )


def test_a_property_does_not_go_over_to_the_next_host():
    by_place = {str(i.endpoint): i for i in whole("scan.nessus") if isinstance(i, Reported)}
    assert by_place["192.0.2.8:1109"].name == by_place["192.0.2.8:1109"].when == ""


def test_a_finding_without_an_address_or_a_port_is_not_lost():
    (item,) = (item for item in whole("scan.nessus") if not isinstance(item, Reported))
    assert "POP2 Cleartext Logins Permitted (nessus 15854) at old.example" in item.what
    assert (item.reason, item.claim) == ("the report gives no address", True)


def test_openvas_gives_results_and_not_those_that_results_rest_on():
    assert said(whole("gvm.xml")) == [
        ("192.0.2.7:109", "permitted", "pop2", "1.3.6.1.4.1.25623.1.0.15854"),
        ("192.0.2.7:587", "permitted", "smtp", "1.3.6.1.4.1.25623.1.0.108530"),
        ("[2001:db8::7]:143", "permitted", "imap", "1.3.6.1.4.1.25623.1.0.15856"),
    ]
    assert left(whole("gvm.xml")) == [
        ("marked as a false positive in the report", False),
        ("the report gives no port", True),
    ]


def test_an_openvas_result_keeps_its_words_its_time_in_utc_and_its_host_name():
    first = whole("gvm.xml")[0]
    assert isinstance(first, Reported)
    assert (first.name, first.when) == ("mail.example", "2026-01-07T12:00:30.000Z")
    assert first.text == "The daemon greets: + POP2 ready"


def test_the_answer_of_gmp_is_the_same_report():
    wrapped = (
        b'<get_reports_response status="200">' + SAMPLES["gvm.xml"] + b"</get_reports_response>"
    )
    assert items([wrapped])[0] == whole("gvm.xml")


def test_nmap_says_permitted_where_its_scripts_saw_plain_passwords_outside_tls():
    assert said(whole("nmap.xml")) == [
        ("192.0.2.7:25", "permitted", "smtp", "smtp-commands"),
        ("192.0.2.7:109", "permitted", "pop2", "banner"),
        ("192.0.2.7:110", "permitted", "pop3", "pop3-capabilities"),
        ("192.0.2.7:143", "listens", "imap", ""),
        ("192.0.2.7:995", "listens", "pop3", ""),
        ("192.0.2.7:1143", "listens", "imap", ""),
    ]


def test_nmap_tells_product_and_version_where_it_knows():
    sample = SAMPLES["nmap.xml"].replace(b'product="Exim smtpd"', b'product="Exim" version="4.94"')
    got, _ = items([sample])
    told = [each.product for each in got if isinstance(each, Reported)]
    assert set(told) >= {"Exim 4.94", "Dovecot pop3d", "Dovecot imapd"}


def test_the_ports_of_nmap_s_that_count_can_be_named():
    places = [place for place, *_ in said(whole("nmap.xml", Options(ports=(22,))))]
    assert "192.0.2.7:22" in places
    assert "192.0.2.7:1143" in places, "a mail service counts on any port"


NMAP = (
    '<nmaprun><host><address addr="192.0.2.7" addrtype="ipv4"/><ports><port protocol="tcp" '
    'portid="{port}"><state state="open"/><service name="{service}" method="table"/>'
    '<script id="{script}" output="{output}"/></port></ports></host></nmaprun>'
)


@pytest.mark.parametrize(
    ("script", "output", "permitted"),
    [
        ("pop3-capabilities", "USER UIDL", True),
        ("pop3-capabilities", "UIDL SASL(CRAM-MD5 PLAIN)", True),
        ("pop3-capabilities", "STLS SASL(CRAM-MD5) UIDL", False),
        ("pop3-capabilities", "STLS SASL UIDL IMPLEMENTATION(USER)", False),
        ("pop3-capabilities", "server doesn't support CAPA", False),
        ("imap-capabilities", "IMAP4rev1 IDLE", True),
        ("imap-capabilities", "IMAP4rev1 IDLE LOGINDISABLEDA0001", False),
        ("imap-capabilities", "IMAP4rev1 LOGINDISABLED AUTH=PLAIN", True),
        ("imap-capabilities", "LOGINDISABLED IMAP4rev1 AUTH=PLAINA0001", True),
        ("imap-capabilities", "&#xa;  ERROR: Failed to retrieve capabilities", False),
        ("smtp-commands", "mail.example, SIZE, AUTH PLAIN", True),
        ("smtp-commands", "mail.example, SIZE, AUTH=LOGIN", True),
        ("smtp-commands", "mail.example, AUTH GSSAPI NTLM, STARTTLS", False),
        ("smtp-commands", "mail.example, SIZE&#xa; Commands: AUTH, AUTH PLAIN LOGIN", False),
        ("smtp-commands", "mail.example, SIZE&#xa; Commands supported: AUTH HELO", False),
        ("banner", "+ POP2 mail.example ready", True),
        ("banner", "- POP2 server disabled on this system", False),
        ("banner", "+OK POP3 ready", False),
        ("http-title", "AUTH PLAIN USER IMAP4", False),
    ],
)
def test_what_nmap_s_scripts_show(script: str, output: str, permitted: bool):
    def says(port: int, service: str) -> str:
        text = NMAP.format(port=port, service=service, script=script, output=output)
        ((_, claim, _, _),) = said(items([text.encode()])[0])
        return claim

    assert says(110, "x") == ("permitted" if permitted else "listens")
    assert says(995, "x") == "listens", "TLS comes first on that port"
    assert says(110, "pop3s") == "listens", "TLS comes first by that name"


@pytest.mark.parametrize(
    ("check", "name", "protocol"),
    [
        ("15854", "", "pop2"),
        ("", "POP2 Cleartext Logins Permitted", "pop2"),
        ("", "POP3 Unencrypted Cleartext Logins", "pop3"),
        ("", "IMAP Service Cleartext Login Permitted", "imap"),
        ("", "SMTP Unencrypted Cleartext Login", "smtp"),
        ("", "FTP Unencrypted Cleartext Login", None),
        ("10185", "POP3 Server Detection", None),
        ("", "", None),
    ],
)
def test_which_checks_count(check: str, name: str, protocol: str | None):
    assert protocol_of(check, name) == protocol
