"""What 1,000 studies cost in AWS, from list prices: ``python -m deploy.cost`` prints deploy/README.md's tables.

Prices are those of us-east-1 in US dollars as the authors knew them; they change, so check PRICES before you rely on a
sum. The study is a middling CT: change STUDY for yours.
"""

from dataclasses import dataclass

#: what -> (US dollars, for how many of which unit)
PRICES: dict[str, tuple[float, float, str]] = {
    "S3 put": (0.005, 1_000, "requests"),
    "S3 get, head": (0.0004, 1_000, "requests"),
    "S3 storage": (0.023, 1, "GB-month"),
    "SQS": (0.40, 1_000_000, "requests"),
    "Lambda time": (0.0000166667, 1, "GB-seconds"),
    "Lambda calls": (0.20, 1_000_000, "requests"),
    "Aurora capacity": (0.12, 1, "ACU-hours"),
    "CloudWatch Logs": (0.50, 1, "GB"),
    "HealthImaging storage": (0.105, 1, "GB-month"),
    "VPC endpoints": (0.01, 1, "endpoint-hours"),
    "Greengrass core": (0.16, 1, "device-months"),
}
STUDIES = 1_000
HOURS = 730  # of a month


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """What a study is made of."""

    instances: int = 400
    gigabytes: float = 0.2
    generations: int = 1


STUDY = Study()


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table: so many units of a price, and why so many."""

    price: str
    units: float
    why: str

    @property
    def dollars(self) -> float:
        """The sum in US dollars."""
        price, per, _ = PRICES[self.price]
        return price * self.units / per


def per_studies(study: Study = STUDY) -> list[Line]:
    """Return what grows with the studies, for 1,000 of them, kept for one month."""
    instances, generations = STUDIES * study.instances, STUDIES * study.generations
    batches = instances / 40 + generations
    return [
        Line(price="S3 put", units=instances + generations, why="an instance each, a manifest each"),
        Line(
            price="S3 get, head",
            units=3 * instances,
            why="the edge asks before release, the ingester verifies, the import reads",
        ),
        Line(price="S3 storage", units=STUDIES * study.gigabytes, why="one month"),
        Line(
            price="SQS",
            units=instances * (1 + 0.2) + generations * 12,
            why="S3's notices, taken ten at a time; messages and receipts",
        ),
        Line(price="Lambda calls", units=batches, why="40 notices a call"),
        Line(
            price="Lambda time",
            units=0.5 * (instances / 40 * 0.3 + generations * 5),
            why="512 MB: 0.3 s a batch, 5 s a generation",
        ),
        Line(price="CloudWatch Logs", units=generations * 4e-6, why="4 KB a generation"),
        Line(price="HealthImaging storage", units=STUDIES * study.gigabytes, why="one month, frequent access"),
    ]


def per_month() -> list[Line]:
    """Return what a month costs however little is sent, for ten edges."""
    return [
        Line(price="Aurora capacity", units=0.5 * HOURS, why="0.5 ACU: it pauses only when no edge and no import run"),
        Line(price="VPC endpoints", units=3 * 2 * HOURS, why="secrets, queues, HealthImaging; two zones"),
        Line(
            price="Lambda time",
            units=0.5 * (30 * 24 * 60 + 30 * 24 * 12),
            why="the import each minute, the watch each five: 1 s",
        ),
        Line(price="SQS", units=10 * 30 * 24 * 60 * 2, why="a status a minute from each of ten edges"),
        Line(price="Greengrass core", units=10, why="ten edges"),
    ]


def table(lines: list[Line], title: str) -> str:
    """Return one table in Markdown."""
    rows = []
    for line in lines:
        price, per, unit = PRICES[line.price]
        rows.append(
            f"| {line.price} | {line.units:,.1f} {unit} | ${price:g} / {per:,.0f} | {line.dollars:.2f} | {line.why} |"
        )
    total = sum(line.dollars for line in lines)
    return "\n".join(
        [
            f"| {title} | units | price | US $ | why |",
            "|---|---|---|---:|---|",
            *rows,
            f"| **sum** | | | **{total:.2f}** | |",
        ]
    )


def page() -> str:
    """Return both tables."""
    return table(per_studies(), "1,000 studies") + "\n\n" + table(per_month(), "each month") + "\n"


if __name__ == "__main__":
    print(page(), end="")
