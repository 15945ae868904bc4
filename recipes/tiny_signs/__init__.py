"""The recipe of the embedded generator."""
