"""Connectors: environments of other libraries, by reference `<library>:<argument>`."""
