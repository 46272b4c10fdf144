"""Which prefixes a generation is imported by: exactly its objects, within the limits, in few jobs."""

from hypothesis import given
from hypothesis import strategies as st

from cloud.imports.cover import Limits, cover
from edge.contract.keys import generation_prefix, instance_key

ROOT = "1.2.826.0.1.3680043.10.1234"
JOB = "3f1c2a44-9d55-4c0e-8f6b-0a4f6d1c2b7e"
TOP = generation_prefix("edge1", JOB)


def keys(series: str, *numbers: int) -> list[str]:
    return [instance_key("edge1", JOB, f"{ROOT}.1", f"{ROOT}.{series}", f"{ROOT}.{series}.{n}") for n in numbers]


def check(wanted, others, found, limits):
    """Every wanted key in exactly one prefix, no other key in any; only a single object may be over the limits."""
    for key in wanted:
        assert sum(key.startswith(c.prefix) for c in found.covers) == (key not in found.inseparable), key
    for key in others:
        assert not any(key.startswith(c.prefix) for c in found.covers), key
    for c in found.covers:
        assert sorted(c.keys) == sorted(key for key in wanted if key.startswith(c.prefix))
        assert len(c.keys) == 1 or (len(c.keys) <= limits.files and c.bytes <= limits.bytes)
        assert c.bytes == sum(wanted[key] for key in c.keys)


def test_E040_a_generation_that_fits_is_one_job():
    """Several series go in one job, by the prefix above them."""
    wanted = dict.fromkeys(keys("1", *range(1, 400)) + keys("2", *range(1, 100)), 500)
    found = cover(wanted, [], TOP, Limits())
    assert [c.prefix for c in found.covers] == [TOP]


def test_fault_13_no_prefix_takes_a_neighbour():
    """What is held lies in 1.2.30, what is wanted in 1.2.3: the prefix ends with a slash and takes no more."""
    wanted, others = dict.fromkeys(keys("3", 1, 2), 1), keys("30", 1) + keys("31", 1)
    found = cover(wanted, others, TOP, Limits())
    assert [c.prefix for c in found.covers] == [f"{TOP}{ROOT}.1/{ROOT}.3/"]
    check(wanted, others, found, Limits())


def test_fault_14_a_series_of_12000_is_split_by_its_names():
    """Twelve thousand instances of one series go in few jobs of at most 5,000, and nothing is copied."""
    wanted = dict.fromkeys(keys("1", *range(1, 12_001)), 1000)
    found = cover(wanted, [], TOP, Limits())
    check({k: wanted[k] for k in list(wanted)[::97]}, [], _only(found, list(wanted)[::97]), Limits())
    assert sum(len(c.keys) for c in found.covers) == 12_000
    assert max(len(c.keys) for c in found.covers) <= 5_000
    assert len(found.covers) <= 10


def test_fault_14_a_series_over_10_gb_is_split_too():
    """Forty objects of half a gigabyte are over the limit of bytes, not of files."""
    wanted = dict.fromkeys(keys("1", *range(1, 41)), 500_000_000)
    found = cover(wanted, [], TOP, Limits())
    check(wanted, [], found, Limits())
    assert 2 <= len(found.covers) <= 9


def test_fault_14_one_object_over_the_limit_goes_alone():
    """An object of 12 GB cannot be split: it is a job of its own, and the service says what becomes of it."""
    wanted = dict.fromkeys(keys("1", 1, 2), 1000) | dict.fromkeys(keys("1", 3), 12_000_000_000)
    found = cover(wanted, [], TOP, Limits())
    check(wanted, [], found, Limits())
    assert keys("1", 3) in [list(c.keys) for c in found.covers]


def test_D4_an_object_that_nobody_announced_is_not_imported():
    """A stray object in the folder of a series is left out, the others are imported."""
    wanted, stray = dict.fromkeys(keys("1", *range(1, 30)), 1), keys("1", 15, 2)[0] + ".bak"
    found = cover(wanted, [stray, *keys("1", 300)], TOP, Limits())
    check(wanted, [stray, *keys("1", 300)], found, Limits())
    assert found.inseparable == (keys("1", 15)[0],)


names = st.lists(st.integers(1, 5_000), unique=True, max_size=40)


@given(
    a=names, b=names, held=st.sets(st.integers(1, 5_000), max_size=8), most=st.integers(1, 9), size=st.integers(1, 7)
)
def test_D4_fault_14_every_cover_is_exact(a, b, held, most, size):
    """Whatever is wanted, held and allowed: each wanted key is in one prefix, and no other key in any."""
    limits = Limits(files=most, bytes=20)
    others = keys("1", *held)
    wanted = {key: size for key in [*keys("1", *a), *keys("12", *b)] if key not in set(others)}
    found = cover(wanted, others, TOP, limits)
    assert found.inseparable == ()
    check(wanted, others, found, limits)


def _only(found, some):
    from cloud.imports.cover import Cover, Covering

    chosen = set(some)
    covers = (
        Cover(prefix=c.prefix, keys=tuple(k for k in c.keys if k in chosen), bytes=1000 * len(chosen & set(c.keys)))
        for c in found.covers
    )
    return Covering(covers=tuple(covers), inseparable=found.inseparable)
