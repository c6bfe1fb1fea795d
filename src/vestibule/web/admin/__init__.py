"""The admin pages: what an operator sees and does in a browser, each thing an operation of the admin API."""
