"""The whole index as values, without the numbers that a database gives its rows."""

from typing import Any

import sqlalchemy as sa

from edge.index.models import METADATA

_PATHS = {
    "patient": "patient",
    "study": "study JOIN patient ON patient.id = study.patient_id",
    "series": "series JOIN study ON study.id = series.study_id",
    "instance": "instance JOIN series ON series.id = instance.series_id JOIN study ON study.id = series.study_id",
    "instancelocation": "instancelocation",
}
_PARENTS = {
    "study": ["patient.identityissuer", "patient.identityid"],
    "series": ["study.studyinstanceuid"],
    "instance": ["series.seriesinstanceuid", "study.studyinstanceuid"],
}


def dump(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, its parents by their own keys, sorted."""
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    found = {}
    with engine.connect() as connection:
        for table, path in _PATHS.items():
            own = [f"{table}.{c.name}" for c in METADATA.tables[table].c if c.name != "id" and not c.foreign_keys]
            if table == "instancelocation":
                own.append("instancelocation.ulid")
            columns = ", ".join([*own, *_PARENTS.get(table, [])])
            rows = connection.execute(sa.text(f"SELECT {columns} FROM {path}")).all()
            found[table] = sorted((tuple(row) for row in rows), key=repr)
    engine.dispose()
    return found
