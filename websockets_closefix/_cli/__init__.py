"""What an operator runs: one room a command, and what they share."""
