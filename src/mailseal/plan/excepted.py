"""What a plan does for exceptions: the list of networks, and what ends each on its day.

Strategy: a daemon or starter says by which file it is told whom to let in (a `Door`); that file is
ours, and only it changes from then on. A timer runs a shell script after each last day, which puts
the list of that day in place. The script knows every list by its hash, so it refuses to touch what
somebody else changed, and does nothing twice. The same service is started at every boot, before the
daemon: a host that was off on the day opens nobody's way again. (Persistent= of systemd.timer(5)
would do so later, and leave a stamp behind.)
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mailseal.configs import systemd
from mailseal.model.excepted import Door, Excepted
from mailseal.model.host import HostFacts
from mailseal.model.ops import EditFile, MakeDirectory, MakeLink, Op, Splice, UnitAction, WriteFile
from mailseal.model.plan import Claim, ClaimKind
from mailseal.plan.base import Cannot, address_list, claims
from mailseal.starters.base import content, edit

DIRECTORY = "/etc/mailseal"
_UNITS = "/etc/systemd/system/"
_WANTS = _UNITS + "%s.target.wants/%s"
_HEAD = "# Made by mailseal; `mailseal rollback` removes it.\n"


@dataclass(frozen=True)
class Placed:
    """The ops around the one that makes the daemon take its files: `first` puts list and timer in
    place, `last` makes both outlive a boot. `paths` are the files that this rests on.
    """

    first: tuple[Op, ...]
    last: tuple[Op, ...]
    paths: tuple[str, ...]


NONE = Placed((), (), ())


def place(
    facts: HostFacts,
    port: int,
    door: Door,
    excepted: Sequence[Excepted],
    more: Sequence[WriteFile] = (),
) -> Placed:
    """Puts the list in place, and with it `more` files (units among them); or the new list in place
    of an older one. Both empty where nothing is to change. Raises Cannot where the list was planned
    for another port of the same protocol, whose timer would not know it again.
    """
    name = "mailseal-except-%d" % port
    script = "%s/except-%d.sh" % (DIRECTORY, port)
    timer, service = name + ".timer", name + ".service"
    ours = (DIRECTORY, script, _UNITS + timer, _UNITS + service, door.path)
    paths = (*ours, *(each.path for each in more))
    lists = _lists(door, excepted)
    known = content(facts, door.path) is not None
    same = all(content(facts, each.path) == each.content for each in more)
    if known and same and content(facts, door.path) == lists[0]:
        return Placed((), (), paths)
    if known and content(facts, script) is None:
        words = "the exceptions in %s were planned for another port of the service: plan for that"
        raise Cannot(words % door.path)
    files: list[Op] = []
    if facts.file(DIRECTORY) is None:
        files.append(MakeDirectory(DIRECTORY, "root", "root", 0o755))
    files += _put(facts, door.path, lists[0], 0o644, _hashes(lists[1:]))
    files += _put(facts, script, _script(door, port, excepted), 0o700)
    files += _put(facts, _UNITS + service, _service(port, script, door), 0o644)
    for each in more:
        files += _put(facts, each.path, each.content, each.mode)
    if excepted:
        files += _put(facts, _UNITS + timer, _timer(port, excepted), 0o644)
    reload_manager = UnitAction("", "daemon-reload", "")
    if not known:
        links = tuple(
            MakeLink(_WANTS % (target, unit), _UNITS + unit)
            for target, unit in (("timers", timer), ("multi-user", service))
        )
        undone = UnitAction("", "", "daemon-reload")
        arm = UnitAction(timer, "start", "stop")
        return Placed((undone, *files, reload_manager, arm), links, paths)
    # On the way back the older list returns, and what has ended in it meanwhile ends again.
    back = (UnitAction(service, "", "start"), UnitAction(timer, "", "restart"))
    forward = UnitAction(timer, "restart" if excepted else "stop", "")
    undone = UnitAction("", "", "daemon-reload")
    return Placed((*back, undone, *files, reload_manager, forward), (), paths)


def _put(
    facts: HostFacts, path: str, data: bytes, mode: int, later: tuple[str, ...] = ()
) -> tuple[WriteFile | EditFile, ...]:
    """The op that gives a file of ours these bytes; none where it has them."""
    before = content(facts, path)
    if before is None:
        return (WriteFile(path, data, "root", "root", mode, later),)
    if before == data:
        return ()
    splice = edit(path, before, (Splice(0, before, data),))
    return (replace(splice, later=later),)


def _days(excepted: Sequence[Excepted]) -> list[str]:
    """The last days, the first to come first."""
    return sorted({each.until for each in excepted})


def _lists(door: Door, excepted: Sequence[Excepted]) -> list[bytes]:
    """The list of today, and that after each last day."""
    left = [door.listing([e for e in excepted if e.until > day]) for day in _days(excepted)]
    return [door.listing(excepted), *left]


def _hashes(lists: Sequence[bytes]) -> tuple[str, ...]:
    return tuple(hashlib.sha256(each).hexdigest() for each in lists)


# -- what ends them --------------------------------------------------------------------------------

_SCRIPT = """\
#!/bin/sh
%(head)s# Ends exceptions from TLS on port %(port)d when their day is over.
set -eu
list=%(path)s
units='%(units)s'

# The list after each last day; the number counts the days that are over.
print_list() {
    case $1 in
%(lists)s    esac
}

sum() {
    set -- $(sha256sum <"$1")
    echo "$1"
}

today=$(date +%%Y%%m%%d)
over=0 ended=0 wanted=none
%(days)s
case $(sum "$list") in
%(sums)s
*)
    echo "<3>mailseal: $list was changed since mailseal made it, so no exception is ended." \\
        "End them by hand, or plan again with mailseal." >&2
    exit 1
    ;;
esac

if [ "$over" -gt "$ended" ]; then
    new=$list.mailseal-new
    trap 'rm -f "$new"' EXIT
    print_list "$over" >"$new"
    if [ "$(sum "$new")" != "$wanted" ]; then
        echo "<3>mailseal: $new could not be written, so no exception is ended." >&2
        exit 1
    fi
    chmod --reference="$list" "$new"
    chown --reference="$list" "$new"
    sync "$new"
    mv -f "$new" "$list"
    sync "$(dirname "$list")"
    echo "mailseal: exceptions on port %(port)d ended; what is left is in $list"
fi
# Also where that was all that an earlier run did not come to. Not waited for: the units' jobs come
# after this one.
if [ "$over" -gt 0 ]; then
    for unit in $units; do
        if systemctl --quiet is-active "$unit"; then
            systemctl --no-block reload "$unit"
        fi
    done
fi
"""


def _script(door: Door, port: int, excepted: Sequence[Excepted]) -> bytes:
    lists, days = _lists(door, excepted), _days(excepted)
    sums = _hashes(lists)
    ended = list(enumerate(zip(days, lists[1:], sums[1:], strict=True), 1))
    mark = "END-OF-LIST-" + sums[0][:12]
    cases = b"".join(
        b"    %d)\n        cat <<'%s'\n%s%s\n        ;;\n"
        % (number, mark.encode(), each, mark.encode())
        for number, (_, each, _) in ended
    )
    words = _SCRIPT % {
        "head": _HEAD,
        "port": port,
        "path": door.path,
        "units": door.reloaded,
        "lists": "@LISTS@",
        "days": "".join(
            'if [ "$today" -gt %s ]; then over=%d wanted=%s; fi\n'
            % (day.replace("-", ""), number, sum_)
            for number, (day, _, sum_) in ended
        ),
        "sums": "\n".join("%s) ended=%d ;;" % (each, n) for n, each in enumerate(sums)),
    }
    return words.encode("utf-8").replace(b"@LISTS@", cases)


def _service(port: int, script: str, door: Door) -> bytes:
    unit = (
        ("Description", "mailseal: end exceptions from TLS on port %d" % port),
        *((("Before", door.unit),) if door.unit else ()),
    )
    service = (("Type", "oneshot"), ("ExecStart", "/bin/sh " + script))
    sections = (("Unit", unit), ("Service", service))
    return _HEAD.encode() + systemd.compose(
        (*sections, ("Install", (("WantedBy", "multi-user.target"),)))
    )


def _timer(port: int, excepted: Sequence[Excepted]) -> bytes:
    day = datetime.timedelta(days=1)
    after = [datetime.date.fromisoformat(each) + day for each in _days(excepted)]
    unit = (("Description", "mailseal: the last days of exceptions on port %d" % port),)
    timer = (
        # Every hour of the day: a full disk may have room again.
        *(("OnCalendar", "%s *:00:00" % each.isoformat()) for each in after),
        ("AccuracySec", "1s"),
    )
    install = (("WantedBy", "timers.target"),)
    return _HEAD.encode() + systemd.compose(
        (("Unit", unit), ("Timer", timer), ("Install", install))
    )


# -- what is told and promised ---------------------------------------------------------------------


def check_families(port: int, addresses: Sequence[str], excepted: Sequence[Excepted]) -> None:
    """Raises Cannot where a network is of a family in which the port is not served."""
    families = {":" in each for each in addresses}
    for each in excepted:
        if (":" in each.network) not in families:
            words = "%s: port %d is served at no address of that family"
            raise Cannot(words % (each.network, port))


def headline(
    excepted: Sequence[Excepted], reached: Mapping[int, Sequence[str]], enforced: bool
) -> tuple[str, ...]:
    """Who goes on in cleartext, and until when. `enforced`: only the exceptions change."""
    where = "; ".join(address_list(each, port) for port, each in reached.items() if each)
    told = []
    if enforced:
        told.append("THE EXCEPTIONS CHANGE: WHOEVER IS NOT NAMED HERE STOPS WORKING without TLS.")
    if not excepted:
        return (*told, "No network is excepted at %s any more." % where) if enforced else ()
    told.append("Excepted at %s, and served in cleartext as before:" % where)
    told += ["  " + str(each) for each in excepted]
    told.append(
        "Each ends by itself when its last day is over on this host. The finding stays open for "
        "these networks until then."
    )
    return tuple(told)


def promised(
    excepted: Sequence[Excepted], refused: Sequence[Claim], expected: dict[str, str]
) -> tuple[Claim, ...]:
    """The claims `refused`, of everybody outside; and that those inside are served, by an address
    of their family.
    """
    networks = " ".join(each.network for each in excepted)
    if not networks:
        return tuple(refused)
    families = {":" in each.network for each in excepted}
    both: list[Claim] = []
    for claim in refused:
        where = claim.endpoint
        both.append(replace(claim, expected={**claim.expected, "networks": networks}))
        if (":" in where.address) in families:
            kinds = (ClaimKind.CLEARTEXT_SERVED,)
            said = {**expected, "networks": networks}
            both += claims(kinds, [where.address], where.port, said)
    return tuple(both)
