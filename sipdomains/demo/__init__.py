"""The demo voice application: what a customer's web application would be, in a few lines."""
