"""Do one thing for many values, several at once: the first fault ends it, Ctrl-C ends it at once."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

Value = TypeVar("Value")
Result = TypeVar("Result")


def all_at_once(
    do: Callable[[Value], Result], values: Iterable[Value], *, threads: int, each: Callable[[int], object]
) -> Iterator[Result]:
    """Give the results as they come; ``each(1)`` is called for every one.

    No more than twice as many are in hand as there are threads, so that values may come from a generator and an end
    (a fault, Ctrl-C, the caller's break) waits for those alone.
    """
    with ThreadPoolExecutor(threads) as pool:
        waiting: set[Future[Result]] = set()
        try:
            for value in values:
                waiting.add(pool.submit(do, value))
                if len(waiting) >= 2 * threads:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield future.result()
                        each(1)
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
                    each(1)
        finally:
            for future in waiting:
                future.cancel()
