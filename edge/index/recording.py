"""The SQL of recording and forgetting instances, within one transaction; SQLite and PostgreSQL.

Fault 17: nothing is selected and then inserted; every row is upserted. Locks are taken from the top down, patients
and then studies, each sorted, so that writers of one study wait for each other and none waits in a circle; with a
study's row locked, its series and counters belong to this transaction. Counters are counted, never incremented (E032).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, Table, delete, exists, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from edge.contract.attributes import BY_LEVEL, Level
from edge.contract.identity import PatientIdentity
from edge.index.locations import Place
from edge.index.models import INSTANCE, INSTANCE_LOCATION, PATIENT, SERIES, STUDY
from edge.index.rows import IndexRow, LocationKind, identity_of
from edge.index.text import clean

# Whose a row is, and what is counted: never filled in from another row.
_NOT_FILLED = frozenset({"id", "patient_id", "study_id", "seriescount", "totalimagecount", "imagecount"})
_NOWHERE = {"bucket": None, "region": None, "versionid": None}
_INSERT: dict[str, Callable[[Table], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class Moved(Exception):
    """An instance changed its study while the locks were taken: run the transaction again."""


def record(connection: Connection, rows: Sequence[IndexRow], site: str) -> None:
    """Upsert ``rows`` (one per SOP instance)."""
    studies: dict[str, list[IndexRow]] = {}
    for row in rows:
        studies.setdefault(row.study_instance_uid, []).append(row)
    owners = {uid: _owner(members, site) for uid, members in studies.items()}
    patients = _record_patients(connection, owners, rows, site)

    touched = set(studies) | {old.study_uid for old in _placements(connection, rows)}
    study_ids: dict[str, int] = {}
    for uid in sorted(touched):
        if uid in studies:
            study_ids[uid] = _record_study(connection, uid, studies[uid], patients[owners[uid]])
        elif (held := connection.execute(_study_for_update(uid)).scalar()) is not None:
            study_ids[uid] = int(held)
    displaced = _placements(connection, rows)
    if not {old.study_uid for old in displaced} <= touched:
        raise Moved
    _delete_instances(connection, [old.id for old in displaced])

    _record_instances(connection, rows, _record_series(connection, rows, study_ids))
    _recount(connection, study_ids.values())
    if displaced:
        _prune(connection, study_ids.values())
    _prune_patients(connection, patients.values())


def record_places(connection: Connection, places: Sequence[Place]) -> None:
    """Upsert where the store holds instances; a released one lies nowhere else. Those not held are passed over."""
    wanted = {place.ulid: place for place in places}
    query = select(INSTANCE.c.ulid).where(INSTANCE.c.ulid.in_(wanted)).order_by(INSTANCE.c.ulid)
    here = [wanted[ulid] for ulid in connection.scalars(query.with_for_update(read=True))]
    if not here:
        return
    values = [
        {"ulid": p.ulid, "kind": LocationKind.STORE.value, "key": p.key, "bucket": p.bucket, "region": p.region,
         "versionid": p.version_id}
        for p in here
    ]  # fmt: skip
    _record_locations(connection, values)
    released = [p.ulid for p in here if p.released]
    spool = (INSTANCE_LOCATION.c.kind == LocationKind.SPOOL.value) & INSTANCE_LOCATION.c.ulid.in_(released)
    connection.execute(delete(INSTANCE_LOCATION).where(spool))


def forget(connection: Connection, ulid: str) -> bool:
    """Delete one instance, and what is empty without it; return False if the index does not hold it."""
    found = connection.execute(
        select(INSTANCE.c.id, STUDY.c.id.label("study_id"), STUDY.c.patient_id)
        .select_from(INSTANCE.join(SERIES).join(STUDY))
        .where(INSTANCE.c.ulid == ulid)
    ).one_or_none()
    if found is None:
        return False
    connection.execute(select(PATIENT.c.id).where(PATIENT.c.id == found.patient_id).with_for_update())
    connection.execute(select(STUDY.c.id).where(STUDY.c.id == found.study_id).with_for_update())
    _delete_instances(connection, [found.id])
    _recount(connection, [found.study_id])
    _prune(connection, [found.study_id])
    _prune_patients(connection, [found.patient_id])
    return True


def empty(connection: Connection) -> None:
    """Delete every row; the tables stay."""
    for table in (INSTANCE_LOCATION, INSTANCE, SERIES, STUDY, PATIENT):
        connection.execute(delete(table))


def _owner(members: Sequence[IndexRow], site: str) -> PatientIdentity:
    identities = [identity_of(row, site) for row in members]
    return next((i for i in identities if not i.is_placeholder), identities[0])


def _record_patients(
    connection: Connection, owners: Mapping[str, PatientIdentity], rows: Sequence[IndexRow], site: str
) -> dict[PatientIdentity, int]:
    ids = {}
    for identity in sorted(set(owners.values())):
        members = [row for row in rows if identity_of(row, site) == identity]
        values = {"identityissuer": identity.issuer, "identityid": identity.id}
        values |= _merged(Level.PATIENT, members)
        ids[identity] = _upsert_first(connection, PATIENT, values, ("identityissuer", "identityid")).id
    return ids


def _record_study(connection: Connection, uid: str, members: Sequence[IndexRow], patient: int) -> int:
    values = _merged(Level.STUDY, members) | {"studyinstanceuid": uid, "patient_id": patient, "modalitiesinstudy": None}
    held = _upsert_first(connection, STUDY, values, ("studyinstanceuid",))
    if held.patient_id != patient:
        # The patient of a study is the first one named. A study that came without any goes to the one named later.
        placeholder = connection.execute(
            select(PATIENT.c.identityissuer, PATIENT.c.identityid).where(PATIENT.c.id == held.patient_id)
        ).one()
        if PatientIdentity(*placeholder).is_placeholder:
            connection.execute(update(STUDY).where(STUDY.c.id == held.id).values(patient_id=patient))
            _prune_patients(connection, [held.patient_id])
    return int(held.id)


def _record_series(
    connection: Connection, rows: Sequence[IndexRow], study_ids: Mapping[str, int]
) -> dict[tuple[str, str], int]:
    series: dict[tuple[str, str], list[IndexRow]] = {}
    for row in rows:
        series.setdefault((row.study_instance_uid, row.series_instance_uid), []).append(row)
    ids = {}
    for (study, uid), members in sorted(series.items()):
        values = _merged(Level.SERIES, members) | {"seriesinstanceuid": uid, "study_id": study_ids[study]}
        ids[study, uid] = _upsert_first(connection, SERIES, values, ("study_id", "seriesinstanceuid")).id
    return ids


def _record_instances(
    connection: Connection, rows: Sequence[IndexRow], series_ids: Mapping[tuple[str, str], int]
) -> None:
    values = [
        _attributes(Level.INSTANCE, row)
        | {
            "series_id": series_ids[row.study_instance_uid, row.series_instance_uid],
            "transfersyntaxuid": clean(row.transfer_syntax_uid),
            "size": row.size,
            "sha256": row.sha256,
            "ulid": row.ulid,
            "callingaetitle": clean(row.calling_ae_title),
            "calledaetitle": clean(row.called_ae_title),
            "receivedat": row.received_at.astimezone(UTC),
            "importwarnings": [clean(text) for text in row.import_warnings] or None,
        }
        for row in sorted(rows, key=lambda r: r.sop_instance_uid)
    ]
    # An instance's row is that of one file: the reading recorded last counts as a whole.
    connection.execute(_replace_statement(connection.dialect.name, INSTANCE, ("sopinstanceuid",)), values)
    _record_locations(
        connection,
        [{"ulid": r.ulid, "kind": LocationKind.SPOOL.value, "key": clean(r.spool_path), **_NOWHERE} for r in rows],
    )


def _record_locations(connection: Connection, values: list[dict[str, Any]]) -> None:
    connection.execute(_replace_statement(connection.dialect.name, INSTANCE_LOCATION, ("ulid", "kind")), values)


def _upsert_first(connection: Connection, table: Table, values: Mapping[str, Any], key: tuple[str, ...]) -> Any:
    """Insert, or fill what is still NULL, and lock; return the row.

    The first value stays: the same rows in any number of tries give the same index, as in HealthImaging, where the
    first import makes the primary image set.
    """
    return connection.execute(_fill_statement(connection.dialect.name, table, key), values).one()


# Building these anew for each batch would cost more than running them.
@cache
def _fill_statement(dialect: str, table: Table, key: tuple[str, ...]) -> Any:
    insert = _INSERT[dialect](table)
    filled = {c.name: func.coalesce(c, insert.excluded[c.name]) for c in table.c if c.name not in _NOT_FILLED}
    return insert.on_conflict_do_update(index_elements=list(key), set_=filled).returning(*table.c)


@cache
def _replace_statement(dialect: str, table: Table, key: tuple[str, ...]) -> Any:
    insert = _INSERT[dialect](table)
    changed = {c.name: insert.excluded[c.name] for c in table.c if c.name not in ("id", *key)}
    return insert.on_conflict_do_update(index_elements=list(key), set_=changed)


def _attributes(level: Level, row: IndexRow) -> dict[str, Any]:
    values = row.attributes[level]
    return {a.column: _clean(values.get(a.keyword)) for a in BY_LEVEL[level]}


def _merged(level: Level, rows: Iterable[IndexRow]) -> dict[str, Any]:
    merged: dict[str, Any] = {a.column: None for a in BY_LEVEL[level]}
    for row in rows:
        for column, value in _attributes(level, row).items():
            if merged[column] is None:
                merged[column] = value
    return merged


def _clean(value: Any) -> Any:
    return clean(value) if isinstance(value, str) else value


def _placements(connection: Connection, rows: Sequence[IndexRow]) -> list[Any]:
    """Return the rows held that the new ones displace: same SOP instance or same file, but not at the same place."""
    same_key = or_(
        INSTANCE.c.sopinstanceuid.in_([r.sop_instance_uid for r in rows]), INSTANCE.c.ulid.in_([r.ulid for r in rows])
    )
    query = (
        select(INSTANCE.c.id, INSTANCE.c.ulid, INSTANCE.c.sopinstanceuid, SERIES.c.seriesinstanceuid)
        .add_columns(STUDY.c.studyinstanceuid.label("study_uid"))
        .select_from(INSTANCE.join(SERIES).join(STUDY))
        .where(same_key)
    )
    new = {(r.ulid, r.sop_instance_uid, r.series_instance_uid, r.study_instance_uid) for r in rows}
    return [old for old in connection.execute(query) if tuple(old[1:]) not in new]


def _study_for_update(uid: str) -> Select[Any]:
    return select(STUDY.c.id).where(STUDY.c.studyinstanceuid == uid).with_for_update()


def _delete_instances(connection: Connection, ids: Sequence[int]) -> None:
    if ids:
        ulids = select(INSTANCE.c.ulid).where(INSTANCE.c.id.in_(ids))
        connection.execute(delete(INSTANCE_LOCATION).where(INSTANCE_LOCATION.c.ulid.in_(ulids)))
        connection.execute(delete(INSTANCE).where(INSTANCE.c.id.in_(ids)))


def _recount(connection: Connection, study_ids: Collection[int]) -> None:
    """Count series and images again (E034) and join the modalities (E035) of locked studies."""
    images = select(func.count()).where(INSTANCE.c.series_id == SERIES.c.id).scalar_subquery()
    connection.execute(update(SERIES).where(SERIES.c.study_id.in_(study_ids)).values(imagecount=images))
    modalities: dict[int, set[str]] = {study: set() for study in study_ids}
    counts = dict.fromkeys(study_ids, (0, 0))
    for study, modality, series, total in connection.execute(
        select(SERIES.c.study_id, SERIES.c.modality, func.count(), func.sum(SERIES.c.imagecount))
        .where(SERIES.c.study_id.in_(study_ids))
        .group_by(SERIES.c.study_id, SERIES.c.modality)
    ):
        counts[study] = (counts[study][0] + series, counts[study][1] + int(total))
        modalities[study] |= {modality} if modality else set()
    for study, (series, total) in counts.items():
        connection.execute(
            update(STUDY)
            .where(STUDY.c.id == study)
            .values(
                seriescount=series,
                totalimagecount=total,
                modalitiesinstudy="/".join(sorted(modalities[study])) or None,
            )
        )


def _prune(connection: Connection, study_ids: Collection[int]) -> None:
    """Delete the series of locked studies, and the studies, that hold nothing any more."""
    full = exists().where(INSTANCE.c.series_id == SERIES.c.id)
    connection.execute(delete(SERIES).where(SERIES.c.study_id.in_(study_ids), ~full))
    owners = connection.scalars(select(STUDY.c.patient_id).where(STUDY.c.id.in_(study_ids))).all()
    full = exists().where(SERIES.c.study_id == STUDY.c.id)
    connection.execute(delete(STUDY).where(STUDY.c.id.in_(study_ids), ~full))
    _recount(connection, study_ids)
    _prune_patients(connection, owners)


def _prune_patients(connection: Connection, ids: Collection[int]) -> None:
    full = exists().where(STUDY.c.patient_id == PATIENT.c.id)
    connection.execute(delete(PATIENT).where(PATIENT.c.id.in_(ids), ~full))
