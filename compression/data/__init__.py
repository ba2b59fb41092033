"""What networks are trained and measured on: recordings, mixtures, rooms, pairs, and batches of them."""
