"""Content Credentials (C2PA) of a file, read and validated by `c2pa-python`, offline.

The library is optional: `pip install 'unmask[provenance]'`. It parses what strangers wrote, in
native code, so that it runs in a child process with limits of time and memory. It fetches nothing:
neither manifests that lie elsewhere, nor revocation, nor a trust list. So a valid signature says
that the file is as its signer left it, not who the signer is.
"""

from __future__ import annotations

import importlib.util
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from data.declared.model import Credentials, Finding, Signed, clean
from data.images.formats import HEAD_BYTES, Format, image_format
from data.io.processes import ChildEnded, call_in_child
from data.io.reading import BAD_FACTS

PACKAGE = "c2pa-python"
NOT_READ = "not read: install unmask[provenance]"
UNSUPPORTED = "not read: in this kind of file they are not looked for"
SETTINGS: dict[str, Any] = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": False},
}
"""Without a network; without `verify_trust: False` every signer would be called untrusted."""
LEAST_SECONDS = 60.0
SECONDS_PER_GIB = 60.0
"""A slow disk reads a GiB in less; validation reads the file about once."""
MEMORY_BYTES = 4 << 30
"""Address space of the child; Python and the library take half a GiB of it."""
MOST_JSON_BYTES = 8 << 20
MOST_MANIFESTS = 16
MOST_LISTED = 50
"""Of actions, assertions, ingredients and findings."""
SUFFIXES = {
    ".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".avi": "video/avi",
    ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp",
    ".heic": "image/heic", ".heif": "image/heif", ".avif": "image/avif",
}  # fmt: skip
"""What a file is for the library, which else looks at its bytes."""
IMAGES: dict[Format | None, str] = {
    "png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "heic": "image/heic",
    "avif": "image/avif",
}  # fmt: skip
"""What an image is for the library, by its own bytes, whatever its name."""


def read_credentials(path: Path) -> Credentials:
    """Reads and validates a file's Content Credentials; never raises for what is in the file."""
    if importlib.util.find_spec("c2pa") is None:
        return Credentials(status="not read", note=NOT_READ)
    library = f"{PACKAGE} {version(PACKAGE)}"
    try:
        seconds = LEAST_SECONDS + SECONDS_PER_GIB * path.stat().st_size / (1 << 30)
        kind, text = call_in_child(_read, str(path), seconds=seconds, memory_bytes=MEMORY_BYTES)
        if kind == "unsupported":
            return Credentials(status="not read", note=UNSUPPORTED, library=library)
        if kind == "none":
            return Credentials(
                status="none", note="The file carries no Content Credentials.", library=library
            )
        if kind == "error":
            return _unreadable(text, library)
        return _credentials(json.loads(text), library)
    except ChildEnded as error:
        return _unreadable(f"reading them {error}", library)
    except OSError as error:
        return _unreadable(str(error.strerror), library)
    except BAD_FACTS as error:  # pydantic's error is a ValueError
        return _unreadable(f"the library's answer is not understood ({type(error).__name__})",
                           library)  # fmt: skip


def _unreadable(why: str, library: str) -> Credentials:
    note = f"Content Credentials cannot be read: {why}"
    return Credentials(status="unreadable", note=clean(f"{note.rstrip('.')}."), library=library)


def _read(path: str) -> tuple[str, str]:
    """In the child: "none", "unsupported", "found" or "error"; and the JSON, or the reason."""
    import c2pa

    try:
        context = c2pa.Context.from_dict(SETTINGS)
        with open(path, "rb") as file:
            kind = IMAGES.get(image_format(file.read(HEAD_BYTES)))
            file.seek(0)
            reader = c2pa.Reader.try_create(
                kind or SUFFIXES.get(Path(path).suffix.casefold()), file, context=context
            )
            if reader is None:
                return "none", ""
            with reader:
                text = reader.json()
    except c2pa.C2paError as error:
        reason = str(error)
        if "remote manifest" in reason.casefold():
            return "error", f"they lie elsewhere, and nothing is fetched ({reason})"
        if isinstance(error, c2pa.C2paError.NotSupported):
            return "unsupported", ""
        return "error", reason
    if len(text) > MOST_JSON_BYTES:
        return "error", f"they have more than {MOST_JSON_BYTES >> 20} MiB"
    return "found", text


def _credentials(store: dict[str, Any], library: str) -> Credentials:
    """A manifest store as the library tells it, in the words of this program."""
    manifests = store.get("manifests", {})
    name = store.get("active_manifest")
    others = [one for label, one in manifests.items() if label != name]
    results = store.get("validation_results", {})
    found = results.get("activeManifest", {})
    # Of the manifests of ingredients, what is not as their own makers left it.
    failures = list(found.get("failure", ()))
    for delta in results.get("ingredientDeltas", ()):
        failures += delta.get("validationDeltas", {}).get("failure", ())
    valid = store.get("validation_state") in ("Valid", "Trusted") and not failures
    note = (
        "The signature and all digests fit this file: it is as its signer left it. Who the signer "
        "is was not checked; no trust list was asked."
        if valid
        else "Signature or digests do not fit this file: it was changed after it was signed, or "
        "was not signed rightly."
    )
    return Credentials(
        status="valid" if valid else "invalid",
        note=note,
        active=None if name not in manifests else _signed(str(name), manifests[name]),
        earlier=tuple(_signed(str(one.get("label", "")), one) for one in others[:MOST_MANIFESTS]),
        failures=_findings(failures),
        informational=_findings(found.get("informational", ())),
        library=library,
    )


def _findings(found: Any) -> tuple[Finding, ...]:
    return tuple(
        Finding(
            code=clean(str(one.get("code", ""))),
            explanation=clean(str(one.get("explanation", ""))),
            url=clean(str(one.get("url", ""))),
        )
        for one in list(found)[:MOST_LISTED]
    )


def _signed(label: str, facts: dict[str, Any]) -> Signed:
    """One manifest."""
    signature, assertions = facts.get("signature_info", {}), facts.get("assertions", [])
    makers = [
        " ".join(str(one[key]) for key in ("name", "version") if key in one)
        for one in facts.get("claim_generator_info", ())
    ]
    actions = [
        str(action.get("action", ""))
        for one in assertions
        if str(one.get("label", "")).startswith("c2pa.actions")
        for action in one.get("data", {}).get("actions", ())
    ]
    ingredients = [str(one.get("title", "")) for one in facts.get("ingredients", ())]
    return Signed(
        label=clean(label),
        title=_text(facts.get("title")),
        format=_text(facts.get("format")),
        claim_generator=_text(", ".join(makers) or facts.get("claim_generator")),
        signed_by=_text(signature.get("issuer")),
        common_name=_text(signature.get("common_name")),
        algorithm=_text(signature.get("alg")),
        signed_at=_text(signature.get("time")),
        actions=clean(tuple(actions[:MOST_LISTED])),
        assertions=clean(tuple(str(one.get("label", "")) for one in assertions[:MOST_LISTED])),
        ingredients=clean(tuple(ingredients[:MOST_LISTED])),
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(clean(str(value)))
