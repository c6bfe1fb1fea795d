"""Wire formats, one a module, pure: bytes or text in, values out."""
