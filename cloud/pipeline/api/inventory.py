"""The inventory for whoever keeps books of images (P055): three tables, page by page, as JSON or CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from cloud.db import models as m
from cloud.pipeline.api.bodies import BIGGEST, PipelineCode
from cloud.pipeline.api.files import REFUSALS, TOKEN, allowed
from cloud.pipeline.api.tokens import Group

TABLES: Final[Mapping[str, sa.Table]] = {
    "edcpipeline": m.edcpipeline,
    "edcpipelinefile": m.edcpipelinefile,
    "edcpipelinefiledicom": m.edcpipelinefiledicom,
}
TableName = Literal["edcpipeline", "edcpipelinefile", "edcpipelinefiledicom"]
#: A spreadsheet takes what begins so for a formula, and runs it.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - wide forms count too


class InventoryAnswer(BaseModel):
    """One page; ``next`` is the ``after`` of the following one, null at the end."""

    success: Literal[True] = True
    data: list[dict[str, Any]]
    next: int | None


def inventory_routes(engine: sa.Engine) -> APIRouter:
    """Return the routes of the inventory."""
    routes = APIRouter(prefix="/pipeline/inventory", dependencies=[TOKEN], responses=REFUSALS)
    csv_too: dict[int | str, dict[str, Any]] = {
        200: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "JSON, or CSV"}
    }

    @routes.get(
        "/{table}",
        dependencies=[allowed(Group.INVENTORY)],
        response_model=InventoryAnswer,
        responses=csv_too,
    )
    def get_inventory(
        request: Request,
        table: Annotated[TableName, Path()],
        after: Annotated[int, Query(ge=0, le=BIGGEST, description="the id that the page before ended with")] = 0,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
        form: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
        pipeline_code: Annotated[PipelineCode | None, Query(description="of this pipeline only")] = None,
    ) -> Response:
        """Give one page of a table in the order of ids; CSV has the next page's address in its Link header."""
        with engine.connect() as connection:
            rows, following = load_page(connection, table, after=after, limit=limit, pipeline_code=pipeline_code)
        if form == "json":
            return JSONResponse(jsonable_encoder({"success": True, "data": rows, "next": following}))
        headers = {"Content-Disposition": f'attachment; filename="{table}.csv"'}
        if following is not None:
            # Relative: behind a proxy, our own idea of the address is another one.
            query = request.url.include_query_params(after=following).query
            headers["Link"] = f'<?{query}>; rel="next"'
        names = [column.name for column in TABLES[table].columns]
        return Response(as_csv(names, rows), media_type="text/csv; charset=utf-8", headers=headers)

    return routes


def load_page(
    connection: sa.Connection, table: str, *, after: int, limit: int, pipeline_code: str | None = None
) -> tuple[list[dict[str, Any]], int | None]:
    """Return rows with ids above ``after`` in their order, and the id to go on after, None at the end."""
    t = TABLES[table]
    query = sa.select(t).where(t.c.id > after).order_by(t.c.id).limit(limit + 1)
    if pipeline_code is not None:
        mine = sa.select(m.edcpipeline.c.id).where(m.edcpipeline.c.code == pipeline_code).scalar_subquery()
        files = sa.select(m.edcpipelinefile.c.id).where(m.edcpipelinefile.c.edcpipelineid == mine)
        query = query.where(
            {
                "edcpipeline": m.edcpipeline.c.code == pipeline_code,
                "edcpipelinefile": m.edcpipelinefile.c.edcpipelineid == mine,
                "edcpipelinefiledicom": m.edcpipelinefiledicom.c.edcpipelinefileid.in_(files),
            }[table]
        )
    rows = [dict(row) for row in connection.execute(query).mappings()]
    return rows[:limit], rows[limit - 1]["id"] if len(rows) > limit else None


def as_csv(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Return RFC 4180 text with a header line; no cell of it is a formula to a spreadsheet."""
    held = io.StringIO()
    writer = csv.writer(held)
    writer.writerow(names)
    writer.writerows([_cell(row[name]) for name in names] for row in rows)
    return held.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
