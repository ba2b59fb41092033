"""Weights as indices into tables of centroids: how many bits each tensor gets, and training of the tables."""
