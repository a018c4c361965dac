"""96 movies over 68 titles: some titles were filmed twice or three times. Invented; the same in every process."""

import uuid

FIRST = ("Quiet", "Last", "Paper", "Northern", "Second", "Hollow", "Amber", "Borrowed")
SECOND = ("Harbour", "Summer", "Letter", "Orchard", "Signal", "Winter", "Bridge", "Garden", "Station")
TITLES, MOVIES = 68, 96
KINDS = ("a drama", "a comedy", "a thriller", "a documentary", "an animated film")
PLACES = ("in a small town by the sea", "on a night train", "between two sisters", "in a closed cinema", "at sea")
_SPACE = uuid.UUID("7a1f0e52-3f0d-4c0e-9d0b-6f1b2a5c7d11")


def movies() -> list[dict[str, object]]:
    """Each {"id", "title", "description", "image_url", "rating"}."""
    titles = [f"The {first} {second}" for first in FIRST for second in SECOND][:TITLES]
    return [_movie(number, titles[number % TITLES]) for number in range(MOVIES)]


def _movie(number: int, title: str) -> dict[str, object]:
    kind, place = KINDS[number % len(KINDS)], PLACES[number // 5 % len(PLACES)]
    key = uuid.uuid5(_SPACE, str(number))
    return {
        "id": str(key),
        "title": title,
        "description": f"{kind.capitalize()} {place}.",
        "image_url": f"https://images.example/{key}.jpg",
        "rating": round(3 + (number * 37 % 70) / 10, 1),
    }
