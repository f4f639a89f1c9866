"""The gate: one Brama box at a checkpoint."""
