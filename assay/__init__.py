"""Assay watches what LLM traffic costs and what it is worth, in real time, and acts on both."""
