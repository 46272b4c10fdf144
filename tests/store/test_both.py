"""One suite for both object stores: the directory and S3 promise the same."""

import concurrent.futures
import hashlib
import random
from collections.abc import Iterator

import pytest

from edge.contract.checksum import digest
from edge.contract.store import ObjectStore
from edge.errors import StoreConflict, StoreFault
from tests.store.conftest import pieces, put

RAW = random.Random(1).randbytes(300_000)
KEY = "edge-1/9b2f/1.2.3/1.2.3.4/1.2.3.4.5.dcm"


def test_E010_an_object_comes_back_as_it_was_put(store: ObjectStore) -> None:
    """Bytes, size, checksum, version and metadata of a stored object are those that were put."""
    held = put(store, KEY, RAW, atriuid="1000000001.1")
    assert (held.key, held.size, held.crc64nvme) == (KEY, len(RAW), digest([RAW]).crc64nvme)
    assert held.version_id
    assert dict(held.metadata) == {"sha256": hashlib.sha256(RAW).hexdigest(), "atriuid": "1000000001.1"}
    assert store.head(KEY) == held
    assert store.head(KEY, held.version_id) == held
    assert b"".join(store.read(KEY)) == RAW
    assert b"".join(store.read(KEY, held.version_id)) == RAW


@pytest.mark.parametrize("size", [0, 1, 16_384, 65_537])
def test_D6_any_size_is_stored(store: ObjectStore, size: int) -> None:
    """Empty objects, one byte and sizes around the blocks of the way are stored whole."""
    put(store, KEY, RAW[:size])
    assert b"".join(store.read(KEY)) == RAW[:size]


def test_I4_the_same_bytes_again_are_success_and_stay_one_version(store: ObjectStore) -> None:
    """A second put of the same bytes returns what the first one stored, version included."""
    first = put(store, KEY, RAW)
    assert put(store, KEY, RAW) == first


def test_D6_other_bytes_never_overwrite(store: ObjectStore) -> None:
    """Other bytes under a taken key are a conflict, and the first bytes stay."""
    first = put(store, KEY, RAW)
    with pytest.raises(StoreConflict) as caught:
        put(store, KEY, RAW[::-1])
    assert caught.value.hint
    assert store.head(KEY) == first
    assert b"".join(store.read(KEY)) == RAW


def test_D6_a_wrong_checksum_is_refused_by_the_store(store: ObjectStore) -> None:
    """Bytes that do not match the announced CRC64NVME are not stored, and the error says so."""
    with pytest.raises(StoreFault) as caught:
        store.put(KEY, pieces(RAW), size=len(RAW), crc64nvme=digest([RAW[::-1]]).crc64nvme, metadata={})
    assert "bytes changed" in caught.value.hint
    assert store.head(KEY) is None


@pytest.mark.parametrize("wrong", [-1, 1])
def test_D6_a_wrong_size_is_refused(store: ObjectStore, wrong: int) -> None:
    """A source with more or fewer bytes than announced is refused, and nothing is stored."""
    with pytest.raises(StoreFault):
        store.put(KEY, pieces(RAW), size=len(RAW) + wrong, crc64nvme=digest([RAW]).crc64nvme, metadata={})
    assert store.head(KEY) is None


def test_D6_a_source_that_fails_leaves_nothing(store: ObjectStore) -> None:
    """A spool file that cannot be read to its end stores nothing, and a later put succeeds."""

    def broken() -> Iterator[bytes]:
        yield RAW[:1000]
        raise OSError(5, "Input/output error")

    with pytest.raises(StoreFault, match="cannot be read from the spool"):
        store.put(KEY, broken, size=len(RAW), crc64nvme=digest([RAW]).crc64nvme, metadata={})
    assert store.head(KEY) is None
    assert put(store, KEY, RAW).size == len(RAW)


def test_nothing_held_is_told_as_nothing(store: ObjectStore) -> None:
    """A missing key has no head and no bytes; neither has a version that never was."""
    assert store.head(KEY) is None
    with pytest.raises(KeyError):
        next(store.read(KEY))
    put(store, KEY, RAW)
    assert store.head(KEY, "00000000000000000000000000000000") is None
    with pytest.raises(KeyError):
        next(store.read(KEY, "00000000000000000000000000000000"))


def test_fault_13_keys_are_listed_by_prefix_and_in_order(store: ObjectStore) -> None:
    """A listing gives exactly the keys under a prefix, sorted by their bytes, the slash included."""
    keys = ["e/1.2.3/a", "e/1.2.30/a", "e/1.2.3-x/b", "e/1.2.3/b", "manifests/e/1.json"]
    for key in keys:
        put(store, key, key.encode())
    assert list(store.list("e/1.2.3/")) == ["e/1.2.3/a", "e/1.2.3/b"]
    assert list(store.list("e/1.2.3")) == ["e/1.2.3-x/b", "e/1.2.3/a", "e/1.2.3/b", "e/1.2.30/a"]
    assert list(store.list("")) == sorted(keys)
    assert list(store.list("none/")) == []


def test_I4_eight_writers_of_one_object_store_it_once(store: ObjectStore) -> None:
    """Several threads that put the same object all succeed, with one version."""
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        held = list(threads.map(lambda _: put(store, KEY, RAW), range(8)))
    assert len({h.version_id for h in held}) == 1
    assert store.head(KEY) == held[0]


def test_D6_of_eight_writers_of_different_bytes_one_wins(store: ObjectStore) -> None:
    """Several threads with different bytes for one key: one object, whole, and a conflict for the others."""

    def attempt(n: int) -> bool:
        try:
            put(store, KEY, RAW + bytes([n]))
        except StoreConflict:
            return False
        return True

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        won = list(threads.map(attempt, range(8)))
    assert won.count(True) == 1
    held = store.head(KEY)
    assert held is not None
    assert digest(store.read(KEY)).crc64nvme == held.crc64nvme == digest([RAW, bytes([won.index(True)])]).crc64nvme
