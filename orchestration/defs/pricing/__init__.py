"""What past calls cost at what is known of prices now."""
