# ruff: noqa: INP001, PTH112, PTH113  Python looks for it by this name outside of packages; pathlib is not loaded yet
"""Put on PYTHONPATH of a process: takes away, before anything else is imported, what Windows does not have.

Not an emulation: Linux still answers every call. But what is not there on Windows is missing or refuses, with the
error that Windows gives, so that code which needs it fails here instead of on somebody's machine.
"""

import builtins
import errno
import io
import os
import select
import shutil
import signal
import socket
import subprocess  # noqa: F401  before the modules it may need are taken away
import sys
import types

_os = {
    name: getattr(os, name) for name in ("open", "rename", "replace", "unlink", "remove", "readlink", "statvfs", "kill")
}
_listdir, _open = os.listdir, io.open
_flock = __import__("fcntl").flock
_LOCK = {"LK_LOCK": 2, "LK_NBLCK": 2 | 4}  # LOCK_EX, LOCK_EX | LOCK_NB


def _refused(path, reason=errno.EACCES):
    return PermissionError(reason, os.strerror(reason), str(path))


def _in_use(path) -> bool:
    """Whether this process has the file open; Windows then neither renames nor removes it."""
    real = os.path.realpath(path)
    for fd in _listdir("/proc/self/fd"):
        try:
            if _os["readlink"](f"/proc/self/fd/{fd}") == real:
                return True
        except OSError:
            continue
    return False


def _file_open(path, flags, mode=0o777, *, dir_fd=None):
    if dir_fd is None and os.path.isdir(path):
        raise _refused(path)
    return _os["open"](path, flags, mode, dir_fd=dir_fd)


def _rename(source, target, **more):
    if os.path.lexists(target) and not os.path.isdir(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    return _moved("rename", source, target, **more)


def _replace(source, target, **more):
    return _moved("replace", source, target, **more)


def _moved(verb, source, target, **more):
    for path in (source, target):
        if os.path.isfile(path) and _in_use(path):
            raise _refused(path)
    return _os[verb](source, target, **more)


def _unlink(path, *, dir_fd=None):
    if dir_fd is None and os.path.isfile(path) and _in_use(path):
        raise _refused(path)
    return _os["unlink"](path, dir_fd=dir_fd)


def _kill(pid, number):
    if number == 0:
        raise SystemExit("signal 0 is Ctrl-C on Windows: it would have stopped that process")
    return _os["kill"](pid, number)


def _opened(file, *arguments, **more):
    if str(file).startswith(("/proc/", "/sys/", "/etc/")):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(file))
    return _open(file, *arguments, **more)


def _disk_usage(path):
    found = _os["statvfs"](path)
    total, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
    return types.SimpleNamespace(total=total, used=total - free, free=free)


msvcrt = types.ModuleType("msvcrt")
msvcrt.LK_LOCK, msvcrt.LK_NBLCK = 1, 2
msvcrt.locking = lambda fd, mode, _count: _flock(fd, _LOCK["LK_LOCK" if mode == 1 else "LK_NBLCK"])
sys.modules["msvcrt"] = msvcrt
for name in ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog"):
    sys.modules[name] = None

shutil.disk_usage = _disk_usage
shutil._use_fd_functions = False  # it opens directories where it can
os.open, os.rename, os.replace, os.unlink, os.remove, os.kill = _file_open, _rename, _replace, _unlink, _unlink, _kill
builtins.open = io.open = _opened
for module, names in (
    (os, ("statvfs", "fstatvfs", "getuid", "geteuid", "getgid", "getegid", "getpgid", "killpg", "O_DIRECTORY",
          "O_CLOEXEC", "O_NOFOLLOW", "O_SYNC", "O_DSYNC", "fdatasync", "sync", "fchmod", "fchown", "chown",
          "posix_fadvise", "posix_fallocate", "sendfile", "pread", "pwrite", "writev", "readv", "fork", "mkfifo",
          "sched_getaffinity", "sysconf", "getloadavg", "nice", "setsid", "getpriority")),
    (signal, ("SIGHUP", "SIGALRM", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGCHLD", "setitimer", "alarm",
              "pthread_sigmask", "pthread_kill", "sigwait", "siginterrupt")),
    (select, ("poll", "epoll")),
    (socket, ("TCP_QUICKACK", "TCP_CORK", "TCP_USER_TIMEOUT", "TCP_INFO", "SO_REUSEPORT", "SO_PEERCRED",
              "MSG_DONTWAIT", "MSG_NOSIGNAL", "SO_BINDTODEVICE")),
):  # fmt: skip
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
for name in ("selectors", "getpass", "pathlib", "tempfile"):
    sys.modules.pop(name, None)  # made anew with what is left
sys.portable = True
