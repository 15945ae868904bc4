"""How shipped data was made."""
