"""The variants of the service's tests."""

from ...service.conftest import zoo_folder

__all__ = ["zoo_folder"]
