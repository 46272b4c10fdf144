"""The demo: the whole product on one machine, for a newcomer's first five minutes.

The cloud's side is started by its command, as an operator would: nothing of ``cloud`` is imported here.
"""
