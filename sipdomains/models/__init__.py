"""The system of record. Import models from here."""

from sipdomains.models.access import IpAccessControlList, IpAddress
from sipdomains.models.accounts import Account, AccountStatus
from sipdomains.models.apikeys import ApiKey
from sipdomains.models.applications import Application
from sipdomains.models.calls import Call, CallDirection, CallEvent, CallStatus
from sipdomains.models.configuration import ConfigVersion, configuration_changed
from sipdomains.models.credentials import Credential, CredentialList
from sipdomains.models.desk import AccountMember, SavedFilter
from sipdomains.models.domains import DomainAlias, SipDomain
from sipdomains.models.idempotency import IdempotentRequest
from sipdomains.models.live import CallCommand, CallOrder, CallTurn, CommandState
from sipdomains.models.longlists import ListSegment
from sipdomains.models.mappings import (
    CallAclMapping,
    CallCredentialListMapping,
    RegistrationCredentialListMapping,
)
from sipdomains.models.nodes import SipNode
from sipdomains.models.outbox import OutboxMessage, OutboxState
from sipdomains.models.recordings import Recording, RecordingSource, RecordingStatus
from sipdomains.models.registrations import Registration
from sipdomains.models.secondfactor import Authenticator, RecoveryCode
from sipdomains.models.transfers import Transfer, TransferState
from sipdomains.models.trunks import Trunk, TrunkRule
from sipdomains.models.urlsearch import InUrl
from sipdomains.models.webhooks import Notification, WebhookRequest

__all__ = [
    "Account",
    "AccountMember",
    "AccountStatus",
    "ApiKey",
    "Application",
    "Authenticator",
    "Call",
    "CallAclMapping",
    "CallCommand",
    "CallCredentialListMapping",
    "CallDirection",
    "CallEvent",
    "CallOrder",
    "CallStatus",
    "CallTurn",
    "CommandState",
    "ConfigVersion",
    "Credential",
    "CredentialList",
    "DomainAlias",
    "IdempotentRequest",
    "InUrl",
    "IpAccessControlList",
    "IpAddress",
    "ListSegment",
    "Notification",
    "OutboxMessage",
    "OutboxState",
    "Recording",
    "RecordingSource",
    "RecordingStatus",
    "RecoveryCode",
    "Registration",
    "RegistrationCredentialListMapping",
    "SavedFilter",
    "SipDomain",
    "SipNode",
    "Transfer",
    "TransferState",
    "Trunk",
    "TrunkRule",
    "WebhookRequest",
    "configuration_changed",
]
