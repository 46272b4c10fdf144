"""The state machine's functions, one module each: parse, call, return (P060-P071)."""
