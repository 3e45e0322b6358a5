"""The command line: a module a command, and what they find out about an environment."""
