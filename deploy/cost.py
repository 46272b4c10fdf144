"""What 1,000 studies cost in AWS, from list prices: ``python -m deploy.cost`` prints deploy/README.md's tables.

Prices are those of us-east-1 in US dollars as the authors knew them on AS_OF; whoever compares one with AWS's list
writes the day into it. The study is a middling CT: change STUDY for yours.
"""

from dataclasses import dataclass
from typing import NamedTuple

AS_OF = "2026-11-28"
STUDIES = 1_000
HOURS = 730  # of a month
MINUTES = 30 * 24 * 60  # of a month
EDGES = 10

#: What the stacks make once; tests/deploy/test_stacks.py counts them.
KEYS, SECRETS, ENDPOINTS, ZONES, ALARMS, METRICS = 1, 1, 3, 2, 9, 4


class Price(NamedTuple):
    """So many US dollars for so many of a unit; ``checked`` is the day it was compared with AWS's own list."""

    dollars: float
    per: int
    unit: str
    checked: str = ""


PRICES: dict[str, Price] = {
    "S3 put": Price(0.005, 1_000, "requests"),
    "S3 get, head": Price(0.0004, 1_000, "requests"),
    "S3 storage": Price(0.023, 1, "GB-months"),
    "SQS": Price(0.40, 1_000_000, "requests"),
    "Lambda time": Price(0.0000166667, 1, "GB-seconds"),
    "Lambda calls": Price(0.20, 1_000_000, "requests"),
    "Aurora capacity": Price(0.12, 1, "ACU-hours"),
    "CloudWatch Logs": Price(0.50, 1, "GB"),
    "CloudWatch alarms": Price(0.10, 1, "alarm-months"),
    "CloudWatch metrics": Price(0.30, 1, "metric-months"),
    "HealthImaging storage": Price(0.105, 1, "GB-months"),
    "VPC endpoints": Price(0.01, 1, "endpoint-hours"),
    "Greengrass core": Price(0.16, 1, "device-months"),
    "KMS key": Price(1.00, 1, "key-months"),
    "Secrets Manager": Price(0.40, 1, "secret-months"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """What a study is made of."""

    instances: int = 400
    gigabytes: float = 0.2
    generations: int = 1


STUDY = Study()


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table: so many units of a price, how they are counted, and what they are."""

    price: str
    units: float
    how: str
    why: str

    @property
    def dollars(self) -> float:
        """The sum in US dollars."""
        price = PRICES[self.price]
        return price.dollars * self.units / price.per


def per_studies(study: Study = STUDY) -> list[Line]:
    """Return what grows with the studies, for 1,000 of them, kept for one month."""
    instances, generations = STUDIES * study.instances, STUDIES * study.generations
    batches = instances / 40
    gigabytes = STUDIES * study.gigabytes
    return [
        Line(
            price="S3 put",
            units=instances + generations,
            how=f"{instances:,} + {generations:,}",
            why="an instance each, a manifest each",
        ),
        Line(
            price="S3 get, head",
            units=3 * instances,
            how=f"3 * {instances:,}",
            why="the edge asks before release, the ingester verifies, the import reads",
        ),
        Line(price="S3 storage", units=gigabytes, how=f"{STUDIES:,} * {study.gigabytes}", why="one month"),
        Line(
            price="SQS",
            units=instances * 1.2 + generations * 12,
            how=f"{instances:,} * 1.2 + {generations:,} * 12",
            why="S3's notices, taken and deleted ten at a time; messages and receipts",
        ),
        Line(
            price="Lambda calls",
            units=batches + generations,
            how=f"{instances:,} / 40 + {generations:,}",
            why="40 notices a call; a generation each",
        ),
        Line(
            price="Lambda time",
            units=0.5 * (batches * 0.3 + generations * 5),
            how=f"0.5 * ({instances:,} / 40 * 0.3 + {generations:,} * 5)",
            why="512 MB: 0.3 s a batch, 5 s a generation",
        ),
        Line(
            price="CloudWatch Logs",
            units=generations * 0.000004,
            how=f"{generations:,} * 0.000004",
            why="4 KB a generation",
        ),
        Line(
            price="HealthImaging storage",
            units=gigabytes,
            how=f"{STUDIES:,} * {study.gigabytes}",
            why="one month, frequent access",
        ),
    ]


def per_month() -> list[Line]:
    """Return what a month costs however little is sent, for ten edges."""
    return [
        Line(
            price="Aurora capacity",
            units=0.5 * HOURS,
            how=f"0.5 * {HOURS}",
            why="0.5 ACU: it pauses only when no edge and no import run",
        ),
        Line(
            price="VPC endpoints",
            units=ENDPOINTS * ZONES * HOURS,
            how=f"{ENDPOINTS} * {ZONES} * {HOURS}",
            why="secrets, queues, HealthImaging; two zones",
        ),
        Line(
            price="Lambda time",
            units=0.5 * (MINUTES + MINUTES / 5),
            how=f"0.5 * ({MINUTES:,} + {MINUTES:,} / 5)",
            why="the import each minute, the watch each five: 1 s",
        ),
        Line(
            price="SQS",
            units=EDGES * MINUTES * 2,
            how=f"{EDGES} * {MINUTES:,} * 2",
            why="a status a minute from each edge, sent and taken",
        ),
        Line(price="Greengrass core", units=EDGES, how=f"{EDGES}", why="ten edges"),
        Line(price="KMS key", units=KEYS, how=f"{KEYS}", why="the bucket key keeps requests few"),
        Line(price="Secrets Manager", units=SECRETS, how=f"{SECRETS}", why="the database's"),
        Line(price="CloudWatch alarms", units=ALARMS, how=f"{ALARMS}", why="the stack of alarms"),
        Line(price="CloudWatch metrics", units=METRICS, how=f"{METRICS}", why="its metric filters"),
    ]


def table(lines: list[Line], title: str) -> str:
    """Return one table in Markdown."""
    rows = []
    for line in lines:
        price = PRICES[line.price]
        rows.append(
            f"| {line.price} | {line.how} = {line.units:,.10g} {price.unit} | ${price.dollars:g} / {price.per:,} "
            f"| {price.checked or 'no'} | {line.dollars:.2f} | {line.why} |"
        )
    total = sum(round(line.dollars, 2) for line in lines)
    return "\n".join(
        [
            f"| {title} | how many | price | checked | US $ | what |",
            "|---|---|---|---|---:|---|",
            *rows,
            f"| **sum** | | | | **{total:.2f}** | |",
        ]
    )


def page() -> str:
    """Return both tables."""
    return table(per_studies(), "1,000 studies") + "\n\n" + table(per_month(), "each month") + "\n"


if __name__ == "__main__":
    print(page(), end="")
