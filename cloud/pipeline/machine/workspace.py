"""The workspace of one run (P013, P163): what lies where, and how it is cleared."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Workspace:
    """A folder of the workspace bucket, for one run alone."""

    bucket: str
    path: str
    run: str

    @property
    def folder(self) -> str:
        """Everything of the run, with the trailing slash."""
        return f"{self.path.strip('/')}/{self.run}/"

    @property
    def input(self) -> str:
        """Where the source is copied to, with the trailing slash."""
        return f"{self.folder}in/"

    @property
    def output(self) -> str:
        """Where the job puts the processed file, with the trailing slash."""
        return f"{self.folder}out/"

    @property
    def report(self) -> str:
        """Where the job says what it did."""
        return f"{self.folder}report.json"

    def mark(self, name: str) -> str:
        """Return the key of a mark that something was done."""
        return f"{self.folder}done/{name}"

    def clear(self, client: Any) -> int:
        """Delete the files; the report and the marks stay, so that a repeated state finds them. Returns how many."""
        count = 0
        for folder in (self.input, self.output):
            for page in client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=folder):
                keys = [{"Key": row["Key"]} for row in page.get("Contents", ())]
                if keys:
                    client.delete_objects(Bucket=self.bucket, Delete={"Objects": keys, "Quiet": True})
                count += len(keys)
        return count
