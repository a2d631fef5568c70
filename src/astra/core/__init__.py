"""Value types, configuration, errors and paths that every other package shares; standard library, numpy and PyYAML only."""
