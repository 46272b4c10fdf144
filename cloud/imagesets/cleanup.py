"""Take away what the workflow made, in the only order that works: image sets first, then the data store's stack."""

import contextlib
from collections.abc import Callable, Iterable

from cloud.errors import ImageSetsRemain, NotFound
from cloud.imagesets.service import HealthImaging, wait_until
from cloud.imagesets.stack import Stacks


def delete_image_sets(
    service: HealthImaging,
    datastore_id: str,
    image_set_ids: Iterable[str],
    *,
    each: Callable[[str], object],
    every: float,
    most: float,
) -> int:
    """Delete image sets and wait until the data store lists none of them any more; return their number.

    One that is gone already is no fault: the same command may run twice.
    """
    wanted = list(dict.fromkeys(image_set_ids))

    for image_set_id in wanted:  # one by one: the service takes one deletion in four seconds
        with contextlib.suppress(NotFound):
            service.delete_image_set(datastore_id, image_set_id)
        each(image_set_id)
    gone = set(wanted)
    wait_until(
        lambda: not gone & set(service.image_sets(datastore_id)),
        "the image sets are deleted",
        every=every,
        most=most,
    )
    return len(wanted)


def delete_stack(service: HealthImaging, stacks: Stacks, name: str) -> None:
    """Begin to delete a stack; raises ImageSetsRemain while a data store that it made holds an image set."""
    resources = stacks.resources(name)
    if resources.owns_datastore:
        left = sum(1 for _ in service.image_sets(resources.datastore_id))
        if left:
            raise ImageSetsRemain(
                f"the data store {resources.datastore_id} still holds {left} image sets; nothing was deleted",
                hint=f"delete them first: dicom-cloud image-sets clean-up --stack {name}",
            )
    stacks.delete(name)
