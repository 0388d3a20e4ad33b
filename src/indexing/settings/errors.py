"""What goes wrong with settings."""

from __future__ import annotations


class SettingsError(ValueError):
    """The settings cannot be used; each line of the message names a key, its value and what would be accepted."""
