"""What is trained: each architecture as a composition of the floors below."""
