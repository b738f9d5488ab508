"""What is shipped: programs with their tensors, their storage, and where they are found."""
