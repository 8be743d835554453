"""The TwiML bench: a program run without a phone, step by step."""
