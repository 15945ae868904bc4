"""The command line: flags, progress and run folders around the three packages below; no maths."""
