"""The network side: what reads the socket, negotiates and takes C-STORE data (design D10).

Three words to learn: the *guard* reads one PDU within limits and deadlines; a *conversation* is one association on
one thread; a *sink* is where a C-STORE's bytes go (the spool, seen from here as a protocol).
"""
