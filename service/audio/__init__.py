"""Samples on their way in and out: PCM, queues, resampling, and how far noise may be lowered."""
