"""Training runs: what decides one, its folder, its history."""
