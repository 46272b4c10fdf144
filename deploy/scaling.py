"""Which quota limits first, for a fleet and its load: ``python -m deploy.scaling`` prints deploy/README.md's tables.

Quotas are those of a new account as the authors knew them on cost.AS_OF; ``aws service-quotas`` tells yours. What is
measured nowhere (how long an import job runs) is a number here, to be changed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from deploy.config import MOST_IMPORTS_ELSEWHERE, LambdaConfig
from deploy.cost import STUDY

DAY = 86_400
PEAK = 3  # the busiest hour has so many times the day's mean
BATCH = 40  # notices a call (E030)
BATCH_SECONDS, GENERATION_SECONDS, JOB_SECONDS, STATUS_SECONDS = 0.3, 5, 60, 60
OTHER_STACKS, OTHER_ROLES = 8, 12  # of this application, and one and five of the bootstrap


class Size(NamedTuple):
    """A fleet and its load."""

    edges: int
    studies: int  # a day

    @property
    def each_second(self) -> float:
        """Studies a second in the busiest hour; each is one generation, and one import job."""
        return PEAK * self.studies / DAY


SIZES = (Size(1, 10), Size(20, 1_000), Size(100, 10_000), Size(500, 30_000), Size(1_000, 100_000))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What a service, or a parameter of ours, bounds."""

    what: str
    name: str  # as Service Quotas calls it, or where else it is set
    most: float
    load: Callable[[Size], float]
    how: str  # the load in words
    turn: str


LIMITS = (
    Limit(
        what="role aliases",
        name="iotcore: role aliases (AWS IoT Core quotas)",
        most=100,
        load=lambda size: size.edges,
        how="an edge",
        turn="ask for more; else a further account, or stand-alone boxes (`GREENGRASS_CONFIG.enabled = false`)",
    ),
    Limit(
        what="roles",
        name="iam: Roles per account",
        most=1_000,
        load=lambda size: size.edges + OTHER_ROLES,
        how=f"an edge, and {OTHER_ROLES}",
        turn="ask for more",
    ),
    Limit(
        what="policies",
        name="iam: Customer managed policies per account",
        most=1_500,
        load=lambda size: size.edges,
        how="an edge",
        turn="ask for more",
    ),
    Limit(
        what="stacks",
        name="cloudformation: Stack count",
        most=2_000,
        load=lambda size: 2 * size.edges + OTHER_STACKS,
        how=f"two an edge, and {OTHER_STACKS}",
        turn="ask for more",
    ),
    Limit(
        what="import starts a second",
        name="medical-imaging: StartDICOMImportJob (throttling limits; AWS Support)",
        most=1,
        load=lambda size: size.each_second,
        how=f"studies * {PEAK} / {DAY:,}",
        turn="ask for more; a longer `GENERATION_QUIET` makes fewer jobs; till then imports wait for the night",
    ),
    Limit(
        what="import jobs at once",
        name="medical-imaging: concurrent import jobs per data store (20 in ap-southeast-2)",
        most=MOST_IMPORTS_ELSEWHERE,
        load=lambda size: size.each_second * JOB_SECONDS,
        how=f"studies * {PEAK} / {DAY:,} * {JOB_SECONDS} s",
        turn="ask for more, then `ahli_concurrent_imports`",
    ),
    Limit(
        what="batches indexed at once",
        name="`LAMBDA_CONFIG.concurrency`, within lambda: Concurrent executions (1,000)",
        most=LambdaConfig().concurrency,
        load=lambda size: size.each_second * (STUDY.instances / BATCH * BATCH_SECONDS + GENERATION_SECONDS),
        how=f"studies * {PEAK} / {DAY:,} * ({STUDY.instances} / {BATCH} * {BATCH_SECONDS} + {GENERATION_SECONDS}) s",
        turn="`concurrency`, and `max_acu_capacity` with it",
    ),
    Limit(
        what="status messages a second",
        name="iotcore: Inbound publish requests per second per account (less in small regions)",
        most=2_000,
        load=lambda size: size.edges / STATUS_SECONDS,
        how=f"edges / {STATUS_SECONDS} s",
        turn="`STATUS_SECONDS`",
    ),
)


def shares(size: Size) -> list[tuple[float, Limit]]:
    """Return which part of each limit is used, the most used first."""
    return sorted(((limit.load(size) / limit.most, limit) for limit in LIMITS), key=lambda row: -row[0])


def page() -> str:
    """Return both tables in Markdown."""
    quotas = [
        f"| {limit.what} | {limit.name} | {limit.most:,} | {limit.how} | {limit.turn} |" for limit in LIMITS
    ]  # fmt: skip
    sizes = []
    for size in SIZES:
        used = [f"{limit.what} {share:.0%}" for share, limit in shares(size)[:3]]
        sizes.append(f"| {size.edges:,} | {size.studies:,} | {used[0]} | {', '.join(used[1:])} |")
    return "\n".join(
        [
            "| limit | its name in Service Quotas | as shipped | one for each, or its load | what to turn |",
            "|---|---|---:|---|---|",
            *quotas,
            "",
            "| edges | studies a day | limits first | next |",
            "|---:|---:|---|---|",
            *sizes,
            "",
        ]
    )


if __name__ == "__main__":
    print(page(), end="")
