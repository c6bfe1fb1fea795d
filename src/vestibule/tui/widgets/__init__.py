"""What screens are made of; each draws its own lines, so that only what is seen costs anything."""
