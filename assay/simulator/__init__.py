"""Stand-ins for what is outside: generated traffic, doubles of providers, readers of public traces."""
