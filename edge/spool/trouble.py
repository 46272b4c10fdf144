"""Whose trouble is it, if a spool file cannot be read: the file's own, or the machine's, which waiting mends?"""

import errno

from edge.errors import EdgeError, OutOfResources, SpoolError

_STARVED = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR}


def read_fault(e: OSError) -> EdgeError:
    """Return SpoolError if the file itself is missing or unreadable, OutOfResources if the machine is short."""
    name = errno.errorcode.get(e.errno or 0, "error")
    if e.errno in _STARVED:
        return OutOfResources(
            f"a spool file cannot be read now ({name})",
            hint="too many open files or too little memory: raise LimitNOFILE, or lower MAX_ASSOCIATIONS",
        )
    if e.errno == errno.ENOENT:
        return SpoolError("the spool file is missing", hint="look for it in torn/ and in a backup, then retry")
    return SpoolError(f"the spool file cannot be read ({name})", hint="look at the kernel's log for SPOOL_DIR's disk")
