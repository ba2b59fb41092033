"""How good a network is: over pairs, in noise alone, with clean speech, with intervals, and to look at."""
