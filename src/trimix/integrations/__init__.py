"""Bridges to other projects."""
