"""From trained models to programs and integers."""
