"""Starts a program under the restrictions of a systemd unit where systemd itself does not run.

    python sandbox.py '{"unit": ..., "uid": ..., ...}' PROGRAM [ARGUMENT...]

It sets what systemd.exec(5) sets for the directives below, by the same system calls and in the same order: limits,
umask, name spaces for unreachable files, user, capabilities, no_new_privs, one seccomp filter for each directive, and
becomes the program. Directives about what the file system shows are not repeated here; a directive that is not known
here is an error, so that a new line in the unit cannot go untested without anybody noticing.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

from attrs import asdict, frozen

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
CAPABILITY_VERSION = 0x20080522
CLONE_NEWNS = 0x00020000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
NAMESPACES = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000, 0x00000080)
PROT_WRITE, PROT_EXEC, SHM_EXEC = 2, 4, 0o100000
AF_MAX = 64
DYNAMIC_UID = 64321  # in the range that DynamicUser= takes its users from

# What is set here; the first for every service, the others by a directive each.
SET_HERE = {
    "UMask", "LimitNOFILE", "LimitCORE", "NoNewPrivileges", "CapabilityBoundingSet", "AmbientCapabilities",
    "LockPersonality", "MemoryDenyWriteExecute", "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID",
    "RestrictAddressFamilies", "SystemCallArchitectures", "SystemCallFilter", "SystemCallErrorNumber", "DynamicUser",
}  # fmt: skip

# How the service is run, not what it may do.
NOT_RESTRICTIONS = {
    "Type", "NotifyAccess", "ExecStart", "ExecReload", "WatchdogSec", "Restart", "RestartSec", "TimeoutStopSec",
    "Environment", "StateDirectory", "StateDirectoryMode", "ConfigurationDirectory",
}  # fmt: skip

# Need the service manager's name spaces, devices or control groups. Where they take system calls away as well
# (ProtectClock, ProtectHostname, ProtectKernelLogs, ProtectKernelModules), SystemCallFilter has taken the same ones.
SERVICE_MANAGERS = {
    "TasksMax", "ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "DevicePolicy", "PrivateUsers",
    "PrivateMounts", "PrivateIPC", "RemoveIPC", "KeyringMode", "ProtectProc", "ProcSubset", "ProtectClock",
    "ProtectControlGroups", "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables",
}  # fmt: skip

libc = ctypes.CDLL(None, use_errno=True)


class UnknownDirectiveError(Exception):
    """The unit says something that this module does not know how to set or why not to."""


@frozen
class Restrictions:
    """What to set: one field for each thing that the unit's directives amount to."""

    umask: int
    open_files: int
    uid: int | None
    drop_capabilities: bool
    no_new_privileges: bool
    address_families: list[str]
    system_calls: list[str]
    lock_personality: bool
    namespaces: bool
    realtime: bool
    suid: bool
    write_execute: bool
    reachable: list[str]
    stage: str


def read_unit(text: str, section: str) -> dict[str, list[str]]:
    """The directives of one section of a unit file, each with its values in order; an empty value takes all back."""
    found: dict[str, list[str]] = {}
    inside = ""
    for line in map(str.strip, text.replace("\\\n", " ").splitlines()):
        if not line or line[0] in "#;":
            continue
        if line.startswith("["):
            inside = line.strip("[]")
        elif inside == section:
            name, _, value = line.partition("=")
            values = found.setdefault(name.strip(), [])
            if value.strip():
                values.append(value.strip())
            else:
                values.clear()
    return found


def system_call_groups() -> dict[str, set[str]]:
    """Every group of system calls that the installed systemd knows, expanded: "@clock" -> {"clock_adjtime", ...}."""
    answer = subprocess.run(
        ["systemd-analyze", "--no-pager", "syscall-filter"],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    ).stdout
    direct: dict[str, list[str]] = {}
    group = ""
    for line in answer.splitlines():
        if line.startswith("@"):
            group = line.strip()
            direct[group] = []
        elif group and line.strip() and not line.strip().startswith("#"):
            direct[group].append(line.strip())

    def expand(name: str) -> set[str]:
        if not name.startswith("@"):
            return {name}
        return set().union(*map(expand, direct[name]))

    return {name: expand(name) for name in direct}


def allowed_system_calls(values: list[str]) -> set[str]:
    """The calls that remain of an allow-list in SystemCallFilter's form, lines in order; @default always does."""
    groups = system_call_groups()
    allowed = set(groups["@default"])
    for value in values:
        names = value.removeprefix("~").split()
        calls = set().union(*(groups[name] if name.startswith("@") else {name} for name in names))
        allowed = allowed - calls if value.startswith("~") else allowed | calls
    return allowed


def restrictions(
    service: dict[str, list[str]], reachable: list[Path], stage: Path, *, write_execute: bool
) -> Restrictions:
    """What the unit's [Service] section asks for.

    `reachable` are folders that the program has to be able to read, `stage` is an empty folder for the time it runs.

    `write_execute`: whether memory may be writable and executable, whatever the unit says about it.
    """
    if unknown := set(service) - SET_HERE - NOT_RESTRICTIONS - SERVICE_MANAGERS:
        raise UnknownDirectiveError(
            f"{sorted(unknown)}: set it in tests/faults/sandbox.py or say there why not"
        )
    if service.get("SystemCallErrorNumber") != ["EPERM"] or service.get("SystemCallArchitectures") != [
        "native"
    ]:
        raise UnknownDirectiveError(
            "only SystemCallErrorNumber=EPERM and SystemCallArchitectures=native are known here"
        )
    if service.get("CapabilityBoundingSet", ["x"]) or service.get("AmbientCapabilities", ["x"]):
        raise UnknownDirectiveError("only empty sets of capabilities are known here")

    def on(name: str) -> bool:
        return service.get(name, ["no"])[-1] == "yes"

    return Restrictions(
        umask=int(service["UMask"][-1], 8),
        open_files=int(service["LimitNOFILE"][-1]),
        uid=DYNAMIC_UID if on("DynamicUser") and os.geteuid() == 0 else None,
        drop_capabilities=os.geteuid() == 0,
        no_new_privileges=on("NoNewPrivileges"),
        address_families=" ".join(service["RestrictAddressFamilies"]).split(),
        system_calls=sorted(allowed_system_calls(service["SystemCallFilter"])),
        lock_personality=on("LockPersonality"),
        namespaces=on("RestrictNamespaces"),
        realtime=on("RestrictRealtime"),
        suid=on("RestrictSUIDSGID"),
        write_execute=write_execute,
        reachable=[str(path) for path in reachable],
        stage=str(stage),
    )


def command(wanted: Restrictions, program: list[str]) -> list[str]:
    """The command line that starts `program` under `wanted`."""
    return [sys.executable, "-P", __file__, json.dumps(asdict(wanted)), *program]


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _prctl(option: int, argument: int = 0) -> None:
    zero = ctypes.c_ulong(0)
    _check(libc.prctl(option, ctypes.c_ulong(argument), zero, zero, zero), f"prctl {option}")


def _closed_folder(path: Path, uid: int) -> Path | None:
    """The uppermost folder above (or at) `path` that the user `uid` may not pass."""
    for folder in [*reversed(path.parents), path]:
        status = folder.stat()
        if status.st_uid != uid and not status.st_mode & stat.S_IXOTH:
            return folder
    return None


def open_a_way(paths: list[str], uid: int, stage: Path) -> None:
    """Let `uid` reach `paths`, in a mount name space of our own, as ProtectHome=tmpfs with BindReadOnlyPaths= would.

    Developers keep interpreters and checkouts in their home folders, where a service's user may not look. `stage` is an
    empty folder to mount on. Nothing is mounted when all paths are reachable; OSError where mounting is not permitted.
    """
    closed: dict[Path, list[Path]] = {}
    for path in dict.fromkeys(map(Path, paths)):
        if folder := _closed_folder(path, uid):
            closed.setdefault(folder, []).append(path)
    if not closed:
        return
    _check(libc.unshare(CLONE_NEWNS), "unshare")
    _check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount --make-rprivate /")
    _check(libc.mount(b"tmpfs", bytes(stage), b"tmpfs", 0, b"mode=755"), "mount tmpfs")
    for number, (folder, inside) in enumerate(closed.items()):
        kept = stage / str(number)
        kept.mkdir()
        _check(libc.mount(bytes(folder), bytes(kept), None, MS_BIND | MS_REC, None), f"mount {folder}")
        _check(libc.mount(b"tmpfs", bytes(folder), b"tmpfs", 0, b"mode=755"), f"mount over {folder}")
        for path in inside:
            path.mkdir(parents=True, exist_ok=True)
            _check(
                libc.mount(bytes(kept / path.relative_to(folder)), bytes(path), None, MS_BIND | MS_REC, None),
                str(path),
            )


def drop_to(uid: int | None) -> None:
    """Lose every capability for good, and become `uid` unless it is None."""
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text("ascii"))
    _prctl(PR_SET_KEEPCAPS, 0)
    for capability in range(last + 1):
        _prctl(PR_CAPBSET_DROP, capability)
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    _check(
        libc.prctl(PR_CAP_AMBIENT, ctypes.c_ulong(PR_CAP_AMBIENT_CLEAR_ALL), 0, 0, 0), "ambient capabilities"
    )
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    nothing = (ctypes.c_uint32 * 6)()
    _check(libc.capset(header, nothing), "capset")


# A rule of a filter: the system call, the error it gets, and what its arguments must be: (position, operator, value)
# or (position, "has", bits). Each directive below gives the rules that systemd gives it.
Argument = tuple[int, str, int]
Rule = tuple[str, int, tuple[Argument, ...]]


def _address_families(allowed: list[str]) -> list[Rule]:
    others = set(range(AF_MAX)) - {int(getattr(socket, name)) for name in allowed}
    rules: list[Rule] = [("socket", errno.EAFNOSUPPORT, ((0, "EQ", family),)) for family in sorted(others)]
    return [*rules, ("socket", errno.EAFNOSUPPORT, ((0, "GE", AF_MAX),))]


def _lock_personality() -> list[Rule]:
    return [("personality", errno.EPERM, ((0, "NE", 0),))]


def _restrict_realtime() -> list[Rule]:
    rules: list[Rule] = [
        ("sched_setscheduler", errno.EPERM, ((1, "EQ", policy),)) for policy in (os.SCHED_FIFO, os.SCHED_RR)
    ]
    return [*rules, ("sched_setscheduler", errno.EPERM, ((1, "GT", os.SCHED_IDLE),))]


def _restrict_namespaces() -> list[Rule]:
    # The flags of clone3 lie in memory, where a filter cannot look; the C library then takes clone.
    rules: list[Rule] = [("clone3", errno.ENOSYS, ()), ("setns", errno.EPERM, ((1, "EQ", 0),))]
    for flag in NAMESPACES:
        rules += [
            (call, errno.EPERM, ((position, "has", flag),))
            for call, position in (("unshare", 0), ("clone", 0), ("setns", 1))
        ]
    return rules


def _restrict_suid() -> list[Rule]:
    modes = (("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("mkdir", 1), ("mkdirat", 2), ("creat", 1))
    rules: list[Rule] = [("openat2", errno.ENOSYS, ())]
    for bit in (stat.S_ISUID, stat.S_ISGID):
        rules += [(call, errno.EPERM, ((position, "has", bit),)) for call, position in modes]
        rules += [
            (call, errno.EPERM, ((flags, "has", os.O_CREAT), (flags + 1, "has", bit)))
            for call, flags in (("open", 1), ("openat", 2))
        ]
    return rules


def _deny_write_execute() -> list[Rule]:
    return [
        ("mmap", errno.EPERM, ((2, "has", PROT_WRITE | PROT_EXEC),)),
        ("mprotect", errno.EPERM, ((2, "has", PROT_EXEC),)),
        ("pkey_mprotect", errno.EPERM, ((2, "has", PROT_EXEC),)),
        ("shmat", errno.EPERM, ((2, "has", SHM_EXEC),)),
    ]


def rules_of(wanted: Restrictions) -> list[list[Rule]]:
    """The rules of each directive that is on; one filter is made of each list."""
    return [
        _address_families(wanted.address_families),
        _lock_personality() if wanted.lock_personality else [],
        _restrict_realtime() if wanted.realtime else [],
        _restrict_namespaces() if wanted.namespaces else [],
        _restrict_suid() if wanted.suid else [],
        [] if wanted.write_execute else _deny_write_execute(),
    ]


def filters(wanted: Restrictions) -> list[object]:
    """One seccomp filter for each directive, as systemd has it, SystemCallFilter's last (it takes seccomp() away)."""
    import pyseccomp as seccomp

    def argument(position: int, operator: str, value: int) -> seccomp.Arg:
        if operator == "has":
            return seccomp.Arg(position, seccomp.MASKED_EQ, value, value)
        return seccomp.Arg(position, getattr(seccomp, operator), value)

    made = []
    for rules in filter(None, rules_of(wanted)):
        each = seccomp.SyscallFilter(seccomp.ALLOW)
        for call, error, arguments in rules:
            each.add_rule(seccomp.ERRNO(error), call, *(argument(*given) for given in arguments))
        made.append(each)
    calls = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    for name in wanted.system_calls:
        try:
            calls.add_rule(seccomp.ALLOW, name)
        except OSError as error:
            # The list is for all architectures and kernels; systemd leaves out what it cannot resolve, too.
            if error.errno not in {errno.EDOM, errno.EFAULT, errno.EINVAL}:
                raise
    return [*made, calls]


def apply(wanted: Restrictions) -> None:
    """Set everything for this process, for good."""
    uid = wanted.uid
    if uid is not None:
        try:
            open_a_way(wanted.reachable, uid, Path(wanted.stage))
        except OSError as error:
            # A container that may not mount. Root without any capability is still nobody to the rest of the system.
            print(f"sandbox: stays uid 0, without capabilities: {error}", file=sys.stderr)
            uid = None
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = wanted.open_files if hard == resource.RLIM_INFINITY else min(wanted.open_files, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    os.umask(wanted.umask)
    made = filters(wanted)
    if wanted.drop_capabilities:
        drop_to(uid)
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # a change of user has cleared it
    if wanted.no_new_privileges:
        _prctl(PR_SET_NO_NEW_PRIVS, 1)
    for each in made:
        each.load()


if __name__ == "__main__":
    apply(Restrictions(**json.loads(sys.argv[1])))
    os.execvp(sys.argv[2], sys.argv[2:])
