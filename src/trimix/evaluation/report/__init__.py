"""The report: curves, BD-rates, tables and pictures of an evaluation in one HTML page, and figures for papers."""
