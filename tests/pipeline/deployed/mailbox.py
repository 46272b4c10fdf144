"""A real SMTP server (aiosmtpd) with a mailbox on disk, in the local AWS's environment; SES's mails go to it."""

import mailbox
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from pathlib import Path

from tests.parts import ministack_python
from tests.ports import free_port


class Mails:
    """What arrived in the mailbox."""

    def __init__(self, folder: Path, address: str, before: frozenset[str] = frozenset()) -> None:
        self._folder = folder
        self._before = before
        self.address = address

    def from_now(self) -> "Mails":
        """Return what arrives from now on: another pipeline's mails tell of files of the same numbers."""
        return Mails(self._folder, self.address, frozenset(self._box().keys()))

    def all(self) -> list[EmailMessage]:
        """Return every mail, by subject."""
        box = self._box()
        keys = set(box.keys()) - self._before
        found = [BytesParser(policy=default).parsebytes(box.get_bytes(key)) for key in keys]
        return sorted(found, key=lambda mail: mail["Subject"])

    def _box(self) -> mailbox.Maildir:
        return mailbox.Maildir(self._folder, factory=None)

    def about(self, text: str) -> list[EmailMessage]:
        """Return the mails that hold ``text``."""
        return [mail for mail in self.all() if text in mail["Subject"] or text in part(mail, "plain")]


def part(mail: EmailMessage, kind: str) -> str:
    """Return one of a mail's two looks: plain or html."""
    found = mail.get_body((kind,))
    assert found is not None
    return found.get_content()


@contextmanager
def smtp_server(folder: Path) -> Iterator[Mails]:
    """Start it on loopback, stop it at the end."""
    port = free_port()
    box = folder / "mails"
    command = [ministack_python(), "-m", "aiosmtpd", "-n", "-l", f"127.0.0.1:{port}"]
    with (folder / "smtp.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "-c", "aiosmtpd.handlers.Mailbox", str(box)], stdout=log, stderr=subprocess.STDOUT, cwd=folder
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
            time.sleep(0.05)
        yield Mails(box, f"127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait(20)
