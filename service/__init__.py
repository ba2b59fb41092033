"""FastAPI application, sessions, batching engine, audio input and output, and the web page."""
