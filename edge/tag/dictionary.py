"""The private block of group 0013 as entries of pydicom's private dictionary, for whoever reads tagged objects."""

from typing import Final

from pydicom.datadict import add_private_dict_entries

from edge.contract.tag.block import CREATOR, GROUP

#: Element within the block: VR, VM, name, retired. LO and not UI: FileID.ScanID looks like a UID, but no root is ours.
ENTRIES: Final = {
    0x01: ("LO", "1", "ATRIUID", ""),
    0x02: ("LO", "1", "FileID", ""),
    0x03: ("LO", "1", "ScanID", ""),
}


def register() -> None:
    """Teach pydicom the block, so that an implicit VR reader sees LO and not UN; may be called again."""
    add_private_dict_entries(CREATOR, {GROUP << 16 | 0x1000 | n: entry for n, entry in ENTRIES.items()})
