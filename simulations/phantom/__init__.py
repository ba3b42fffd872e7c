"""Procedural bodies in CT-like units, and the scanners that image them."""

from fedvox.simulations.phantom.character import Character, character
from fedvox.simulations.phantom.patient import CLASSES, FOREGROUND, Phantom, phantom

__all__ = ["CLASSES", "FOREGROUND", "Character", "Phantom", "character", "phantom"]
