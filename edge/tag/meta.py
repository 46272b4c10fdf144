"""The File Meta of the object that goes up: it names the UIDs of its dataset (PS3.10 7.1), as an edit like any other.

They differ from the command's only where an operator accepted that. The received file stays as it is, and untagging
gives it back, head and all. The head keeps its length, because the private record in it has room to give.
"""

from pathlib import Path

from edge.contract.edits import Edit
from edge.journal.rows import Instance
from edge.spool.part10 import rename_instance
from edge.spool.trouble import read_fault


def plan_meta_edits(path: Path, instance: Instance) -> tuple[Edit, ...]:
    """Return what makes the File Meta agree with the dataset, mostly nothing.

    Raises SpoolError if the head is not what was written, or cannot be read; OutOfResources as ``read_fault`` does.
    """
    try:
        with path.open("rb") as file:
            head = file.read(instance.dataset_offset)
    except OSError as e:
        raise read_fault(e) from e
    new = rename_instance(head, sop_class_uid=instance.sop_class_uid, sop_instance_uid=instance.sop_instance_uid)
    if new == head:
        return ()
    differs = [at for at, (old_byte, new_byte) in enumerate(zip(head, new, strict=True)) if old_byte != new_byte]
    first, end = differs[0], differs[-1] + 1
    return (Edit(first, new[first:end], head[first:end]),)
