"""Typed errors: each names what was wrong; the command line turns them into one line and an exit code."""


class AstraError(Exception):
    """Base of every error that a user can cause or act on."""

    exit_code = 1


class BadInputError(AstraError):
    """An argument, file or message that cannot be used; the message names it (exit code 2)."""

    exit_code = 2


class ConfigError(BadInputError):
    """A configuration value out of bounds, or an unknown key."""


class MapError(BadInputError):
    """A map folder that is damaged, foreign or of a newer format."""


class NewerMapError(MapError):
    """A map folder written by a newer version of the format."""


class MappingError(AstraError):
    """A tour from which no map can be built."""


class NoPathError(AstraError):
    """No route or local path exists to the requested goal."""


class MissingDependencyError(AstraError):
    """An optional package is needed; the message says what to install."""
