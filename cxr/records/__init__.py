"""What was done, by whom and when: kept so that a change of it shows."""
