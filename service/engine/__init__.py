"""The engine: live streams stepped in batches by one thread, what keeps it running, and how much it can hold."""
