"""What is normal for each series."""
