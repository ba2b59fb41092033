"""What networks are trained towards: the losses, and how much of the noise they are to keep."""
