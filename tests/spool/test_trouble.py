"""A spool file that cannot be read: the file's own trouble parks it, the machine's is waited out."""

import errno

import pytest

from edge.errors import OutOfResources, SpoolError
from edge.spool.trouble import read_fault


@pytest.mark.parametrize("code", [errno.ENOENT, errno.EIO, errno.EACCES, errno.ELOOP, errno.EISDIR])
def test_I6_the_files_own_trouble_is_not_waited_for(code):
    """What waiting does not mend concerns this file alone, and says where to look."""
    fault = read_fault(OSError(code, "injected"))
    assert isinstance(fault, SpoolError)
    assert not fault.transient
    assert fault.hint


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_I6_a_starved_machine_is_nobodys_damage(code):
    """Too many open files or too little memory is told as such, and taken again."""
    fault = read_fault(OSError(code, "injected"))
    assert isinstance(fault, OutOfResources)
    assert fault.transient
    assert "LimitNOFILE" in fault.hint
