"""What is no longer needed is removed: instances and frames of deleted image sets, frames that a kill left unnamed.

What a deleted image set leaves behind is removed a little later, but for frames that another set has.
"""

import json

from cloud.local_healthimaging.pixels import remove_frames
from cloud.local_healthimaging.service import Service
from cloud.local_healthimaging.state import State


def sweep_frames(state: State) -> None:
    """Remove the frames that neither an image set nor a job that goes on knows; called before any job runs."""
    with state.read() as db:
        known = {row["frame_id"] for row in db.execute("SELECT frame_id FROM frame")}
        for row in db.execute("SELECT frames FROM job_file WHERE frames IS NOT NULL"):
            known.update(json.loads(row["frames"])["ids"])
    for path in state.frames.glob("*/*"):
        if path.name not in known:
            path.unlink(missing_ok=True)


def purge_deleted(service: Service) -> None:
    """Remove what belongs to image sets that are DELETED by now; their versions stay, to be listed."""
    due = service.clock() - service.pace.change
    with service.state.read() as db:
        rows = db.execute("SELECT id FROM image_set WHERE deleted_at <= ? AND NOT purged LIMIT 100", (due,)).fetchall()
    for row in rows:
        with service.state.write() as db:
            ours = [
                found["frame_id"]
                for found in db.execute(
                    "SELECT frame_id FROM frame f WHERE image_set_id = ?1 AND NOT EXISTS"
                    " (SELECT 1 FROM frame WHERE frame_id = f.frame_id AND image_set_id != ?1)",
                    (row["id"],),
                )
            ]
            db.execute("DELETE FROM frame WHERE image_set_id = ?", (row["id"],))
            db.execute("DELETE FROM instance WHERE image_set_id = ?", (row["id"],))
            db.execute("UPDATE image_set SET purged = 1 WHERE id = ?", (row["id"],))
        remove_frames(service.state, ours)
