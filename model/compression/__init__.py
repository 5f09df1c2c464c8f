"""Optional: make a smaller model of a trained one. Nothing outside imports this package when it is loaded."""
