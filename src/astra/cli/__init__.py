"""`astra …`: argument parsing only, one file per command."""
