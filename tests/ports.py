"""Free loopback ports for servers that cannot be told to take port 0."""

import random
import socket


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def free_ports_with_twin(count: int, distance: int = 10_000) -> list[int]:
    """``count`` ports outside the range the kernel hands out, each free together with port + ``distance``."""
    found: list[int] = []
    for port in random.sample(range(10_000, 22_000), 12_000):
        if _is_free(port) and _is_free(port + distance):
            found.append(port)
            if len(found) == count:
                return found
    raise OSError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
