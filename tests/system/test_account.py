"""Who runs this: sudo's word counts where root hears it, and nobody else's environment does."""

import os
import pwd

from mailseal.model.change import Actor
from mailseal.system.account import who

HOST = os.uname().nodename
SUDO = {"SUDO_USER": "alice", "SUDO_UID": "1000"}


def test_root_behind_sudo_is_who_called_it():
    assert who(SUDO, 0) == Actor("alice", 1000, HOST)


def test_whoever_is_not_root_cannot_be_another_by_the_environment():
    nobody = pwd.getpwnam("nobody")
    assert who(SUDO, nobody.pw_uid) == Actor("nobody", nobody.pw_uid, HOST)


def test_root_alone_and_an_account_without_a_name():
    assert who({}, 0) == Actor("root", 0, HOST)
    assert who({"SUDO_USER": "alice", "SUDO_UID": "x"}, 0) == Actor("root", 0, HOST)
    assert who({}, 4_000_000_000) == Actor("4000000000", 4_000_000_000, HOST)
