"""Loaders: real data of other shapes, turned into landing files and a configuration folder."""


class LoadError(ValueError):
    """Data or a mapping that cannot be loaded. The message names the file, the column or setting,
    and how to mend it."""
