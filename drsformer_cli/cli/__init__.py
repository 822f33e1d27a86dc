"""What a person types and sees: one file a command. Nothing heavy is imported before a command runs."""
