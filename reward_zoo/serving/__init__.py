"""Rewards over HTTP: the wire format, the server behind `lasro serve`, and the reward that asks it."""
