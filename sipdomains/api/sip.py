"""SIP domains, credential lists, access control lists and mappings (rest-api.md section 7)."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from django.core.exceptions import ValidationError as ModelInvalid
from django.db.models import Model, QuerySet
from rest_framework import serializers

from sipdomains.api import vendor
from sipdomains.api.errors import ApiError, not_found
from sipdomains.api.fields import Constant, Flag, Input, Text, Time, method, url
from sipdomains.api.output import ConfigurationOutput, Output
from sipdomains.api.resources import Resource
from sipdomains.api.voice import VoiceInput, VoiceOutput
from sipdomains.models import (
    CallAclMapping,
    CallCredentialListMapping,
    Credential,
    CredentialList,
    IpAccessControlList,
    IpAddress,
    RegistrationCredentialListMapping,
    SipDomain,
)
from sipdomains.stretch import Order

_Row = TypeVar("_Row", bound=Model)

_DOMAIN_INVALID = 21231
_DOMAIN_NAME_INVALID = 21232
_LIST_INVALID = 21240
_CREDENTIAL_INVALID = 21243
_ACL_INVALID = 21235
_ADDRESS_INVALID = 21238


# --- domains --------------------------------------------------------------------------------------


class DomainInput(VoiceInput):
    CODE = _DOMAIN_INVALID
    UNUSED = frozenset({"ByocTrunkSid", "EmergencyCallerSid", "EmergencyCallingEnabled"})
    CODES = {
        **VoiceInput.CODES,
        "DomainName": _DOMAIN_NAME_INVALID,
        "VoiceStatusCallbackUrl": vendor.BAD_URL,
        "VoiceStatusCallbackMethod": vendor.BAD_METHOD,
    }

    DomainName = serializers.CharField(source="domain_name", max_length=253)
    VoiceStatusCallbackUrl = url("voice_status_callback_url")
    VoiceStatusCallbackMethod = method("voice_status_callback_method")
    SipRegistration = Flag(source="sip_registration", required=False)
    Secure = Flag(source="secure", required=False)


class DomainOutput(VoiceOutput):
    auth_type = serializers.CharField()
    domain_name = serializers.CharField()
    voice_status_callback_url = Text()
    voice_status_callback_method = serializers.CharField()
    sip_registration = serializers.BooleanField()
    secure = serializers.BooleanField()
    emergency_calling_enabled = Constant(False)
    emergency_caller_sid = Constant()
    byoc_trunk_sid = Constant()
    uri = serializers.SerializerMethodField()
    subresource_uris = serializers.SerializerMethodField()

    def get_uri(self, row: SipDomain) -> str:
        return self.address(row, "SIP", "Domains", row.sid)

    def get_subresource_uris(self, row: SipDomain) -> dict[str, str]:
        here = ("SIP", "Domains", row.sid)
        return {
            "credential_list_mappings": self.address(row, *here, "CredentialListMappings"),
            "ip_access_control_list_mappings": self.address(
                row, *here, "IpAccessControlListMappings"
            ),
        }


class Domains(Resource):
    """SIP domains"""

    KEY = "domains"
    output = DomainOutput
    create_input = update_input = DomainInput

    def rows(self) -> QuerySet[SipDomain]:
        return SipDomain.objects.filter(account=self.account).prefetch_related(
            "call_acl_mappings", "call_credential_list_mappings"
        )

    def new(self) -> SipDomain:
        return SipDomain(account=self.account)


# --- credential lists -----------------------------------------------------------------------------


class CredentialListInput(Input):
    CODE = _LIST_INVALID
    FriendlyName = serializers.CharField(source="friendly_name", max_length=64)


class CredentialListOutput(ConfigurationOutput):
    friendly_name = serializers.CharField()
    uri = serializers.SerializerMethodField()
    subresource_uris = serializers.SerializerMethodField()

    def get_uri(self, row: CredentialList) -> str:
        return self.address(row, "SIP", "CredentialLists", row.sid)

    def get_subresource_uris(self, row: CredentialList) -> dict[str, str]:
        return {"credentials": self.address(row, "SIP", "CredentialLists", row.sid, "Credentials")}


class CredentialLists(Resource):
    """Lists of users"""

    KEY = "credential_lists"
    output = CredentialListOutput
    create_input = update_input = CredentialListInput

    def rows(self) -> QuerySet[CredentialList]:
        return CredentialList.objects.filter(account=self.account)

    def new(self) -> CredentialList:
        return CredentialList(account=self.account)


class CredentialPassword(Input):
    CODE = _CREDENTIAL_INVALID
    Password = serializers.CharField(max_length=256, trim_whitespace=False)


class CredentialInput(CredentialPassword):
    Username = serializers.CharField(source="username", max_length=32, trim_whitespace=False)


class CredentialOutput(ConfigurationOutput):
    credential_list_sid = serializers.CharField(source="credential_list_id")
    username = serializers.CharField()
    uri = serializers.SerializerMethodField()

    def get_uri(self, row: Credential) -> str:
        return self.address(
            row, "SIP", "CredentialLists", row.credential_list_id, "Credentials", row.sid
        )


class Credentials(Resource):
    """Users of a list"""

    KEY = "credentials"
    output = CredentialOutput
    create_input = CredentialInput
    update_input = CredentialPassword

    def _list(self) -> CredentialList:
        return owned(self, CredentialList, self.kwargs["list_sid"])

    def rows(self) -> QuerySet[Credential]:
        return Credential.objects.filter(credential_list=self._list()).defer(
            "ha1_md5", "ha1_sha256"
        )

    def new(self) -> Credential:
        return Credential(credential_list=self._list())

    def write(self, row: Credential, values: dict[str, Any], kind: type[Input]) -> Any:
        password = values.pop("Password", None)
        row.username = values.get("username", row.username)
        if password is not None:
            try:
                row.set_password(password)
            except ModelInvalid as error:
                raise ApiError(_CREDENTIAL_INVALID, "; ".join(error.messages)) from error
            values |= {name: getattr(row, name) for name in ("realm", "ha1_md5", "ha1_sha256")}
        return super().write(row, values, kind)


# --- access control lists -------------------------------------------------------------------------


class AclInput(Input):
    CODE = _ACL_INVALID
    FriendlyName = serializers.CharField(source="friendly_name", max_length=255)


class AclOutput(ConfigurationOutput):
    friendly_name = serializers.CharField()
    uri = serializers.SerializerMethodField()
    subresource_uris = serializers.SerializerMethodField()

    def get_uri(self, row: IpAccessControlList) -> str:
        return self.address(row, "SIP", "IpAccessControlLists", row.sid)

    def get_subresource_uris(self, row: IpAccessControlList) -> dict[str, str]:
        here = ("SIP", "IpAccessControlLists", row.sid)
        return {"ip_addresses": self.address(row, *here, "IpAddresses")}


class IpAccessControlLists(Resource):
    """Lists of addresses"""

    KEY = "ip_access_control_lists"
    output = AclOutput
    create_input = update_input = AclInput

    def rows(self) -> QuerySet[IpAccessControlList]:
        return IpAccessControlList.objects.filter(account=self.account)

    def new(self) -> IpAccessControlList:
        return IpAccessControlList(account=self.account)


class AddressInput(Input):
    CODE = _ADDRESS_INVALID
    FriendlyName = serializers.CharField(source="friendly_name", max_length=255)
    IpAddress = serializers.CharField(source="ip_address", max_length=45)
    CidrPrefixLength = serializers.IntegerField(
        source="cidr_prefix_length", required=False, min_value=0, max_value=128
    )


class AddressOutput(ConfigurationOutput):
    friendly_name = serializers.CharField()
    ip_address = serializers.CharField()
    cidr_prefix_length = serializers.IntegerField()
    ip_access_control_list_sid = serializers.CharField(source="acl_id")
    uri = serializers.SerializerMethodField()

    def get_uri(self, row: IpAddress) -> str:
        return self.address(row, "SIP", "IpAccessControlLists", row.acl_id, "IpAddresses", row.sid)


class IpAddresses(Resource):
    """Addresses of a list"""

    KEY = "ip_addresses"
    output = AddressOutput
    create_input = update_input = AddressInput

    def _list(self) -> IpAccessControlList:
        return owned(self, IpAccessControlList, self.kwargs["list_sid"])

    def rows(self) -> QuerySet[IpAddress]:
        return IpAddress.objects.filter(acl=self._list())

    def new(self) -> IpAddress:
        return IpAddress(acl=self._list())


# --- mappings -------------------------------------------------------------------------------------


class MappingOutput(Output):
    """Under the SID and name of the list that is mapped."""

    sid = serializers.SerializerMethodField()
    account_sid = serializers.SerializerMethodField()
    friendly_name = serializers.SerializerMethodField()
    date_created = Time("created_at")
    date_updated = Time("updated_at")

    def get_sid(self, row: Any) -> str:
        sid: str = getattr(row, f"{row.LIST_FIELD}_id")
        return sid

    def get_account_sid(self, row: Any) -> str:
        return self.account_of(row)

    def get_friendly_name(self, row: Any) -> str:
        name: str = getattr(row, row.LIST_FIELD).friendly_name
        return name


class LegacyMappingOutput(MappingOutput):
    domain_sid = serializers.CharField(source="domain_id")
    uri = serializers.SerializerMethodField()

    def get_uri(self, row: Any) -> str:
        kind = self.context["view"].LEGACY_PATH
        return self.address(row, "SIP", "Domains", row.domain_id, kind, self.get_sid(row))


class CredentialListMappingInput(Input):
    CODE = _LIST_INVALID
    CredentialListSid = serializers.CharField(max_length=34)


class AclMappingInput(Input):
    CODE = _ACL_INVALID
    IpAccessControlListSid = serializers.CharField(max_length=34)


class Mappings(Resource):
    """Lists in force at a domain; a mapping goes by the SID of its list."""

    KEY = "contents"
    MODEL: ClassVar[type[Any]]
    LIST: ClassVar[type[Model]]
    PARAMETER: ClassVar[str]
    output = MappingOutput

    def _domain(self) -> SipDomain:
        return owned(self, SipDomain, self.kwargs["domain_sid"])

    def rows(self) -> QuerySet[Any]:
        rows: QuerySet[Any] = self.MODEL.objects.filter(domain=self._domain())
        return rows.select_related(self.MODEL.LIST_FIELD)

    def row(self) -> Any:
        found = self.rows().filter(**{f"{self.MODEL.LIST_FIELD}_id": self.kwargs["sid"]}).first()
        if found is None:
            raise not_found(self.request.path)
        return found

    def new(self) -> Model:
        mapping: Model = self.MODEL(domain=self._domain())
        return mapping

    def write(self, row: Any, values: dict[str, Any], kind: type[Input]) -> Any:
        mapped = owned(self, self.LIST, values[self.PARAMETER])
        return super().write(row, {self.MODEL.LIST_FIELD: mapped}, kind)


class CallCredentialListMappings(Mappings):
    """Credential lists that callers of a domain need"""

    MODEL: ClassVar[type[Any]] = CallCredentialListMapping
    ORDER = Order("created_at", "credential_list_id")
    LIST = CredentialList
    PARAMETER = "CredentialListSid"
    create_input = CredentialListMappingInput


class CallAclMappings(Mappings):
    """Access control lists that callers of a domain need"""

    MODEL = CallAclMapping
    ORDER = Order("created_at", "acl_id")
    LIST = IpAccessControlList
    PARAMETER = "IpAccessControlListSid"
    create_input = AclMappingInput


class RegistrationCredentialListMappings(CallCredentialListMappings):
    """Credential lists that phones need to register at a domain"""

    MODEL = RegistrationCredentialListMapping


class LegacyCredentialListMappings(CallCredentialListMappings):
    """Credential lists of a domain, at their older address"""

    KEY = "credential_list_mappings"
    LEGACY_PATH = "CredentialListMappings"
    output = LegacyMappingOutput


class LegacyAclMappings(CallAclMappings):
    """Access control lists of a domain, at their older address"""

    KEY = "ip_access_control_list_mappings"
    LEGACY_PATH = "IpAccessControlListMappings"
    output = LegacyMappingOutput


def owned(view: Resource, model: type[_Row], sid: str) -> _Row:
    """The account's row of that SID; what others own is as if it were not there."""
    found = model._default_manager.filter(account=view.account, pk=sid).first()
    if found is None:
        raise not_found(view.request.path)
    return found
