"""The MQTT topics of one edge, in IoT Core and at any other broker (D7).

Up: ``status`` (the heartbeat's envelope) and ``answers`` (to commands). Down: ``commands``. A thing's policy needs to
let it publish the first two, and subscribe to and receive the last, each with its own name and no other's.
"""

ROOT = "dicom-edge"


def status_topic(edge_id: str) -> str:
    """Return where the edge tells how it stands."""
    return f"{ROOT}/{edge_id}/status"


def commands_topic(edge_id: str) -> str:
    """Return where the edge listens for commands."""
    return f"{ROOT}/{edge_id}/commands"


def answers_topic(edge_id: str) -> str:
    """Return where the edge answers them."""
    return f"{ROOT}/{edge_id}/answers"
