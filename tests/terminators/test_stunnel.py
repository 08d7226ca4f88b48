"""What stunnel and systemd are given, read back as they read it."""

import pytest

from mailseal.configs import stunnel as config
from mailseal.configs import systemd
from mailseal.model.host import Server
from mailseal.model.ops import WriteFile
from mailseal.terminators import stunnel

WORDS = ["192.0.2.10:109", "2001:db8::1:109"]


def test_one_section_for_each_address_with_the_options_of_all():
    document = config.parse(stunnel.config("pop2", WORDS, "/run/x.sock", "/c", "/k"))
    assert document.malformed == ()
    assert [service.name for service in document.services] == ["pop2-1", "pop2-2"]
    for service, word in zip(document.services, WORDS, strict=True):
        assert [option.key.text for option in service.options] == ["accept", "connect"]
        found = config.effective(document, service)
        values = {key: tuple(each.value.text for each in found[key]) for key in found}
        assert values["accept"] == (word,)
        assert values["connect"] == ("/run/x.sock",)
        assert values["cert"] == ("/c",)
        assert values["sslversionmin"] == ("TLSv1.2",)
        assert values["foreground"] == ("yes",)
        assert not {"setuid", "chroot", "client", "protocol"} & values.keys()


@pytest.mark.parametrize("address", ["192.0.2.10", "2001:db8::1", "::1"])
def test_an_accept_is_read_back_as_its_address(address: str):
    where = config.parse_address(stunnel.accept(address, 109))
    assert where == config.HostPort(address, "109")


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("stunnel 5.68 on x86_64-pc-linux-gnu platform", (5, 68)),
        ("stunnel 5.56 on arm", (5, 56)),
        ("stunnel 4.57", (4, 57)),
        ("stunnel", None),
        ("", None),
        ("tunnel 5.68", None),
    ],
)
def test_the_version(line: str, version: tuple[int, int] | None):
    assert stunnel.version(line) == version


def unit(op: object) -> dict[str, dict[str, tuple[str, ...]]]:
    assert isinstance(op, WriteFile)
    document = systemd.parse(op.content)
    assert document.malformed == ()
    found = systemd.effective([document])
    return {section: dict(options) for section, options in found.items()}


def test_the_template_is_restarted_reloaded_and_unprivileged():
    service = unit(stunnel.template())["Service"]
    assert service["Restart"] == ("always",)
    assert service["ExecReload"] == ("/bin/kill -HUP $MAINPID",)
    assert service["User"] == ("stunnel4",)
    assert service["CapabilityBoundingSet"] == ("CAP_NET_BIND_SERVICE",)
    assert service["NoNewPrivileges"] == ("yes",)


def test_the_backend_is_for_the_terminator_alone_and_says_the_program_literally():
    argv = ("ipop2d", "$HOME", "100%", 'a "b"', "c\\d", "")
    server = Server("/opt/%i/pop2d", argv, "mail", "daemon", ('X=a "b" 5%\\',))
    socket, service = map(unit, stunnel.backend(109, server))
    assert socket["Socket"]["ListenStream"] == ("/run/mailseal-109.sock",)
    assert socket["Socket"]["SocketMode"] == ("0660",)
    assert socket["Socket"]["SocketGroup"] == ("stunnel4",)
    assert socket["Socket"]["TriggerLimitIntervalSec"] == ("0",)
    (line,) = service["Service"]["ExecStart"]
    (command,) = systemd.split_exec(line) or ()
    assert command.path == "/opt/%%i/pop2d"
    assert command.argv == ("ipop2d", "$$HOME", "100%%", 'a "b"', "c\\d", "")
    assert service["Service"]["Environment"] == ('"X=a \\"b\\" 5%%\\\\"',)
    assert (service["Service"]["User"], service["Service"]["Group"]) == (("mail",), ("daemon",))


@pytest.mark.parametrize(
    ("inside", "target"),
    [("0.0.0.0", "127.0.0.1:143"), ("127.0.0.1", "127.0.0.1:143"), ("::", "::1:143")],
)
def test_the_proxy_finds_the_daemon_at_either_family(inside: str, target: str):
    """systemd-socket-proxyd(8) looks for a host of the name `[::1]` where it is given brackets."""
    _, service = map(unit, stunnel.isolated_backend(143, "a.service", inside, "b.service"))
    (line,) = service["Service"]["ExecStart"]
    assert line.split()[-1] == target


def test_rules_are_asked_by_the_old_name_and_not_in_the_trial():
    rules = stunnel.Rules("in.pop3d")
    written = stunnel.config("pop3", WORDS, "/run/b.sock", "/c", "/k", rules)
    assert written.count(b"[in.pop3d]\n") == written.count(b"libwrap = yes\n") == len(WORDS)
    tried = stunnel.trial("110", "pop3", "/run/b.sock", "/c", "/k", "", "mail.example", rules)
    assert tried.content.count(b"libwrap = no\n") == 1
