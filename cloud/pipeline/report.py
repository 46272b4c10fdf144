"""What a job says of its work: one small JSON object beside its result, the same for every processing script."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class ReportedError(BaseModel):
    """One error in the job, as it was printed too (P076)."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    error_code: Annotated[str, Field(pattern=r"^ERR[A-Z]\d{4}$")]
    error: str
    hint: str = ""


class JobReport(BaseModel):
    """The whole report. Errors in a job that ended well are scenario 1's (P045): the file goes on, with has_error."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    errors: tuple[ReportedError, ...] = ()

    @property
    def has_error(self) -> bool:
        """Whether anything went wrong on the way."""
        return bool(self.errors)
