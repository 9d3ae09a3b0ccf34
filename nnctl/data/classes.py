"""What the labels 0 to 9 of each dataset mean."""

from __future__ import annotations

DIGITS = tuple("0123456789")
CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")

CLASS_NAMES = {"mnist": DIGITS, "fashion-mnist": CLOTHES, "kmnist": KANA, "synthetic": DIGITS}
