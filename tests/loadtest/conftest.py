"""The servers of the service's tests, and one that does what a server must not do."""

from ..service.conftest import quietwire, running, serve, zoo, zoo_folder

__all__ = ["quietwire", "running", "serve", "zoo", "zoo_folder"]
