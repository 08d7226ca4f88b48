"""Strategy native: from the facts of hosts with a mail daemon to the edit that has effect."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.configs import assignments
from mailseal.configs.text import apply_splices
from mailseal.facts.gather import gather
from mailseal.facts.scope import digest
from mailseal.model import codec, ops
from mailseal.model.host import HostFacts
from mailseal.model.look import Vantage
from mailseal.model.plan import ClaimKind, Plan
from mailseal.plan import AlreadySealed, Cannot, Given, Options, affected, make
from mailseal.system.base import Completed
from mailseal.system.memory import Bind, MemorySystem

PEM = b"-----BEGIN CERTIFICATE-----\nbGVhZg==\n-----END CERTIFICATE-----\n"
MASTER = b"""\
smtp inet n - n - - smtpd
submission inet n - n - - smtpd
  -o syslog_name=postfix/submission
# TLS from the first octet
465 inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
pickup unix n - n 60 1 pickup
"""
MAIN = {
    "smtpd_tls_auth_only": "no",
    "smtpd_sasl_auth_enable": "yes",
    "smtpd_tls_security_level": "may",
    "smtpd_tls_cert_file": "/etc/ssl/mail.pem",
    "smtpd_tls_chain_files": "",
}
MAIN_FILE, CONF = "/etc/dovecot/dovecot.conf", "/etc/dovecot/conf.d/10-ssl.conf"
DOVECOT = b"""\
protocols = imap pop3
!include conf.d/*.conf
service imap-login {
  inet_listener imap_odd {
    port = 10143
  }
}
"""
SSL = b"ssl = yes\nssl_cert = </etc/ssl/mail.pem\n"
UNIT = b"[Service]\nType=notify\nExecStart=%s\n[Install]\nWantedBy=multi-user.target\n"
NATIVE = Options(strategy="native", name="mail.example")


def machine(program: str, unit: str, ports: tuple[int, ...]) -> MemorySystem:
    system = MemorySystem()
    system.put(program, b"\x7fELF", 0o755)
    system.put("/lib/systemd/system/" + unit, UNIT % program.encode())
    system.put("/etc/ssl/mail.pem", PEM)
    system.listens[unit] = tuple(Bind(a, port) for port in ports for a in ("0.0.0.0", "::"))
    system.manager.reload_files()
    system.manager.enable(unit)
    system.manager.boot()
    return system


def postfix(master: bytes = MASTER, main: dict[str, str] | None = None) -> MemorySystem:
    system = machine("/usr/lib/postfix/sbin/master", "postfix.service", (25, 587, 465))
    system.put("/etc/postfix/main.cf", b"# see postconf\n")
    system.put("/etc/postfix/master.cf", master)
    said = "".join("%s = %s\n" % pair for pair in (MAIN if main is None else main).items())
    system.programs["postconf"] = lambda argv, data: Completed(argv, 0, said.encode(), b"")
    return system


def dovecot(
    conf: bytes = SSL,
    version: str = "2.3.19.1 (9b53102964)",
    ssl: str = "yes",
    clear: str = "no",
    trusted: str = "",
) -> MemorySystem:
    system = machine("/usr/sbin/dovecot", "dovecot.service", (110, 143, 10143, 993))
    system.put(MAIN_FILE, DOVECOT)
    system.put(CONF, conf)

    def doveconf(argv: tuple[str, ...], data: bytes) -> Completed:
        value = {"ssl": ssl, "login_trusted_networks": trusted}
        said = "".join("%s = %s\n" % (name, value.get(name, clear)) for name in argv[3:])
        return Completed(argv, 0, said.encode(), b"")

    system.programs["doveconf"] = doveconf
    system.programs["dovecot"] = lambda argv, data: Completed(argv, 0, version.encode(), b"")
    return system


IMAPD, POP3D = "/etc/courier/imapd", "/etc/courier/pop3d"
ADVERTISE = "auth_advertise_hosts"
MORE = "/etc/more.conf"
FILES = (
    "/etc/exim4/exim4.conf",
    "/etc/cyrus.conf",
    "/etc/imapd.conf",
    IMAPD,
    IMAPD + "-ssl",
    "/etc/ssl/both.pem",
)
BOTH = b"-----BEGIN PRIVATE KEY-----\n" + PEM


def courier(
    ssl: bytes = b"IMAPDSTARTTLS=YES\nIMAP_TLS_REQUIRED=0\nTLS_CERTFILE=/etc/ssl/both.pem\n",
    base: bytes = b'ADDRESS=0\nPORT="143,192.0.2.10.10143"\n',
) -> MemorySystem:
    system = machine("/usr/sbin/couriertcpd", "courier-imap.service", (143, 10143))
    system.put("/etc/ssl/both.pem", BOTH)
    system.put(IMAPD, base)
    system.put(IMAPD + "-ssl", ssl)
    system.put(POP3D, b"PORT=110\n")
    system.put(POP3D + "-ssl", b"TLS_CERTFILE=/etc/ssl/both.pem\n")
    return system


CYRUS, IMAPD_CONF = "/etc/cyrus.conf", "/etc/imapd.conf"
SERVICES = b"""\
START {
  recover cmd="ctl_cyrusdb -r" listen="9"
}
SERVICES {
  imap4 cmd="imapd -U 30" listen="192.0.2.10:imap" prefork=0
  imap6 cmd="imapd -U 30" listen="[2001:db8::10]:143"
  imaps cmd="imapd -s" listen="993"
  pop3 cmd="pop3d" listen=110
  own cmd="imapd -C /etc/own.conf" listen="10143"
  sieve cmd="/usr/lib/cyrus/bin/timsieved" listen="4190"
  lmtp cmd="lmtpd" listen="/run/cyrus/lmtp"
  http cmd="httpd" listen="80"
}
"""
TOLD = {
    "allowplaintext": "yes",
    "tls_required": "no",
    "tls_server_cert": "/etc/ssl/mail.pem",
    "tls_server_key": "/etc/ssl/mail.key",
    "ldap_password": "secret",
}


def cyrus(
    conf: bytes = b"allowplaintext: yes\n",
    told: dict[str, str] | None = None,
    files: dict[str, bytes] | None = None,
) -> MemorySystem:
    system = machine("/usr/lib/cyrus/bin/master", "cyrus-imapd.service", (110, 143, 993, 4190))
    system.put(CYRUS, SERVICES)
    system.put("/etc/services", b"imap 143/tcp\n")
    system.put(IMAPD_CONF, conf)
    for path, data in (files or {}).items():
        system.put(path, data)
    said = "".join("%s: %s\n" % pair for pair in (TOLD if told is None else told).items())
    system.programs["cyr_info"] = lambda argv, data: Completed(argv, 0, said.encode(), b"")
    return system


EXIM, SPLIT = "/etc/exim4/exim4.conf", "/etc/exim4/conf.d/main/"
TEMPLATE = "/etc/exim4/exim4.conf.template"
GENERATED = "/var/lib/exim4/config.autogenerated"
ONLY = "auth_advertise_hosts = ${if def:tls_in_cipher {%s}{}}"
SAID = {
    "auth_advertise_hosts": "*",
    "tls_certificate": "/etc/ssl/mail.pem",
    "tls_advertise_hosts": "*",
    "tls_on_connect_ports": "465",
}


def exim(
    main: bytes = b"primary_hostname = mail.example\nbegin acl\n",
    read: str = EXIM,
    told: dict[str, str] | None = None,
    files: dict[str, bytes] | None = None,
) -> MemorySystem:
    system = machine("/usr/sbin/exim4", "exim4.service", (25, 587, 465))
    if main:
        system.put(TEMPLATE if read == GENERATED else read, main)
    for path, data in (files or {}).items():
        system.put(path, data)
    values = {**SAID, **(told or {})}
    said = read + "\n" + "".join("%s = %s\n" % pair for pair in values.items())
    system.programs["exim4"] = lambda argv, data: Completed(argv, 0, said.encode(), b"")
    return system


def plan(system: MemorySystem, port: int, protocol: str, options: Options = NATIVE) -> Plan:
    return make(gather(system, (port,)), port, protocol, options)


def changed(system: MemorySystem, made: Plan) -> dict[str, bytes]:
    """What the plan makes of each file."""
    edits = [op for op in made.ops if isinstance(op, ops.EditFile)]
    return {op.path: apply_splices(system.read(op.path), op.splices) for op in edits}


def test_a_port_of_postfix_gets_a_setting_of_its_own():
    system = postfix()
    made = plan(system, 587, "smtp")
    line = b"  -o syslog_name=postfix/submission\n"
    new = MASTER.replace(line, line + b"  -o smtpd_tls_auth_only=yes\n")
    assert changed(system, made) == {"/etc/postfix/master.cf": new}
    key = "submission/inet/smtpd_tls_auth_only"
    assert made.ops[0] == ops.UnitAction("postfix.service", "", "reload")
    assert made.ops[2:] == (
        ops.CheckConfiguration(("postfix", "check"), ()),
        ops.CheckConfiguration(("postconf", "-P", key), (key + " = yes",)),
        ops.UnitAction("postfix.service", "reload", ""),
    )
    assert any("cleartext on port 25: plan for that too" in line for line in made.headline)


def test_a_setting_that_a_service_has_is_changed_where_it_stands():
    master = MASTER.replace(b"postfix/submission", b"x -o smtpd_tls_auth_only=no # why")
    system = postfix(master.replace(b" # why", b""))
    made = plan(system, 587, "smtp")
    (after,) = changed(system, made).values()
    assert after == system.read("/etc/postfix/master.cf").replace(b"only=no", b"only=yes")


@pytest.mark.parametrize(
    ("version", "key", "safe"),
    [
        ("2.3.19.1 (x)", b"disable_plaintext_auth", b"yes"),
        ("2.4.1-4 (x)", b"auth_allow_cleartext", b"no"),
    ],
)
def test_a_protocol_of_dovecot_gets_a_section_at_the_end(version: str, key: bytes, safe: bytes):
    system = dovecot(version=version, clear="no" if safe == b"yes" else "yes")
    made = plan(system, 143, "imap")
    section = b"protocol imap {\n  ssl = required\n  %s = %s\n}\n" % (key, safe)
    assert changed(system, made) == {MAIN_FILE: DOVECOT + section}
    assert ops.CheckConfiguration(("doveconf", "-n"), ()) in made.ops
    effect = [op.prints for op in made.ops if isinstance(op, ops.CheckConfiguration)][1]
    assert effect == ("ssl = required", (key + b" = " + safe).decode())


def test_what_a_section_of_dovecot_says_is_changed_there_and_only_the_rest_is_added():
    system = dovecot(SSL + b"protocol imap {\n  ssl = yes # why\n}\n")
    made = plan(system, 143, "imap")
    assert changed(system, made) == {
        CONF: SSL + b"protocol imap {\n  ssl = required # why\n}\n",
        MAIN_FILE: DOVECOT + b"protocol imap {\n  disable_plaintext_auth = yes\n}\n",
    }


@pytest.mark.parametrize(
    ("ssl", "base", "path"),
    [
        (b"IMAP_TLS_REQUIRED=0 # why\n", b"", IMAPD + "-ssl"),
        (b"", b"", IMAPD + "-ssl"),
        (b"", b"IMAP_TLS_REQUIRED=0\n", IMAPD),
        (b"IMAP_TLS_REQUIRED=$OLD\n", b"IMAP_TLS_REQUIRED=1\n", IMAPD + "-ssl"),
    ],
)
def test_the_variable_of_courier_is_changed_where_it_counts(ssl: bytes, base: bytes, path: str):
    on = b"IMAPDSTARTTLS=YES\nTLS_CERTFILE=/etc/ssl/both.pem\n"
    system = courier(on + ssl, b"PORT=143,10143\n" + base)
    made = plan(system, 143, "imap")
    ((where, after),) = changed(system, made).items()
    assert where == path
    last = assignments.parse(after)
    assert last.value("IMAP_TLS_REQUIRED") == "1"
    assert last.value("TLS_CERTFILE") in (None, "/etc/ssl/both.pem")
    assert {op.argv for op in made.ops if isinstance(op, ops.CheckConfiguration)} == {
        ("sh", "-n", IMAPD),
        ("sh", "-n", IMAPD + "-ssl"),
    }


def test_a_service_of_cyrus_gets_options_of_its_own():
    system = cyrus(b"pop3_allowplaintext: yes\n@include: /etc/more.conf\n", files={MORE: b"a: b"})
    made = plan(system, 110, "pop3")
    assert changed(system, made) == {
        IMAPD_CONF: b"pop3_allowplaintext: no\n@include: /etc/more.conf\npop3_tls_required: yes\n"
    }
    (check,) = (op for op in made.ops if isinstance(op, ops.CheckConfiguration))
    assert check.argv[1:] == ("-C", IMAPD_CONF, "-n", "pop3", "conf-all")
    assert check.prints == ("allowplaintext: no", "tls_required: yes")
    told = "The same Cyrus goes on taking logins in cleartext on port 143, 4190: plan"
    assert any(told in line for line in made.headline)
    assert "secret" not in codec.dumps(gather(system, (110,)))


def test_an_option_of_a_file_that_cyrus_includes_is_changed_there():
    system = cyrus(b"@include: /etc/more.conf\n", files={MORE: b"POP3_AllowPlaintext: 1\n"})
    made = plan(system, 110, "pop3")
    assert changed(system, made) == {
        IMAPD_CONF: b"@include: /etc/more.conf\npop3_tls_required: yes\n",
        MORE: b"POP3_AllowPlaintext: no\n",
    }


def test_two_services_of_a_port_of_cyrus_change_together_and_an_old_release_has_one_option():
    old = {key: value for key, value in TOLD.items() if key != "tls_required"}
    system = cyrus(told=old)
    added = b"imap4_allowplaintext: no\nimap6_allowplaintext: no\n"
    made = plan(system, 143, "imap")
    assert changed(system, made) == {IMAPD_CONF: b"allowplaintext: yes\n" + added}
    checks = [op.prints for op in made.ops if isinstance(op, ops.CheckConfiguration)]
    assert checks == [("allowplaintext: no",)] * 2


def test_exim_offers_a_login_inside_tls_alone():
    system = exim()
    made = plan(system, 587, "smtp")
    line = ONLY % "*"
    after = b"primary_hostname = mail.example\n%s\nbegin acl\n" % line.encode()
    assert changed(system, made) == {EXIM: after}
    assert made.ops[2:4] == (
        ops.CheckConfiguration(("exim4", "-bV"), ()),
        ops.CheckConfiguration(("exim4", "-bP", "auth_advertise_hosts"), (line,)),
    )
    assert isinstance(made.ops[-1], ops.UnitAction)
    assert made.ops[-1].do == "reload"
    assert all(each.anew for each in made.ops[-1].after_do)
    assert {claim.endpoint.port for claim in made.before} == {25, 587}
    assert "sockets anew" in made.gap


def test_who_was_offered_a_login_by_exim_still_is_inside_tls():
    old = "<; 192.0.2.0/24 ; ${if eq{$received_port}{25}{}{*}}"
    written = old.replace("192.0.2.0/24", "OURS")
    system = exim(b"auth_advertise_hosts=%s\n" % written.encode(), told={ADVERTISE: old})
    made = plan(system, 587, "smtp")
    after = (ONLY % written).replace(" = ", "=", 1).encode() + b"\n"
    assert changed(system, made) == {EXIM: after}
    effect = [op.prints for op in made.ops if isinstance(op, ops.CheckConfiguration)][1]
    assert effect == (ONLY % old,)


@pytest.mark.parametrize("split", [True, False])
def test_what_debian_makes_exim_s_configuration_of_is_changed_and_asked_once_it_is_made(
    split: bool,
):
    settings = b"dc_use_split_config='%s'\n" % (b"true" if split else b"false")
    parts = {SPLIT + "01_a": b"a = b\n", SPLIT + "90_z": b"c = d\n", SPLIT + "95_z.bak": b""}
    files = {"/etc/exim4/update-exim4.conf.conf": settings, **parts}
    system = exim(read=GENERATED, files=files)
    made = plan(system, 587, "smtp")
    path = SPLIT + "90_z" if split else TEMPLATE
    assert list(changed(system, made)) == [path]
    assert made.ops[2] == ops.CheckConfiguration(("update-exim4.conf", "--check"), ())
    question = ("exim4", "-bP", "auth_advertise_hosts")
    assert made.ops[-1] == ops.CheckConfiguration(question, (ONLY % "*",))


def test_a_daemon_that_cannot_reload_is_restarted_until_its_sockets_are_back():
    made = plan(courier(), 143, "imap")
    sockets = tuple(
        ops.Listening(address, port, True, anew=True)
        for port in (143, 10143)
        for address in ("0.0.0.0", "::")
    )
    unit = "courier-imap.service"
    assert made.ops[0] == ops.UnitAction(unit, "", "restart", after_undo=sockets)
    assert made.ops[-1] == ops.UnitAction(unit, "restart", "", after_do=sockets)
    assert "ends open sessions" in made.gap
    assert any("Port 10143 of the same IMAP" in line for line in made.headline)
    assert {claim.endpoint.port for claim in made.before} == {143, 10143}


def test_every_port_of_the_protocol_is_named_and_proven_where_strangers_reach_it():
    system = dovecot(trusted="198.51.100.0/24")
    made = plan(system, 143, "imap")
    assert affected(gather(system, (143,)), 143, "imap") == (143, 10143)
    *promised, beside = made.claims
    where = {(claim.kind, claim.endpoint.port) for claim in promised}
    kinds = (ClaimKind.CLEARTEXT_REFUSED, ClaimKind.SERVICE_IN_TLS)
    assert where == {(kind, port) for kind in kinds for port in (143, 10143)}
    assert {claim.vantage for claim in (*promised, *made.before)} == {Vantage.REMOTE}
    assert beside.kind is ClaimKind.NEIGHBOURS_KEPT
    assert set(beside.expected["listening"].split()) == {
        *("0.0.0.0:110", "[::]:110", "0.0.0.0:993", "[::]:993")
    }
    assert {claim.endpoint.port for claim in made.before} == {143, 10143}
    assert all(claim.expected["certificate"] == "/etc/ssl/mail.pem" for claim in promised)
    assert "10143" in made.headline[0]
    assert any("198.51.100.0/24" in risk for risk in made.risks)


@pytest.mark.parametrize(
    ("system", "port", "protocol"),
    [
        (postfix, 587, "smtp"),
        (dovecot, 143, "imap"),
        (courier, 143, "imap"),
        (cyrus, 110, "pop3"),
        (exim, 587, "smtp"),
    ],
)
def test_a_plan_is_whole_and_goes_stale_with_any_of_its_files(system, port: int, protocol: str):
    host = system()
    made = plan(host, port, protocol)
    assert codec.loads(Plan, codec.dumps(made), lenient=False) == made
    assert digest(gather(host, made.scope.ports, made.scope.paths), made.scope) == made.facts_digest
    for path in ("/etc/postfix/master.cf", "/etc/postfix/main.cf", CONF, MAIN_FILE, *FILES):
        if host.stat(path):
            before = host.read(path)
            host.put(path, before + b"# x\n")
            again = digest(gather(host, made.scope.ports, made.scope.paths), made.scope)
            assert again != made.facts_digest, path
            host.put(path, before)


def test_without_a_name_of_a_strategy_the_plan_chooses_and_says_why():
    made = plan(postfix(), 587, "smtp", Options())
    assert made.strategy == "native"
    assert "Strategy native, because Postfix can enforce TLS itself" in "\n".join(made.headline)


def test_a_certificate_behind_a_link_is_followed_and_one_with_its_key_is_not_shown():
    system = postfix()
    system.remove("/etc/ssl/mail.pem")
    system.put("/etc/archive/mail1.pem", PEM)
    system.symlink("/etc/ssl/mail.pem", "../archive/mail1.pem")
    assert plan(system, 587, "smtp").claims[0].expected["certificate"] == "/etc/archive/mail1.pem"
    system.put("/etc/archive/mail1.pem", b"-----BEGIN PRIVATE KEY-----\n" + PEM)
    assert plan(system, 587, "smtp").claims[0].expected["certificate"] == ""


NO_TLS = {**MAIN, "smtpd_tls_security_level": ""}
LINKED = dovecot()
LINKED.remove(CONF)
LINKED.put("/srv/ssl.conf", SSL)
LINKED.symlink(CONF, "/srv/ssl.conf")


@pytest.mark.parametrize(
    ("system", "port", "says"),
    [
        (postfix(main=NO_TLS), 587, "set smtpd_tls_cert_file, smtpd_tls_key_file"),
        (postfix(main={**MAIN, "smtpd_tls_cert_file": ""}), 587, "nobody could log in"),
        (postfix(main={**MAIN, "smtpd_sasl_auth_enable": "no"}), 587, "no login is configured"),
        (postfix(main={}), 587, "postconf gave no answer"),
        (postfix(), 465, "from the first octet"),
        (postfix(b"smtp inet n - n - 1 postscreen\n"), 25, "served by postscreen"),
        (postfix(b"smtp inet n - n - - smtpd\n"), 587, "no service of /etc/postfix/master.cf"),
        (postfix(b" -o a=b\n"), 587, "master.cf line 1: continues no service"),
        (dovecot(b"ssl = no\n", ssl="no"), 143, "set ssl = yes and ssl_cert and ssl_key"),
        (dovecot(b""), 143, "Dovecot has no TLS"),
        (dovecot(version="3.9.1"), 143, "Dovecot 3.9.1 with IMAP is not known here"),
        (
            dovecot(SSL + b"local 192.0.2.1 {\nssl = no\n}\n"),
            143,
            "10-ssl.conf line 4 says otherwise",
        ),
        (dovecot(SSL + b"what\n"), 143, "10-ssl.conf line 3: neither a setting"),
        (dovecot(), 993, "no listener of imap without TLS has port 993"),
        (LINKED, 143, "10-ssl.conf is a link"),
        (exim(told={"tls_certificate": ""}), 587, "set tls_certificate, tls_privatekey"),
        (exim(told={"tls_certificate": "/no.pem"}), 587, "nobody could log in"),
        (exim(told={ADVERTISE: ""}), 587, "no login is configured"),
        (exim(told={ADVERTISE: "}{"}), 587, "braces that do not match"),
        (exim(told={ADVERTISE: "!127.0.0.1"}), 587, "not in the files that are read here"),
        (exim(b".ifdef X\nauth_advertise_hosts = *\n.endif\n"), 587, "line 2 sets auth_advertise"),
        (exim(b'auth_advertise_hosts = "*"\n'), 587, "quotes, backslashes"),
        (exim(b"a = \0\n"), 587, "exim4.conf line 1: a NUL"),
        (exim(b""), 587, "exim4.conf is not there"),
        (exim(b"", read=""), 587, "exim4 -bP gave no answer"),
        (exim(), 465, "port 465 speaks TLS from the first octet"),
        (cyrus(told={}), 143, "cyr_info gave no answer"),
        (cyrus(told={**TOLD, "tls_server_key": ""}), 143, "set tls_server_cert and tls_server_key"),
        (cyrus(b"what\n"), 143, "/etc/imapd.conf line 1: no option"),
        (cyrus(b"@include: /etc/more.conf\n"), 143, "/etc/more.conf is not there"),
        (cyrus(), 993, "port 993 speaks TLS from the first octet"),
        (cyrus(), 110, "pop3 of /etc/cyrus.conf is no IMAP"),
        (cyrus(files={"/etc/default/cyrus-imapd": b"CONF=/x\n"}), 143, "cyrus-imapd sets CONF"),
        (courier(b"IMAPDSTARTTLS=NO\n"), 143, "IMAP everybody in cleartext: set IMAPDSTARTTLS"),
        (courier(b"IMAPDSTARTTLS=YES\nTLS_CERTFILE=/no.pem\n"), 143, "set IMAPDSTARTTLS=YES and"),
        (courier(base=b"PORT=$MINE\n"), 143, "PORT of /etc/courier/imapd does not name port 143"),
        (courier(base=b"PORT=143\n. /etc/more\n"), 143, "courier/imapd line 2: more than an"),
    ],
)
def test_what_is_refused_and_what_helps(system: MemorySystem, port: int, says: str):
    with pytest.raises(Cannot, match=says):
        plan(
            system,
            port,
            "smtp" if system.stat("/etc/postfix") or system.programs.get("exim4") else "imap",
        )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (replace(NATIVE, stage="offer"), "no stage offer"),
        (replace(NATIVE, given=Given("/a", "/b")), "leave --cert and --key out"),
        (replace(NATIVE, strategy="wrap"), "open relay"),
        (replace(NATIVE, strategy="retire"), "--strategy native"),
    ],
)
def test_wishes_that_do_not_fit(options: Options, says: str):
    with pytest.raises(Cannot, match=says):
        plan(postfix(), 587, "smtp", options)


@pytest.mark.parametrize(
    ("system", "port"),
    [
        (postfix(main={**MAIN, "smtpd_tls_auth_only": "yes"}), 587),
        (postfix(main={**MAIN, "smtpd_tls_security_level": "encrypt"}), 25),
        (dovecot(ssl="required", clear="yes"), 143),
        (exim(told={ADVERTISE: "${if def:tls_in_cipher {*}{}}"}), 587),
        (exim(told={ADVERTISE: "${if eq{$tls_in_cipher}{}{}{*}}"}), 587),
        (cyrus(told={**TOLD, "allowplaintext": "no", "tls_required": "yes"}), 143),
        (courier(b"IMAPDSTARTTLS=YES\nIMAP_TLS_REQUIRED=1\nTLS_CERTFILE=/etc/ssl/mail.pem\n"), 143),
    ],
)
def test_where_it_is_enforced_there_is_nothing_to_change(system: MemorySystem, port: int):
    with pytest.raises(AlreadySealed, match="no login before TLS on port %d" % port):
        plan(system, port, "imap" if port == 143 else "smtp")


HOSTILE = st.lists(
    st.sampled_from(
        [b"auth_advertise_hosts = ", b"*", b".ifdef X\n", b".endif\n", b"begin acl\n", b"\\\n"]
        + [b"pop3_allowplaintext: ", b"no", b"@include: /etc/imapd.conf", b"SERVICES {\n", b"}\n"]
        + [b'pop3 cmd="pop3d" listen="110"\n', b"listen=", b' cmd="', b"IMAP_TLS_REQUIRED=", b"0"]
        + [b"PORT=143,", b"TLS_CERTFILE=/etc/ssl/mail.pem\n", b"IMAPDSTARTTLS=YES\n", b"$A"]
        + [b"\n", b" ", b"\r", b"\v", b"\0", b"\xff", b'"', b"'", b"{", b"}", b"#", b"\xe2\x80\xa8"]
    ),
    max_size=20,
).map(b"".join)


@given(HOSTILE)
def test_any_configuration_is_planned_for_or_refused(data: bytes):
    services = cyrus()
    services.put(CYRUS, data)
    for system, port, protocol in (
        (exim(data), 587, "smtp"),
        (exim(data, told={ADVERTISE: data.decode("utf-8", "replace")}), 587, "smtp"),
        (cyrus(data), 110, "pop3"),
        (services, 110, "pop3"),
        (courier(data), 143, "imap"),
        (courier(base=data), 143, "imap"),
    ):
        with contextlib.suppress(Cannot):
            changed(system, plan(system, port, protocol))


def elsewhere(of: HostFacts, unit: str = "postfix.service", executable: str = "") -> HostFacts:
    there = [
        replace(each, unit=unit, executable=executable or each.executable) for each in of.listeners
    ]
    return replace(of, listeners=tuple(there))


def test_another_instance_and_another_daemon_are_not_guessed_about():
    of = gather(postfix(), (587,))
    with pytest.raises(Cannot, match="not by its usual unit"):
        make(elsewhere(of, unit="postfix@two.service"), 587, "smtp", NATIVE)
    with pytest.raises(Cannot, match=r"served by none of Dovecot, .*Postfix"):
        make(elsewhere(of, executable="/usr/sbin/inetd"), 587, "smtp", NATIVE)
    alone = replace(of, listeners=tuple(replace(e, address="127.0.0.1") for e in of.listeners))
    with pytest.raises(Cannot, match="loopback alone"):
        make(alone, 587, "smtp", NATIVE)


@pytest.mark.parametrize(("made", "name"), [(dovecot, "dovecot"), (postfix, "postfix")])
def test_under_an_init_script_the_steps_are_the_same(made, name: str):
    port, protocol = (143, "imap") if name == "dovecot" else (587, "smtp")
    there = make(gather(made(), (port,)), port, protocol, NATIVE)
    system = made()
    system.remove("/run/systemd/system")
    system.put("/etc/init.d/" + name, b"#!/bin/sh\nDAEMON=/usr/sbin/%s\n" % name.encode(), 0o755)
    system.programs["service"] = lambda argv, data: Completed(argv, 0, b"", b"")
    facts = gather(system, (port,))
    assert facts.init == "other"
    here = make(facts, port, protocol, NATIVE)
    assert here.ops == there.ops
    assert here.claims == there.claims
    assert {op.unit for op in here.ops if isinstance(op, ops.UnitAction)} == {name + ".service"}
