"""What can be removed from a network, what that costs, and how what remains takes over."""
