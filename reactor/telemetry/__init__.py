"""What the outside is told: logs, metrics, traces."""
