"""Real mail daemons, each in the settings that matter: who may log in without TLS?

Strategy: a daemon is data, the files of each setting and the command that makes it read them; no
code knows a daemon by name. Every daemon serves its standard ports and an odd one on both families,
with one account that can log in and a certificate of its own. Mail that the account hands in is
taken, and goes nowhere. The settings:

    permitted   cleartext logins from everywhere
    required    TLS for every login
    outside     TLS for strangers; cleartext from the address of the host's `trusted` neighbour

What a daemon has no setting for is not in its table. Whether a setting holds is not believed:
`lab.login` tries it.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.hosts import Host

SETTINGS = ("permitted", "required", "outside")
ODD = 10_000
"""Added to a standard port it is the odd one."""


@dataclass(frozen=True)
class Service:
    """A port that is served; `implicit`: TLS from the first octet."""

    protocol: str
    port: int
    implicit: bool = False


@dataclass(frozen=True)
class Daemon:
    """`system` is of `lab.images`. `files` are written for every setting, with `$choice` and the
    other names of `settings[setting]` filled in, besides `$user`, `$password`, `$trusted4`,
    `$trusted6` and `$mechanisms`; `start` is the shell command that makes the daemon read them.
    `slow`: seconds it keeps whoever logs in wrongly waiting. `mechanisms` is what it offers, where
    it can be told (Courier and popa3d cannot).
    """

    system: str
    settings: Mapping[str, Mapping[str, str]]
    files: Mapping[str, str]
    start: str
    services: tuple[Service, ...]
    slow: float = 0.0
    mechanisms: str = "PLAIN LOGIN"


def served(protocol: str, port: int, implicit: int = 0) -> tuple[Service, ...]:
    """The standard port, the odd one, and the one of TLS from the first octet, where there is."""
    ports = (Service(protocol, port), Service(protocol, port + ODD))
    return (*ports, Service(protocol, implicit, True)) if implicit else ports


PREPARE = """
set -eu
if ! id "$1" >/dev/null 2>&1; then
    useradd --create-home "$1"
    read -r password
    echo "$1:$password" | chpasswd
    install -d -o "$1" -g "$1" -m 700 /home/$1/Maildir /home/$1/Maildir/new /home/$1/Maildir/cur \\
        /home/$1/Maildir/tmp
fi
if ! [ -e /etc/ssl/mail.pem ]; then
    openssl req -quiet -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=mail.example \\
        -addext subjectAltName=DNS:mail.example -keyout /etc/ssl/mail.key -out /etc/ssl/mail.pem \\
        2>/dev/null || openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=mail.example \\
        -addext subjectAltName=DNS:mail.example -keyout /etc/ssl/mail.key -out /etc/ssl/mail.pem
    cat /etc/ssl/mail.key /etc/ssl/mail.pem >/etc/ssl/both.pem
    chmod 644 /etc/ssl/mail.key /etc/ssl/both.pem
fi
"""
"""Account and certificate. The key is readable by everybody: the lab has no secrets but one."""

_DOVECOT_LISTENERS = """
# Who logs in wrongly waits longer and longer, up to 15 s; a test has no time for that.
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service imap-login {
  inet_listener imap {
    port = 143
  }
  inet_listener imaps {
    port = 993
    ssl = yes
  }
  inet_listener imap_odd {
    port = 10143
  }
}
service pop3-login {
  inet_listener pop3 {
    port = 110
  }
  inet_listener pop3s {
    port = 995
    ssl = yes
  }
  inet_listener pop3_odd {
    port = 10110
  }
}
service managesieve-login {
  inet_listener sieve {
    port = 4190
  }
  inet_listener sieve_odd {
    port = 14190
  }
}
"""

_DOVECOT_23 = (
    """
protocols = imap pop3 sieve
listen = *, ::
ssl = $ssl
ssl_cert = </etc/ssl/mail.pem
ssl_key = </etc/ssl/mail.key
disable_plaintext_auth = $disable
login_trusted_networks = $networks
auth_mechanisms = $mechanisms
mail_location = maildir:~/Maildir
passdb {
  driver = passwd-file
  args = scheme=PLAIN /etc/dovecot/users
}
userdb {
  driver = passwd
}
"""
    + _DOVECOT_LISTENERS
)

_DOVECOT_24 = (
    """
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
protocols = imap pop3 sieve
listen = *, ::
ssl = $ssl
ssl_server_cert_file = /etc/ssl/mail.pem
ssl_server_key_file = /etc/ssl/mail.key
auth_allow_cleartext = $allow
login_trusted_networks = $networks
auth_mechanisms = $mechanisms
mail_driver = maildir
mail_path = ~/Maildir
passdb passwd-file {
  passwd_file_path = /etc/dovecot/users
  default_password_scheme = PLAIN
}
userdb passwd {
}
"""
    + _DOVECOT_LISTENERS
)
_TRUSTED = "$trusted4 $trusted6"

_EXIM = r"""
primary_hostname = mail.example
daemon_smtp_ports = 25 : 587 : 465 : 10025
tls_on_connect_ports = 465
tls_advertise_hosts = *
tls_certificate = /etc/ssl/mail.pem
tls_privatekey = /etc/ssl/mail.key
auth_advertise_hosts = $advertise
acl_smtp_rcpt = known
host_lookup =
rfc1413_hosts =
begin acl
known:
  accept authenticated = *
  deny
begin routers
nowhere:
  driver = redirect
  data = :blackhole:
begin authenticators
plain_server:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = $${if and{{eq{$$auth2}{$user}}{eq{$$auth3}{$password}}}}
  server_set_id = $$auth2
login_server:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = $${if and{{eq{$$auth1}{$user}}{eq{$$auth2}{$password}}}}
  server_set_id = $$auth1
cram_md5_server:
  driver = cram_md5
  public_name = CRAM-MD5
  server_advertise_condition = $${if match{$mechanisms}{CRAM-MD5}}
  server_secret = $${if eq{$$auth1}{$user}{$password}fail}
  server_set_id = $$auth1
"""

_CYRUS_SERVICES = """
START {
  recover cmd="/usr/sbin/cyrus ctl_cyrusdb -r"
}
SERVICES {
  imap cmd="imapd -U 30" listen="143" prefork=0 maxchild=100
  imapodd cmd="imapd -U 30" listen="10143" prefork=0 maxchild=100
  imaps cmd="imapd -s -U 30" listen="993" prefork=0 maxchild=100
  pop3 cmd="pop3d -U 30" listen="110" prefork=0 maxchild=50
  pop3odd cmd="pop3d -U 30" listen="10110" prefork=0 maxchild=50
  pop3s cmd="pop3d -s -U 30" listen="995" prefork=0 maxchild=50
  sieve cmd="timsieved" listen="4190" prefork=0 maxchild=100
  sieveodd cmd="timsieved" listen="14190" prefork=0 maxchild=100
}
EVENTS {
}
"""

_CYRUS = """
configdirectory: /var/lib/cyrus
proc_path: /run/cyrus/proc
mboxname_lockpath: /run/cyrus/lock
defaultpartition: default
partition-default: /var/spool/cyrus/mail
sieveusehomedir: false
sievedir: /var/spool/sieve
unixhierarchysep: yes
virtdomains: off
hashimapspool: true
allowplaintext: $allow
sasl_mech_list: $mechanisms
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
tls_server_cert: /etc/ssl/mail.pem
tls_server_key: /etc/ssl/mail.key
tls_client_ca_dir: /etc/ssl/certs
admins: cyrus
autocreate_quota: 0
servername: mail
syslog_prefix: cyrus
"""

_MASTER = """
25 inet n - n - - smtpd
587 inet n - n - - smtpd
  -o syslog_name=postfix/submission
465 inet n - n - - smtpd
  -o syslog_name=postfix/smtps
  -o smtpd_tls_wrappermode=yes
10025 inet n - n - - smtpd
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
proxymap unix - - n - - proxymap
bounce unix - - n - 0 bounce
discard unix - - n - - discard
"""

_POSTFIX = """
compatibility_level = 3.6
myhostname = mail.example
inet_interfaces = all
inet_protocols = all
mydestination =
smtpd_relay_restrictions = permit_sasl_authenticated, reject
default_transport = discard:
smtpd_sasl_auth_enable = yes
smtpd_sasl_exceptions_networks = $hidden
smtpd_tls_auth_only = $only
smtpd_tls_security_level = $level
smtpd_tls_cert_file = /etc/ssl/mail.pem
smtpd_tls_key_file = /etc/ssl/mail.key
broken_sasl_auth_clients = yes
"""

_DOVECOT_SERVICES = (
    *served("imap", 143, 993),
    *served("pop3", 110, 995),
    *served("managesieve", 4190),
)
_SMTP_SERVICES = (*served("smtp", 25, 465), Service("smtp", 587))
_PASSWORD = {"/etc/mail-password": "$password"}
_USERS = {"/etc/dovecot/users": "$user:$password\n"}

DAEMONS: Mapping[str, Daemon] = {
    "dovecot-2.3": Daemon(
        "dovecot23",
        {
            "permitted": {"ssl": "yes", "disable": "no", "networks": ""},
            "required": {"ssl": "required", "disable": "yes", "networks": ""},
            "outside": {"ssl": "yes", "disable": "yes", "networks": _TRUSTED},
        },
        {"/etc/dovecot/dovecot.conf": _DOVECOT_23, **_USERS},
        "systemctl restart dovecot",
        _DOVECOT_SERVICES,
        slow=2.0,
    ),
    "dovecot-2.4": Daemon(
        "dovecot24",
        {
            "permitted": {"ssl": "yes", "allow": "yes", "networks": ""},
            "required": {"ssl": "required", "allow": "no", "networks": ""},
            "outside": {"ssl": "yes", "allow": "no", "networks": _TRUSTED},
        },
        {"/etc/dovecot/dovecot.conf": _DOVECOT_24, **_USERS},
        "systemctl restart dovecot",
        _DOVECOT_SERVICES,
        slow=2.0,
    ),
    "cyrus": Daemon(
        "cyrus",
        {"permitted": {"allow": "yes"}, "required": {"allow": "no"}},
        {"/etc/imapd.conf": _CYRUS, "/etc/cyrus.conf": _CYRUS_SERVICES, **_PASSWORD},
        "saslpasswd2 -p -c -u mail $user </etc/mail-password && chown cyrus /etc/sasldb2"
        " && systemctl restart cyrus-imapd",
        (*served("imap", 143, 993), *served("pop3", 110, 995), *served("managesieve", 4190)),
    ),
    "courier": Daemon(
        "courier",
        {"permitted": {"required": "0"}, "required": {"required": "1"}},
        {},
        # Four connections of one address at a time are too few for a test.
        "sed -i -e 's/^MAXPERIP=.*/MAXPERIP=40/' /etc/courier/imapd /etc/courier/pop3d"
        " && sed -i -e 's/^PORT=.*/PORT=143,10143/' /etc/courier/imapd"
        " && sed -i -e 's/^PORT=.*/PORT=110,10110/' /etc/courier/pop3d"
        " && sed -i -e 's/^IMAP_TLS_REQUIRED=.*/IMAP_TLS_REQUIRED=$required/'"
        " -e 's,^TLS_CERTFILE=.*,TLS_CERTFILE=/etc/ssl/both.pem,' /etc/courier/imapd-ssl"
        " && sed -i -e 's/^POP3_TLS_REQUIRED=.*/POP3_TLS_REQUIRED=$required/'"
        " -e 's,^TLS_CERTFILE=.*,TLS_CERTFILE=/etc/ssl/both.pem,' /etc/courier/pop3d-ssl"
        " && systemctl restart courier-authdaemon courier-imap courier-imap-ssl courier-pop"
        " courier-pop-ssl",
        (*served("imap", 143, 993), *served("pop3", 110, 995)),
        slow=5.0,
    ),
    "popa3d": Daemon(
        "popa3d",
        {"permitted": {}},
        # The package's own daemon serves port 110.
        {
            "/etc/systemd/system/pop3odd.socket": "[Socket]\nListenStream=10110\nAccept=yes\n",
            "/etc/systemd/system/pop3odd@.service": (
                "[Service]\nExecStart=/usr/sbin/popa3d\nStandardInput=socket\n"
            ),
        },
        "systemctl daemon-reload && systemctl restart pop3odd.socket",
        served("pop3", 110),
    ),
    "postfix": Daemon(
        "postfix",
        {
            "permitted": {"only": "no", "level": "may", "hidden": ""},
            "required": {"only": "yes", "level": "may", "hidden": ""},
            # What looks like "TLS only from outside" and is not: AUTH is left out of the list
            # alone, and still taken.
            "outside": {
                "only": "no",
                "level": "may",
                "hidden": "!$trusted4, ![$trusted6], 0.0.0.0/0, [::]/0",
            },
        },
        {
            "/etc/postfix/main.cf": _POSTFIX,
            "/etc/postfix/master.cf": _MASTER,
            "/etc/postfix/sasl/smtpd.conf": (
                "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: $mechanisms\n"
            ),
            **_PASSWORD,
        },
        "saslpasswd2 -p -c -u mail.example $user </etc/mail-password"
        " && chown postfix /etc/sasldb2 && systemctl restart postfix",
        _SMTP_SERVICES,
    ),
    "exim": Daemon(
        "exim",
        {
            "permitted": {"advertise": "*"},
            "required": {"advertise": "$${if eq{$$tls_in_cipher}{}{}{*}}"},
            "outside": {
                "advertise": "$${if eq{$$tls_in_cipher}{}{<; $trusted4 ; $trusted6}{<; *}}"
            },
        },
        {"/etc/exim4/exim4.conf": _EXIM},
        "systemctl restart exim4",
        _SMTP_SERVICES,
    ),
}


def install(host: Host, daemon: Daemon, setting: str, trusted: tuple[str, str]) -> None:
    """Puts the host's daemon into a setting; returns when all its ports are served. `trusted` are
    the addresses (IPv4, IPv6) of the neighbour of `outside`.
    """
    account = host.account
    known = {
        "user": account.user,
        "password": account.password,
        "trusted4": trusted[0],
        "trusted6": trusted[1],
        "mechanisms": daemon.mechanisms,
    }
    chosen = {
        name: string.Template(text).substitute(known)
        for name, text in daemon.settings[setting].items()
    }
    host.run(["sh", "-c", PREPARE, "sh", account.user], input=account.password.encode() + b"\n")
    for path, text in daemon.files.items():
        host.write(path, string.Template(text).substitute({**known, **chosen}).encode())
    start = string.Template(daemon.start).substitute({**known, **chosen})
    host.run(["sh", "-c", start])
    for service in daemon.services:
        host.wait_listening(service.port)
