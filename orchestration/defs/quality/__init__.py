"""How far evaluators agree with people."""
