"""Two-step generators and the trainer that makes them better."""
