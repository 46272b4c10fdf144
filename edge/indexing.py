"""Building what keeps the SQL index, for the running edge and for ``dicom-edge reindex``."""

from collections.abc import Callable

from edge.config import Config
from edge.contract.store import ObjectStore
from edge.index.locations import Locations
from edge.index.reindex import Progress, progress, request
from edge.index.stage import GenerationLimits, IndexStage
from edge.index.writer import IndexWriter
from edge.journal.journal import Journal
from edge.journal.ledger import Access
from edge.opening import LOCAL_BUCKET, MB, build_store, open_existing, prepare_spool, reindex_file
from edge.parse.pool import ParsePool
from edge.spool.spool import Spool


def reindex(config: Config, tell: Callable[[Progress], None]) -> Progress:
    """Make the index anew while no edge runs here; goes on where it was cut off. Raises SpoolError if one runs."""
    lock = prepare_spool(config)
    spool, journal = open_existing(config, Access.OWN)
    pool, writer = parse_pool(config), IndexWriter(config.index, config.site)
    path = reindex_file(config.spool_dir)
    last = Progress()
    try:
        request(path)
        writer.ensure_schema()
        stage = index_stage(config, journal, spool, pool, writer, lambda: build_store(config))
        while (now := progress(path)) is not None:
            tell(now)
            last = now
            stage.reindex_step()
    finally:
        pool.close()
        writer.close()
        journal.close()
        lock.close()
    return last


def index_stage(
    config: Config,
    journal: Journal,
    spool: Spool,
    pool: ParsePool,
    writer: IndexWriter,
    store: Callable[[], ObjectStore],
) -> IndexStage:
    """Return the stage that keeps the index, and makes it anew when that was asked for."""
    return IndexStage(
        journal=journal,
        spool=spool,
        pool=pool,
        writer=writer,
        limits=GenerationLimits(most_instances=config.generation_files, most_bytes=config.generation_mb * MB),
        store=store,
        reindex=reindex_file(config.spool_dir),
        locations=Locations(
            path=reindex_file(config.spool_dir).with_name("locations"),
            journal=journal,
            writer=writer,
            bucket=config.bucketname or LOCAL_BUCKET,
            region=config.region or LOCAL_BUCKET,
        ),
    )


def parse_pool(config: Config) -> ParsePool:
    """Return the workers that read headers."""
    return ParsePool(size=1, memory_mb=config.parse_memory_mb, timeout_seconds=config.parse_seconds)
