"""Progress bars on standard error, and only where a person looks at it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

Advance = Callable[[int], object]


@contextmanager
def bar(text: str, total: int | None, unit: str) -> Iterator[tuple[Advance, Advance]]:
    """Give (advance by so many, set the total); nothing is drawn where standard error is no terminal."""
    with tqdm(total=total, desc=text, unit=f" {unit}", disable=None, leave=False, dynamic_ncols=True) as drawn:

        def begin(count: int) -> None:
            drawn.reset(total=count)

        yield drawn.update, begin
