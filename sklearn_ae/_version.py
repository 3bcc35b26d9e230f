"""The version, for whoever writes or reads it."""

__version__ = "0.1.0.dev0"
