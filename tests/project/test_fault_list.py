"""Every fault that a change of a host must survive has a test of `apply`; the list of both.

Strategy: the names are written down here, each beside its tests, so that a fault without one is a
line without a name. A name in brackets is a case of a test. That they are there is read from the
syntax tree: a test that was renamed or taken away fails here. Of the clock there is no test on a
booted host: its clock is the clock of the machine that it runs on, and of everybody there.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAB, APPLY = "tests/lab/", "tests/apply/"
CRASH, EXECUTOR = APPLY + "test_crash_points.py::", APPLY + "test_executor.py::"
FAULTS_, UNDONE = LAB + "test_faults.py::", LAB + "test_undone.py::"
REFUSALS, KILLS = LAB + "test_refusals.py::", LAB + "test_kill_points.py::"
SAMPLE = "test_killed_between_all_ops_and_at_a_sample_of_the_other_points"
JUMPS = "test_a_clock_that_jumps_changes_nothing_where_the_system_counts_its_uptime"
TAKEN = "test_the_port_is_taken_between_the_old_service_and_ours"
BAD = "test_a_bad_certificate_is_refused"

FAULTS: dict[str, tuple[str, ...]] = {
    "SIGKILL before and after every journal write": (
        CRASH + "test_killed_while_applying",
        KILLS + SAMPLE,
    ),
    "power loss": (
        CRASH + "test_power_loss_while_held_undoes_and_after_the_confirmation_keeps",
        LAB + "test_power_loss.py::test_power_loss_before_and_after_each_kind_of_op",
    ),
    "disk full in backup": (CRASH + "test_disk_full_at_every_write_is_undone",),
    "disk full in configuration": (UNDONE + "test_a_full_disk[/etc/mailseal]",),
    "disk full in journal": (UNDONE + "test_a_full_disk[/var/lib/mailseal]",),
    "package manager locked": (
        FAULTS_ + "test_as_promised[package_manager_locked_for_a_while]",
        FAULTS_ + "test_as_before[package_manager_locked]",
    ),
    "404": (FAULTS_ + "test_as_before[package_not_on_the_mirror]",),
    "postinst failure": (FAULTS_ + "test_a_package_whose_script_fails_is_left_and_said_to_be",),
    "port taken between plan and apply": (
        REFUSALS + "test_refused[port_taken]",
        UNDONE + "test_a_port_that_another_takes_in_the_gap",
    ),
    "stale plan": (REFUSALS + "test_refused[edited_since]",),
    "two runs at once": (REFUSALS + "test_refused[locked]",),
    "missing certificate": (REFUSALS + BAD + "[no_key]",),
    "expired certificate": (REFUSALS + BAD + "[expired]",),
    "certificate of another name": (REFUSALS + BAD + "[wrong_name]",),
    "weak certificate": (REFUSALS + BAD + "[weak]",),
    "mismatched certificate": (REFUSALS + BAD + "[mismatched]",),
    "backend dead": (UNDONE + "test_a_backend_that_is_dead_behind_the_terminator",),
    "backend hung": (FAULTS_ + "test_as_before[backend_hung]",),
    "backend slow": (FAULTS_ + "test_as_promised[backend_slow]",),
    "bind failure after it started": (
        EXECUTOR + TAKEN,
        UNDONE + "test_a_port_that_another_takes_in_the_gap",
    ),
    "HUP under setuid": (FAULTS_ + "test_a_hup_fails_under_setuid_and_not_with_ours",),
    "IPv6-only leak": (FAULTS_ + "test_as_before[ipv6_only_leak]",),
    "firewall lock-out": (LAB + "test_seal_ssh.py::test_a_cut_connection_undoes_the_change",),
    "an edit of the administrator's half-way": (
        FAULTS_ + "test_what_somebody_edits_half_way_is_left_and_said_and_forced",
    ),
    "clock jump": (EXECUTOR + JUMPS,),
    "rollback itself killed": (
        CRASH + "test_killed_while_rolling_back",
        FAULTS_ + "test_a_rollback_that_is_killed_is_finished_without_anybodys_help",
    ),
    "immutable file": (FAULTS_ + "test_as_before[immutable_file]",),
    "read-only file": (FAULTS_ + "test_as_before[read_only_file]",),
    "read-only file system": (FAULTS_ + "test_as_before[read_only_file_system]",),
}


def missing(test: str) -> str:
    """What is not there of a test and its case; empty where both are."""
    path, _, name = test.partition("::")
    function, case = re.fullmatch(r"(\w+)(?:\[(.+)\])?", name).groups()  # type: ignore[union-attr]
    if not (ROOT / path).is_file():
        return path
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            words = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
            words |= {str(each.value) for each in ast.walk(node) if isinstance(each, ast.Constant)}
            return "" if case is None or case in words else test
    return test


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_has_a_test(fault: str):
    assert FAULTS[fault]
    assert [each for each in map(missing, FAULTS[fault]) if each] == []


@pytest.mark.parametrize(
    "test",
    [
        LAB + "test_no_such.py::test_x",
        FAULTS_ + "test_no_such",
        FAULTS_ + "test_as_before[no_such]",
    ],
)
def test_what_is_not_there_is_missed(test: str):
    assert missing(test)
