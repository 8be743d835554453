"""The data folder and the secrets that are made on its first use."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

SECRETS_FILE = "secrets.json"


def write_private(path: Path, text: str) -> bool:
    """Create ``path`` readable by its owner only; False when it was there already.

    The name appears with its whole content or not at all, so several processes may race for it.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True


def generated_secrets(home: Path) -> dict[str, str]:
    """The secrets kept in ``home``, generated when the file is not there yet.

    Raises ImproperlyConfigured when the folder cannot be used.
    """
    path = home / SECRETS_FILE
    try:
        if not path.exists():
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = {
                "SECRET_KEY": secrets.token_urlsafe(48),
                "FIELD_ENCRYPTION_KEYS": Fernet.generate_key().decode("ascii"),
                "SIP_NONCE_SECRET": secrets.token_urlsafe(48),
            }
            write_private(path, json.dumps(fresh, indent=1) + "\n")
        stored = json.loads(path.read_text("utf-8"))
        return {str(name): str(value) for name, value in stored.items()}
    except OSError as error:
        raise ImproperlyConfigured(
            f"SIPDOMAINS_HOME: {path} cannot be read or created ({error.strerror}). Name a folder "
            "that this user may write, or set SECRET_KEY, FIELD_ENCRYPTION_KEYS and "
            "SIP_NONCE_SECRET."
        ) from None
    except (ValueError, AttributeError):
        raise ImproperlyConfigured(f"{path} is damaged: restore it from a backup.") from None
