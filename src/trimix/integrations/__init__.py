"""Bridges to other projects."""

OWN_CLUSTER = "local"
"""Address of a Ray cluster that is started for the job, and ends with it."""
