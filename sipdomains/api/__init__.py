"""The REST API that Twilio's client libraries speak (rest-api.md)."""
