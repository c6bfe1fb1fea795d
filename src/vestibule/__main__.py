"""`python -m vestibule`."""

from vestibule.cli import main

if __name__ == "__main__":
    main(prog_name="vestibule")
