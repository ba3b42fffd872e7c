"""The one port that faces outward: Flower's SuperLink behind mutual TLS."""
