"""What can be wrong before anything is deployed."""


class ConfigFault(Exception):
    """The deployment's configuration cannot be used; the text has one fault a line."""
