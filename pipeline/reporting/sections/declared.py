"""What a file says of itself, as cards of facts for a page: beside the verdict, not part of it."""

from __future__ import annotations

from data.declared.model import Boxes, Credentials, Declared, Signed, Stream

MOST_STREAMS = 4
"""Streams with a card of their own; case.json lists more."""

Cards = dict[str, dict[str, str]]


def declared_cards(declared: Declared) -> Cards:
    """Heading -> name of a fact -> its text."""
    cards = {"Content Credentials (C2PA)": _credentials(declared.credentials)}
    cards["Container"] = {
        "format": declared.container,
        **_seconds("length", declared.duration_seconds),
        **_rate(declared.bit_rate),
        **declared.tags,
    }
    for one in declared.streams[:MOST_STREAMS]:
        cards[f"Stream {one.index}: {one.kind}"] = _stream(one)
    if declared.boxes is not None:
        cards["How the file is built"] = _boxes(declared.boxes)
    left = [*declared.notes]
    if len(declared.streams) > MOST_STREAMS:
        left.append(f"{len(declared.streams) - MOST_STREAMS} more streams have no card here.")
    if left:
        cards["Not read, or not shown"] = {"notes": " ".join(left)}
    return cards


def _credentials(found: Credentials) -> dict[str, str]:
    known = found.status != "not read"
    facts = {"found": f"{found.status}. {found.note}" if known else found.note}
    if found.active is not None:
        facts |= _signed(found.active)
    for number, one in enumerate(found.earlier, start=1):
        facts |= {f"earlier {number}: {name}": text for name, text in _signed(one).items()}
    if found.failures:
        facts["does not fit"] = "; ".join(
            f"{one.code}: {one.explanation}" for one in found.failures
        )
    if found.library is not None:
        facts["read by"] = found.library
    return facts


def _signed(one: Signed) -> dict[str, str]:
    """What one manifest claims."""
    facts = {
        "title": one.title,
        "made with": one.claim_generator,
        "signed by": ", ".join(part for part in (one.common_name, one.signed_by) if part),
        "signed at": one.signed_at or "no time stamp",
        "actions": ", ".join(one.actions),
        "made of": ", ".join(one.ingredients),
    }
    return {name: text for name, text in facts.items() if text}


def _stream(one: Stream) -> dict[str, str]:
    facts: dict[str, str] = {"codec": " ".join(filter(None, (one.codec, one.profile)))}
    if one.codec_tag is not None:
        facts["codec tag"] = one.codec_tag
    if one.width is not None and one.height is not None:
        facts["coded size"] = f"{one.width} x {one.height}"
    if one.pixel_aspect not in (None, "1:1"):
        facts["pixel aspect"] = str(one.pixel_aspect)
    if one.kind == "video":
        turned = one.rotation_degrees
        facts["rotation"] = "none declared" if turned is None else f"{turned} degrees"
    if one.frame_rate is not None and one.kind == "video":
        facts["frames per second"] = one.frame_rate
    facts |= _seconds("begins at", one.start_seconds) | _seconds("length", one.duration_seconds)
    facts |= _rate(one.bit_rate)
    if one.frames is not None:
        facts["frames"] = str(one.frames)
    return facts | dict(one.tags)


def _boxes(found: Boxes) -> dict[str, str]:
    facts = {
        "boxes in order": " ".join(found.order),
        "created": found.created or "not said",
        "modified": found.modified or "not said",
    }
    for track in found.tracks:
        edits = [
            f"{one.duration_seconds:.3f} s "
            + ("of nothing" if one.media_seconds is None else f"from {one.media_seconds:.3f} s on")
            + ("" if one.rate == 1 else f" at rate {one.rate:g}")
            for one in track.edits
        ]
        more = f"; and {track.edits_left_out} more" if track.edits_left_out else ""
        name = f"edit list of track {track.number} ({track.handler})"
        facts[name] = "; ".join(edits) + more if edits else "none"
    return facts


def _seconds(name: str, value: float | None) -> dict[str, str]:
    return {} if value is None else {name: f"{value:.3f} s"}


def _rate(value: int | None) -> dict[str, str]:
    return {} if value is None else {"bit rate": f"{value / 1000:.0f} kbit/s"}
