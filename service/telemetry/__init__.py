"""What operators are told: metrics, logs and traces."""
