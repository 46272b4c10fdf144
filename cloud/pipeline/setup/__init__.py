"""Setting a pipeline up from its plain-text config file (P140-P149): what is there already is left as it is."""
