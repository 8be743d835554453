"""Where calls get their documents: what SIP domains and applications have in common."""

from __future__ import annotations

from rest_framework import serializers

from sipdomains.api import vendor
from sipdomains.api.fields import Constant, Input, Text, method, url
from sipdomains.api.output import ConfigurationOutput


class VoiceInput(Input):
    CODES = {
        "VoiceUrl": vendor.BAD_URL,
        "VoiceMethod": vendor.BAD_METHOD,
        "VoiceFallbackUrl": vendor.BAD_URL,
        "VoiceFallbackMethod": vendor.BAD_METHOD,
    }

    FriendlyName = serializers.CharField(
        source="friendly_name", max_length=64, required=False, allow_blank=True
    )
    VoiceUrl = url("voice_url")
    VoiceMethod = method("voice_method")
    VoiceFallbackUrl = url("voice_fallback_url")
    VoiceFallbackMethod = method("voice_fallback_method")


class VoiceOutput(ConfigurationOutput):
    api_version = Constant(vendor.API_VERSION)
    friendly_name = Text()
    voice_url = Text()
    voice_method = serializers.CharField()
    voice_fallback_url = Text()
    voice_fallback_method = serializers.CharField()
