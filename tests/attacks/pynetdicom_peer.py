"""pynetdicom's own receiver as it is released, in a process with a memory limit: the control of the attacks.

``python -m tests.attacks.pynetdicom_peer FOLDER HANDLER [CERTIFICATE KEY]`` prints its port and serves until its
standard input ends. HANDLER is ``forget``, ``chunks`` (datasets straight into files) or ``qrscp`` (the handler of
pynetdicom's own archive).
"""

import json
import logging
import resource
import ssl
import sys
import tempfile
from pathlib import Path

from pynetdicom import AE, AllStoragePresentationContexts, _config, evt
from pynetdicom.apps.qrscp.handlers import handle_store
from pynetdicom.sop_class import Verification

MEMORY = 2 << 30
MOST = 5  # associations
SECONDS = 1.0  # of each of its time-outs


def main(folder: str, handler: str, *tls: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    place = Path(folder)
    for name in ("storage", "temporary"):
        (place / name).mkdir(parents=True)
    tempfile.tempdir = str(place / "temporary")
    _config.STORE_RECV_CHUNKED_DATASET = handler == "chunks"
    entity = AE("PEER")
    entity.supported_contexts = [*AllStoragePresentationContexts[:120]]
    entity.add_supported_context(Verification)
    entity.maximum_associations = MOST
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = SECONDS
    if handler == "qrscp":
        more = [str(place / "storage"), f"sqlite:///{place}/qrscp.db", {}, logging.getLogger("nowhere")]
        handlers = [(evt.EVT_C_STORE, handle_store, more)]
    else:
        handlers = [(evt.EVT_C_STORE, lambda _: 0x0000)]
    context = None
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*tls)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers, ssl_context=context)
    print(json.dumps(server.server_address[1]), flush=True)
    sys.stdin.read()
    server.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
