"""The command line: `main.py` finds the command, one file a command does the rest."""
