"""What needs both ends of the flow: recovery, heartbeat, and what the operator's commands ask and decide."""
