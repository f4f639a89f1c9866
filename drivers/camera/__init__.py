"""What runs in a camera's own process; of it the gate loads `messages` alone."""
