"""Training a network: its recipe, the loop and its optimisers, checkpoints, and the memory's lesson."""
