"""How an edge is one of many: the words are *link* (a way to the fleet: nucleus or broker), *nucleus* (AWS IoT
Greengrass's core on the box, reached through its IPC socket), *command* and *answer* (one envelope each, D7).

Nothing here is needed to receive, keep or upload: a link that is away holds up its own stage only.
"""
