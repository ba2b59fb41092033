"""The servers and networks of the service's tests."""

from ..client.conftest import proxied, running, serve, zoo, zoo_folder

__all__ = ["proxied", "running", "serve", "zoo", "zoo_folder"]
