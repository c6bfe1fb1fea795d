"""What a program that is no person shows of itself, found where its platform has it."""
