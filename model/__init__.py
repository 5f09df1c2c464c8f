"""The tuple denoiser: everything that touches weights. Knows nothing of the web or of a database."""
