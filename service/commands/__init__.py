"""Commands of ``quietwire`` beside those in ``service.cli``, and what they share."""
