"""TLS in front of POP3, IMAP and ManageSieve: where it is served, what is told, what is refused."""

import re
from dataclasses import replace

import pytest

from mailseal.configs import fail2ban, stunnel, systemd
from mailseal.facts.gather import gather
from mailseal.model import ops
from mailseal.model.host import FileFact, HostFacts
from mailseal.model.plan import ClaimKind, Plan
from mailseal.plan import AlreadySealed, Cannot, Given, Options, make
from mailseal.terminators import inits, renewal
from tests.plan import hosts
from tests.plan.hosts import listener, listening

SHARED = tuple(op.path for op in inits.SYSTEMD.renewing)

NAMED = Options(name="mail.example")
OFFER = replace(NAMED, stage="offer")
POPA3D = b"110 stream tcp nowait root /usr/sbin/tcpd popa3d\n"
IMAP = b"143 stream tcp nowait root /usr/sbin/imapd imapd\n"
SIEVE = b"4190 stream tcp nowait root /usr/sbin/sieved sieved\n"


def inetd(line: bytes, **files: bytes) -> HostFacts:
    system = hosts.inetd(line)
    for name, data in files.items():
        system.put("/etc/" + name.replace("_", "."), data)
    return gather(system, (int(line.split()[0]),))


def sealed_at(plan: Plan) -> set[int]:
    """The ports where TLS alone is promised; stunnel accepts at these, each at every address."""
    found = {each.endpoint.port for each in plan.claims if each.kind is ClaimKind.SERVICE_IN_TLS}
    places = {(each.endpoint.address, each.endpoint.port) for each in plan.claims}
    accepted = {each for each in accepts(plan) if each[1] in found}
    assert accepted == {each for each in places if each[1] in found}
    return found


def config(plan: Plan) -> bytes:
    (written,) = [
        op.content
        for op in plan.ops
        if isinstance(op, ops.WriteFile) and re.fullmatch(r"/etc/mailseal/\d+\.conf", op.path)
    ]
    return written


def trial(plan: Plan) -> bytes:
    return next(op.content for op in plan.ops if isinstance(op, ops.TryTerminator))


def accepts(plan: Plan) -> set[tuple[str, int]]:
    found = set()
    for service in stunnel.parse(config(plan)).services:
        (option,) = [each for each in service.options if each.key.text == "accept"]
        address, _, port = option.value.text.rpartition(":")
        found.add((address, int(port)))
    return found


@pytest.mark.parametrize(
    ("line", "protocol", "ports"),
    [
        (POPA3D, "pop3", {110, 995}),
        (IMAP, "imap", {143, 993}),
        (SIEVE, "managesieve", {4190}),
        (POPA3D.replace(b"110", b"10110"), "pop3", {10110}),
    ],
)
def test_enforced_at_the_port_and_where_clients_look_for_tls(
    line: bytes, protocol: str, ports: set[int]
):
    port = min(ports)
    made = make(inetd(line), port, protocol, NAMED)
    assert sealed_at(made) == ports
    assert {*made.scope.ports} == ports
    refused = {e.endpoint.port for e in made.claims if e.kind is ClaimKind.CLEARTEXT_REFUSED}
    assert refused == ports
    (start,) = [op for op in made.ops if isinstance(op, ops.UnitAction) and "mailseal@" in op.unit]
    assert {each.port for each in start.after_do} == ports
    assert any("firewall" in risk for risk in made.risks) == (len(ports) > 1)


@pytest.mark.parametrize(
    ("line", "protocol", "port", "side"),
    [
        (POPA3D, "pop3", 110, 995),
        (IMAP, "imap", 143, 993),
        (SIEVE, "managesieve", 4190, 1109),
        (POPA3D.replace(b"110", b"10110"), "pop3", 10110, 995),
    ],
)
def test_offered_where_clients_look_for_tls(line: bytes, protocol: str, port: int, side: int):
    assert sealed_at(make(inetd(line), port, protocol, OFFER)) == {side}
    assert sealed_at(make(inetd(line), port, protocol, replace(OFFER, tls_port=7))) == {7}


def test_another_port_can_be_wished_for_and_none():
    of = inetd(POPA3D)
    assert sealed_at(make(of, 110, "pop3", replace(NAMED, tls_port=7))) == {110, 7}
    made = make(of, 110, "pop3", replace(NAMED, tls_port=110))
    assert sealed_at(made) == {110}
    assert not any("firewall" in risk for risk in made.risks)


def taken() -> HostFacts:
    of = inetd(POPA3D)
    other = listener("0.0.0.0", 995, process="nginx", unit="nginx.service")
    return replace(of, listeners=(*of.listeners, other))


def test_who_has_the_port_of_tls_keeps_it():
    made = make(taken(), 110, "pop3", NAMED)
    assert sealed_at(made) == {110}
    assert "Port 995 is served by nginx, and stays as it is." in made.risks
    for wish in (OFFER, replace(NAMED, tls_port=995)):
        with pytest.raises(Cannot, match="port 995 is taken by nginx: choose another"):
            make(taken(), 110, "pop3", wish)


OFFERED = (
    b"cert = /etc/mailseal/995.crt\nkey = /etc/mailseal/995.key\n[popa3d]\n"
    b"accept = 192.0.2.10:995\nconnect = 127.0.0.1:110\n"
)


def offered(content: bytes) -> HostFacts:
    """A terminator of ours at port 995."""
    of = inetd(POPA3D)
    ours = listener("192.0.2.10", 995, process="stunnel4", unit="mailseal@995.service")
    more = [FileFact("/etc/mailseal/995.conf", "file", 0o640, 0, 0, "x", content)]
    more += [FileFact("/etc/mailseal", "directory", 0o750, 0, 0)]
    more += [FileFact("/etc/mailseal/ca.crt", "file", 0o644, 0, 0, "x", b"")]
    return replace(of, listeners=(*of.listeners, ours), files=(*of.files, *more))


def test_a_gateway_to_the_same_port_of_another_host_is_left_alone():
    gateway = OFFERED.replace(b"127.0.0.1:110", b"198.51.100.7:110")
    made = make(offered(gateway), 110, "pop3", NAMED)
    assert not any("995" in getattr(op, "path", "") for op in made.ops)


def test_an_offer_at_the_port_of_tls_is_shown_the_backend_and_stays_there():
    made = make(offered(OFFERED), 110, "pop3", NAMED)
    assert {port for _, port in accepts(made)} == {110}
    assert ("192.0.2.10", 995) in {(e.endpoint.address, e.endpoint.port) for e in made.claims}
    assert [op.path for op in made.ops if isinstance(op, ops.EditFile)][-1].endswith("995.conf")


def test_what_a_seal_serves_besides_is_sealed_as_well():
    ours = [listener("192.0.2.10", port, unit="mailseal@110.service") for port in (110, 995)]
    with pytest.raises(AlreadySealed, match=r"port 995 is served by mailseal@110\.service"):
        make(listening(inetd(POPA3D), *ours), 995, "pop3", NAMED)


@pytest.mark.parametrize("strategy", ["wrap", "retire", ""])
def test_smtp_is_refused_with_what_to_do(strategy: str):
    with pytest.raises(Cannot, match="--strategy native"):
        make(inetd(POPA3D), 110, "smtp", replace(NAMED, strategy=strategy))


def test_why_smtp_is_refused():
    with pytest.raises(Cannot, match=r"trusts to relay.*an open relay"):
        make(inetd(POPA3D), 25, "smtp", NAMED)


@pytest.mark.parametrize("protocol", ["pop3", "imap", "managesieve"])
def test_turned_off_whatever_it_speaks(protocol: str):
    made = make(inetd(POPA3D), 110, protocol, replace(NAMED, strategy="retire"))
    assert {claim.kind for claim in made.claims[:-1]} == {ClaimKind.CLOSED}
    assert ("Filters" in made.headline[1]) == (protocol == "managesieve")


# -- what is lost ----------------------------------------------------------------------------------


def test_rules_for_the_service_are_asked_by_stunnel_by_its_old_name():
    made = make(inetd(POPA3D, hosts_deny=b"popa3d: 192.0.2.7\n"), 110, "pop3", NAMED)
    parsed = stunnel.parse(config(made))
    assert {service.name for service in parsed.services} == {"popa3d"}
    assert all(
        stunnel.effective(parsed, service)["libwrap"][-1].value.text == "yes"
        for service in parsed.services
    )
    assert any("go on counting: stunnel asks them" in risk for risk in made.risks)
    assert {"/etc/hosts.allow", "/etc/hosts.deny"} <= {*made.scope.paths}
    # The trial comes from loopback, which the rules may keep out.
    assert b"libwrap = no\n" in trial(made)


def test_without_rules_stunnel_asks_none():
    made = make(inetd(POPA3D), 110, "pop3", NAMED)
    assert b"libwrap" not in config(made) + trial(made)
    assert b"[pop3-1]\n" in config(made)
    assert not any("hosts." in risk for risk in made.risks)


def test_a_name_that_is_none_of_a_section_is_told_instead():
    of = inetd(POPA3D.replace(b"tcpd popa3d", b"tcpd a]b"), hosts_deny=b"ALL: ALL\n")
    made = make(of, 110, "pop3", NAMED)
    assert b"libwrap" not in config(made)
    assert any("no longer see the client" in risk for risk in made.risks)


JAILS = b"[mine]\nenabled = true\nport = %s\nfilter = %s\n"


@pytest.mark.parametrize(
    ("ports", "watched", "told"),
    [
        (b"pop3,pop3s", b"x", True),
        (b"smtp,110", b"x", True),
        (b"0:65535", b"popa3d", True),
        (b"imap", b"dovecot", False),
        (b"0:65535", b"sshd", False),
    ],
)
def test_jails_that_watch_the_service_are_told_with_their_line(
    ports: bytes, watched: bytes, told: bool
):
    system = hosts.inetd(POPA3D)
    system.put(fail2ban.LOCAL, JAILS % (ports, watched))
    made = make(gather(system, (110,)), 110, "pop3", NAMED)
    found = [risk for risk in made.risks if "fail2ban" in risk]
    assert bool(found) == told
    if told:
        words = "fail2ban's jail mine (filter %s, on by /etc/fail2ban/jail.local, line 2)"
        assert words % watched.decode() in found[0]


@pytest.mark.parametrize("starter", ["inetd", "xinetd", "systemd"])
def test_the_clients_address_is_told_as_lost(starter: str):
    made = make(hosts.facts(starter), 109, "pop2", NAMED)
    assert any("the client's address" in risk and "journalctl" in risk for risk in made.risks)


# -- daemons that listen themselves ----------------------------------------------------------------


def standalone(program: str) -> HostFacts:
    of = hosts.facts("systemd")
    found = [replace(each, port=110, executable=program) for each in of.listeners]
    return replace(of, listeners=tuple(found))


def test_popa3d_is_served_session_by_session_and_keeps_the_hosts_network():
    made = make(standalone("/usr/sbin/popa3d"), 110, "pop3", NAMED)
    written = {op.path: op.content for op in made.ops if isinstance(op, ops.WriteFile)}
    served = written["/etc/systemd/system/mailseal-backend-110@.service"]
    assert b"ExecStart=-@/usr/sbin/popa3d popa3d\n" in served
    assert not any(
        b"PrivateNetwork" in content for path, content in written.items() if "pop2d" in path
    )
    assert not any("network of its own" in risk for risk in made.risks)
    assert any(b"ConditionPathExists" in content for content in written.values())


def test_dovecot_is_referred_to_its_own_way_but_may_be_offered_tls_beside():
    with pytest.raises(Cannot, match=r"takes a client of its own host for safe.*--strategy native"):
        make(standalone("/usr/sbin/dovecot"), 110, "pop3", replace(NAMED, strategy="wrap"))
    made = make(standalone("/usr/sbin/dovecot"), 110, "pop3", replace(OFFER, strategy="wrap"))
    assert any("ssl = required do not count" in risk for risk in made.risks)


@pytest.mark.parametrize("wish", [NAMED, OFFER])
def test_courier_whose_limit_counts_the_whole_site_as_one_is_refused(wish: Options):
    with pytest.raises(Cannot, match="its limit could not be read"):
        make(standalone("/usr/sbin/couriertcpd"), 110, "pop3", replace(wish, strategy="wrap"))


# -- renewal ---------------------------------------------------------------------------------------

LINEAGE = "/etc/letsencrypt/live/mail.example"
BY_CERTBOT = replace(NAMED, given=Given.by_certbot("mail.example"))


def certbots() -> HostFacts:
    """A host where certbot has a certificate."""
    system = hosts.inetd(POPA3D)
    system.put(renewal.HOOKS + "/other", b"", 0o755)
    system.put("/etc/letsencrypt/archive/mail.example/fullchain3.pem", b"public")
    system.put(LINEAGE + "/README", b"")
    system.symlink(LINEAGE + "/fullchain.pem", "../../archive/mail.example/fullchain3.pem")
    return gather(system, (110,), [LINEAGE + "/fullchain.pem", renewal.HOOKS])


def written(plan: Plan) -> dict[str, bytes]:
    return {op.path: op.content for op in plan.ops if isinstance(op, ops.WriteFile)}


@pytest.mark.parametrize(("wish", "name"), [(NAMED, "110"), (OFFER, "995")])
def test_a_certificate_of_the_private_ca_is_renewed_by_a_timer(wish: Options, name: str):
    made = make(inetd(POPA3D), 110, "pop3", wish)
    files = written(made)
    assert {*SHARED, f"/etc/mailseal/{name}.renew"} <= {*files} & {*made.scope.paths}
    assert b"days=825\n" in files[f"/etc/mailseal/{name}.renew"]
    assert not any(path.startswith(renewal.HOOKS) for path in files)
    service, timer, link = made.ops[-3:]
    unit = f"mailseal-renew@{name}"
    assert (service, timer) == (
        ops.UnitAction(f"{unit}.service", "start", "stop"),
        ops.UnitAction(f"{unit}.timer", "start", "stop"),
    )
    assert isinstance(link, ops.MakeLink)
    assert link.path.endswith(f"/timers.target.wants/{unit}.timer")


def test_what_all_services_share_is_made_once():
    of = inetd(POPA3D)
    shared = [FileFact(path, "file", 0o644, 0, 0, "x", b"") for path in SHARED]
    made = make(replace(of, files=(*of.files, *shared)), 110, "pop3", NAMED)
    assert not {*SHARED} & {*written(made)}
    assert "/etc/mailseal/110.renew" in written(made)


def test_who_shows_the_certificate_of_the_offer_leaves_its_renewal_to_that():
    of = inetd(POPA3D)
    ours = listener("192.0.2.10", 995, process="stunnel4", unit="mailseal@995.service")
    more = [FileFact("/etc/mailseal/995.conf", "file", 0o640, 0, 0, "x", OFFERED)]
    more += [FileFact("/etc/mailseal/ca.crt", "file", 0o644, 0, 0, "x", b"")]
    of = replace(of, listeners=(*of.listeners, ours), files=(*of.files, *more))
    made = make(of, 110, "pop3", NAMED)
    assert not any("renew" in path for path in written(made))
    assert not any("renew" in str(op) for op in made.ops)


@pytest.mark.parametrize("given", [Given("/srv/c", "/srv/k"), Given("/srv/c", "/srv/k", "/srv/a")])
def test_given_files_are_looked_at_again_by_a_timer(given: Given):
    made = make(inetd(POPA3D), 110, "pop3", replace(NAMED, given=given))
    settings = written(made)["/etc/mailseal/110.renew"].decode()
    assert (
        "certificate=/srv/c\nsource=/srv/k\nauthority=%s\n" % (given.authority or "''") in settings
    )
    assert "days" not in settings
    assert any("looks once a day whether there is a newer one" in risk for risk in made.risks)


def test_a_certificate_of_certbots_is_copied_and_its_hook_tells_of_the_next():
    made = make(certbots(), 110, "pop3", BY_CERTBOT)
    copies = {op.source: op.mode for op in made.ops if isinstance(op, ops.CopyFile)}
    assert copies == {LINEAGE + "/fullchain.pem": 0o644, LINEAGE + "/privkey.pem": 0o640}
    hook = written(made)[renewal.HOOKS + "/mailseal-110"]
    assert b"= " + LINEAGE.encode() + b" ]" in hook
    assert renewal.HOOKS + "/mailseal-110" in made.scope.paths
    assert LINEAGE + "/fullchain.pem" in made.scope.paths


@pytest.mark.parametrize(
    ("gone", "says"),
    [
        (LINEAGE + "/fullchain.pem", "certbot certificates"),
        (renewal.HOOKS, "runs no hooks"),
    ],
)
def test_a_certbot_that_is_not_there_or_runs_no_hooks_is_said(gone: str, says: str):
    of = certbots()
    of = replace(of, files=tuple(fact for fact in of.files if fact.path != gone))
    with pytest.raises(Cannot, match=says):
        make(of, 110, "pop3", BY_CERTBOT)


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a b", "a\n", "-x;y", "x" * 300])
def test_a_name_that_certbot_cannot_have_is_refused(name: str):
    with pytest.raises(ValueError, match="no name of a certificate of certbot"):
        Given.by_certbot(name)


# -- socket units of systemd -----------------------------------------------------------------------


def at_socket(unit: bytes = hosts.SOCKET) -> HostFacts:
    return gather(hosts.socket(unit))


def test_a_socket_unit_moves_to_the_socket_that_stunnel_alone_opens():
    made = make(at_socket(), 109, "pop2", NAMED)
    (drop_in,) = [op for op in made.ops if getattr(op, "path", "").endswith("zz-mailseal.conf")]
    assert isinstance(drop_in, ops.WriteFile)
    documents = [systemd.parse(hosts.SOCKET), systemd.parse(drop_in.content)]
    values = systemd.effective(documents)["Socket"]
    assert values["ListenStream"] == ("/run/mailseal-109.sock",)
    assert (values["SocketGroup"], values["SocketMode"]) == (("stunnel4",), ("0660",))
    assert values["Accept"] == ("yes",)
    assert "MaxConnectionsPerSource" not in values
    assert b"connect = /run/mailseal-109.sock\n" in config(made)
    assert not any("backend" in getattr(op, "path", "") for op in made.ops)
    assert any("64 sessions at a time" in risk for risk in made.risks)
    assert "sessions that are open then go on" in made.gap


def test_a_socket_unit_that_moves_is_not_handed_over():
    """Its Unix socket is there when the port is not: a second stunnel would have none."""
    of = at_socket()
    of = replace(of, packages={**of.packages, "nftables": "1.0.6"})
    made = make(of, 109, "pop2", NAMED)
    assert not any(isinstance(op, ops.Steer) for op in made.ops)
    assert "about a second" in made.gap


def test_a_socket_unit_is_down_while_its_files_change():
    """A socket that systemd does not find in the files any more is closed and left in /run."""
    made = make(at_socket(), 109, "pop2", NAMED)
    actions = [op for op in made.ops if isinstance(op, ops.UnitAction)]
    own = [(op.do, op.undo) for op in actions if op.unit == "pop2.socket"]
    assert own == [("stop", "start"), ("stop", "stop"), ("start", "stop")]
    tried = [op.KIND for op in made.ops].index(ops.TryTerminator.KIND)
    assert tried < [getattr(op, "unit", "") for op in made.ops].index("pop2.socket")
    assert b"connect = 127.0.0.1:109\n" in trial(made) or b"connect = ::1:109\n" in trial(made)


def test_a_socket_unit_that_hands_its_socket_over_is_offered_beside_alone():
    of = at_socket(hosts.SOCKET.replace(b"Accept=yes", b"Accept=no"))
    assert sealed_at(make(of, 109, "pop2", OFFER)) == {1109}
    for wish in (NAMED, replace(NAMED, strategy="retire")):
        with pytest.raises(Cannot, match=r"pop2\.socket hands its listening socket"):
            make(of, 109, "pop2", wish)


@pytest.mark.parametrize("strategy", ["wrap", "retire"])
def test_a_linked_configuration_never_costs_the_whole_super_server(strategy: str):
    system = hosts.inetd(POPA3D + b"tftp dgram udp wait nobody /usr/sbin/tftpd tftpd\n")
    system.put("/srv/inetd.conf", system.read("/etc/inetd.conf"))
    system.remove("/etc/inetd.conf")
    system.symlink("/etc/inetd.conf", "/srv/inetd.conf")
    with pytest.raises(Cannot, match=r"/etc/inetd\.conf is a link and no plain file.* by hand"):
        make(gather(system, (110,)), 110, "pop3", replace(NAMED, strategy=strategy))
