"""For every test."""

from hypothesis import settings

# How long an example takes says more about the machine's load than about the code.
settings.register_profile("sipdomains", settings(), deadline=None)
settings.load_profile("sipdomains")
