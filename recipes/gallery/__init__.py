"""The reward gallery: pairs of pictures, drawn by code or painted by the embedded generator, with measured scores."""
