"""HOME/policy.toml and HOME/policy.sig: a policy counts only with the site's own signature."""

from __future__ import annotations

import base64
import binascii
import hashlib
from pathlib import Path

from fedvox.client.policy.load import PolicyError, parse_policy
from fedvox.client.policy.rules import Policy
from fedvox.common.errors import IdentityError
from fedvox.common.files import write_text_atomic

_PURPOSE = b"fedvox site policy 1\0"
"""What is signed begins with this: no other signature of the site's key is one of a policy."""
_MOST_BYTES = 1 << 20


def policy_file(home: Path) -> Path:
    """What people write."""
    return home / "policy.toml"


def signature_file(home: Path) -> Path:
    """What `fedvox site policy sign` writes beside it."""
    return home / "policy.sig"


def policy_of(home: Path) -> Policy:
    """The site's policy; the careful defaults where it has none.

    PolicyError where it cannot be read, or is not as it was signed: then nothing may run.
    """
    path, signature = policy_file(home), signature_file(home)
    if not path.exists() and not signature.exists():
        return Policy()
    if not path.exists():
        raise PolicyError(
            f"{path}: is gone, but {signature.name} says that there was one; restore it, or remove "
            f"{signature.name} to go back to the defaults"
        )
    text = _read(path)
    policy = parse_policy(text.decode(errors="replace"), str(path))
    _require_signed(home, text)
    return policy


def sign_policy(home: Path) -> Policy:
    """Signs what policy.toml says, after checking that it says something."""
    from fedvox.common.identity.credentials import Credentials
    from fedvox.common.identity.keys import sign

    path = policy_file(home)
    text = _read(path)
    policy = parse_policy(text.decode(errors="replace"), str(path))
    key = Credentials.load(home / "identity").key
    signature = base64.b64encode(sign(key, _PURPOSE + text)).decode()
    write_text_atomic(signature_file(home), f"{signature}\n")
    return policy


def policy_digest(home: Path) -> str:
    """sha256 of policy.toml."""
    return hashlib.sha256(_read(policy_file(home))).hexdigest()


def _require_signed(home: Path, text: bytes) -> None:
    from fedvox.common.identity.certificates import certificates_of
    from fedvox.common.identity.keys import checked_public_key, verify

    path, chain = signature_file(home), home / "identity" / "chain.pem"
    if not path.exists():
        raise PolicyError(
            f"{policy_file(home)}: is not signed; look at it with `fedvox site policy show`, then "
            "`fedvox site policy sign`"
        )
    try:
        signature = base64.b64decode(_read(path), validate=False)
        # The key alone is needed, and it outlives the certificates that vouch for it.
        key = checked_public_key(certificates_of(_read(chain), str(chain))[0].public_key())
    except (binascii.Error, IdentityError) as error:
        raise PolicyError(f"{path}: cannot be checked: {error}") from None
    if not verify(key, _PURPOSE + text, signature):
        raise PolicyError(
            f"{policy_file(home)}: was changed after it was signed, or signed with another key; "
            "look at it with `fedvox site policy show`, then `fedvox site policy sign`"
        )


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise PolicyError(
            f"{path}: not found; `fedvox site policy init` writes a policy, `fedvox site join` the "
            "site's identity"
        ) from None
    except OSError as error:
        raise PolicyError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > _MOST_BYTES:
        raise PolicyError(f"{path}: more than {_MOST_BYTES} bytes; that is no such file")
    return content
