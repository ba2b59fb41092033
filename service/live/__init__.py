"""Live streams over WebSocket: the protocol, the connection, and one client's audio through the engine."""
