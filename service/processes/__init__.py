"""The server as a process, and several of them on one port: started, shared between, reloaded, drained, replaced."""
