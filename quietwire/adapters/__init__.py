"""Quietwire inside other frameworks: ``pipecat`` (extra ``pipecat``) and ``livekit`` (extra ``livekit``).

Both take frames of any length and give frames of the same length, late by a constant delay, so that picture and sound stay
together; switching off and on changes what is heard and not when. The network runs in the process (``LocalEnhancer``) or
on a server (``WireEnhancer``).
"""
