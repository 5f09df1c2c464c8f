"""The REST contract as pydantic models; imports nothing else of this project."""
