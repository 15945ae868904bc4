"""Blind votes between pairs of pictures: pairs and votes, their summary, and the page that asks."""
