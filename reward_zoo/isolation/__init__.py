"""Rewards in processes of their own, each with the packages it asks for: `isolated:NAME`.

environment.py builds the packages with uv, script.py reads which ones a person's file names, process.py starts and ends the
worker that worker.py is, reward.py asks it as any server is asked.
"""
