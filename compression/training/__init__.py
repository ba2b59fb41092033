"""Training a network: its recipe, the loop and its optimisers, validation, checkpoints, and the memory's lesson."""
