"""One file a resource: a route turns a request into the model's words, and the answer back."""
